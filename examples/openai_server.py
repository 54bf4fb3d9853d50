"""A small OpenAI-compatible server with the bad habits of real ones: each of its models has one.

    python examples/openai_server.py --port 9000

`GET /v1/models` lists the models with their habits, `GET /generations` says what became of each
answer: running, finished, or aborted by its client. No answer is like another.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import select
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a script, it has only its own folder to import from
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from examples.openai_habits import HABITS, Gone

Json = Any

WORDS = (
    "a",
    "log",
    "never",
    "forgets",
    "größer",
    "世界",
    "naïve",
    "tide",
    "🚀",
    "slow",
    "and",
    "so",
)


class Answer:
    """One answer on its way: frames out, and an eye on the client."""

    def __init__(self, handler: Handler, asked: Json, number: int) -> None:
        self.asked = asked
        self.model = asked["model"]
        self.number = number
        self.state = "running"
        self.tokens = 0
        self.speed = handler.server.tokens_per_s
        self._handler = handler
        #: Its ids are of nine letters and digits.
        self.nine = False
        self._began = False

    def wait(self, seconds: float) -> None:
        """Wait; `Gone` as soon as the client leaves."""
        connection, until = self._handler.connection, time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if select.select([connection], [], [], left)[0] and not self._peek(connection):
                raise Gone

    def send(self, frame: bytes) -> None:
        """Bytes of the stream, in a chunk of their own."""
        if not self._began:
            self._begin()
        self._write(b"%x\r\n%b\r\n" % (len(frame), frame))

    def delta(self, finish: str | None = None, **delta: Json) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        self.frame({"choices": [choice]})

    def frame(self, body: Json) -> None:
        head = {"id": f"chatcmpl-{self.number}", "object": "chat.completion.chunk"}
        whole = {**head, "created": int(time.time()), "model": self.model, **body}
        self.send(f"data: {json.dumps(whole, ensure_ascii=False)}\n\n".encode())

    def words(self, count: int) -> Iterator[str]:
        """So many tokens at the server's speed, at once where it is 0."""
        for number in range(count):
            self.wait(1 / self.speed if self.speed else 0)
            self.tokens += 1
            yield ("" if number == 0 else " ") + random.choice(WORDS)

    def say(self, text: str) -> None:
        """A piece of text, which is a token."""
        self.tokens += 1
        self.delta(content=text)

    @property
    def usage(self) -> Json:
        prompt = sum(len(str(each.get("content"))) // 4 for each in self.asked["messages"])
        counts = {"prompt_tokens": prompt, "completion_tokens": self.tokens}
        return {**counts, "total_tokens": prompt + self.tokens}

    def finish(self, reason: str = "stop") -> None:
        self.delta(finish=reason)
        if (self.asked.get("stream_options") or {}).get("include_usage"):
            self.frame({"choices": [], "usage": self.usage})
        self.end()

    def end(self) -> None:
        self.send(b"data: [DONE]\n\n")
        self.close()

    def refuse(self, status: int, message: str, code: str, **headers: str) -> None:
        body = json.dumps({"error": {"message": message, "type": code, "code": code}})
        self._handler.answer(status, body.encode(), **headers)

    def whole(self, body: Json, status: int = 200, kind: str = "application/json") -> None:
        """An answer in one piece, which is no stream."""
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self._handler.answer(status, data, Content_Type=kind)

    def close(self) -> None:
        """The end of the body."""
        self._write(b"0\r\n\r\n")

    def cut(self, frame: bytes) -> None:
        """Part of a frame, and the end of the connection."""
        self.send(frame)
        self._handler.connection.shutdown(socket.SHUT_RDWR)

    def _begin(self) -> None:
        self._began = True
        lines = ["HTTP/1.1 200 OK", "Content-Type: text/event-stream", "Transfer-Encoding: chunked"]
        self._write("\r\n".join([*lines, "Connection: close", "", ""]).encode())

    def _write(self, data: bytes) -> None:
        try:
            self._handler.wfile.write(data)
        except OSError:
            raise Gone from None

    @staticmethod
    def _peek(connection: socket.socket) -> bytes:
        try:
            return connection.recv(1, socket.MSG_PEEK)
        except OSError:
            return b""


class Handler(BaseHTTPRequestHandler):
    """Requests of one connection."""

    protocol_version = "HTTP/1.1"
    server: ModelServer

    def do_GET(self) -> None:
        shown: Json = {
            "/v1/models": self.server.models(),
            "/generations": self.server.report(),
        }.get(self.path)
        self.answer(404 if shown is None else 200, json.dumps(shown, ensure_ascii=False).encode())

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = self.server.open(self, asked)
        habit = HABITS.get(self.server.aliases.get(answer.model, answer.model))
        given = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if self.server.key and given != self.server.key:
            answer.refuse(401, f"Incorrect API key provided: {given}", "invalid_api_key")
        elif habit is None:
            answer.refuse(404, f"there is no model {answer.model}", "model_not_found")
        else:
            self.close_connection = True
            try:
                habit(answer)
            except Gone:
                answer.state = "aborted"
        answer.state = "finished" if answer.state == "running" else answer.state

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet: `/generations` says more."""


class ModelServer(ThreadingHTTPServer):
    """The server; `port` 0 takes a free one."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int = 0, *, key: str = "", tokens_per_s: float = 50.0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.key = key
        self.tokens_per_s = tokens_per_s
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"
        #: Other names of models; they may change while it runs.
        self.aliases: dict[str, str] = {}
        self.lists_models = True
        self.answers: list[Answer] = []
        self._lock = threading.Lock()
        self._counts: dict[str, Iterator[int]] = {}

    def open(self, handler: Handler, asked: Json) -> Answer:
        with self._lock:
            count = self._counts.setdefault(asked["model"], itertools.count(1))
            answer = Answer(handler, asked, next(count))
            self.answers.append(answer)
        return answer

    def models(self) -> Json:
        """None for a server that lists none."""
        listed = [{"id": name, "habit": habit.__doc__} for name, habit in HABITS.items()]
        return {"data": listed} if self.lists_models else None

    def report(self) -> Json:
        """How many answers are running, finished, aborted; and each of them."""
        with self._lock:
            answers = list(self.answers)
        states = Counter(answer.state for answer in answers)
        shown = [{"model": a.model, "state": a.state, "tokens": a.tokens} for a in answers]
        return {"running": 0, "finished": 0, "aborted": 0, **states, "generations": shown}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--key", default="", help="a key that questions must carry")
    parser.add_argument("--tokens-per-s", type=float, default=50.0, help="0: at once")
    options = parser.parse_args()
    server = ModelServer(options.port, key=options.key, tokens_per_s=options.tokens_per_s)
    print(f"models at {server.url}, what became of answers at /generations", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    from examples.openai_server import main as run  # once, not as a second copy

    run()
