"""CPU per token of reading a model's stream alone: a server of its own, N streams, nothing kept.

Prints tokens per CPU second of this process under plain threads, or with --gevent as greenlets.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import socket
import sys
import threading
import time
from typing import Any

#: Tokens of one stream, and seconds between two: so that each is a read of its own.
TOKENS, PAUSE_S = 200, 0.02


def serve(listener: socket.socket, tokens: int, pause_s: float) -> None:
    """Answers everything with a stream; in a process of its own, which costs this one nothing."""
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_answer, args=(connection, tokens, pause_s), daemon=True).start()


def _answer(connection: socket.socket, tokens: int, pause_s: float) -> None:
    asked = b""
    while not asked.endswith(b"}"):  # of the question, whose body is JSON
        asked += connection.recv(65536)
    connection.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    for number in range(tokens + 1):
        last = number == tokens
        delta: dict[str, Any] = {} if last else {"content": f" token{number}"}
        choice = {"index": 0, "delta": delta, "finish_reason": "stop" if last else None}
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        data = f"data: {json.dumps({**head, 'choices': [choice]})}\n\n".encode()
        connection.sendall(b"%x\r\n%b\r\n" % (len(data), data))
        time.sleep(pause_s)
    connection.sendall(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
    connection.close()


def measure(url: str, streams: int) -> tuple[int, float]:
    """Tokens that were read, and CPU seconds for them."""
    from streaming.concurrency.stop_signal import StopSignal
    from streaming.llm.base import Prompt
    from streaming.llm.openai import OpenAIModel

    model, counts = OpenAIModel(url, ["m"]), []

    def read() -> None:
        pieces = model.stream(Prompt("x", max_tokens=10_000), StopSignal())
        counts.append(sum(isinstance(piece, str) for piece in pieces))

    read()  # imports, certificates
    counts.clear()
    began = resource.getrusage(resource.RUSAGE_SELF)
    threads = [threading.Thread(target=read) for _ in range(streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ended = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = ended.ru_utime - began.ru_utime + ended.ru_stime - began.ru_stime
    return sum(counts), cpu_s


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gevent", action="store_true", help="as greenlets")
    parser.add_argument("--streams", type=int, default=50)
    options = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    # Before gevent is imported: the server's threads are real ones.
    context = multiprocessing.get_context("fork")
    server = context.Process(target=serve, args=(listener, TOKENS, PAUSE_S), daemon=True)
    server.start()
    if options.gevent:
        from gevent import monkey

        monkey.patch_all()
    tokens, cpu_s = measure(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", options.streams)
    server.kill()
    how = "greenlets" if options.gevent else "threads"
    print(f"{options.streams} {how}: {tokens} tokens, {tokens / cpu_s:,.0f} per CPU second")
    return 0 if tokens == options.streams * TOKENS else 1


if __name__ == "__main__":
    sys.exit(main())
