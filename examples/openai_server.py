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
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

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


class Gone(Exception):
    """The client has hung up."""


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

    def finish(self, reason: str = "stop") -> None:
        self.delta(finish=reason)
        if (self.asked.get("stream_options") or {}).get("include_usage"):
            prompt = sum(len(str(each.get("content"))) // 4 for each in self.asked["messages"])
            usage = {"prompt_tokens": prompt, "completion_tokens": self.tokens}
            usage["total_tokens"] = prompt + self.tokens
            self.frame({"choices": [], "usage": usage})
        self.end()

    def end(self) -> None:
        self.send(b"data: [DONE]\n\n")
        self._write(b"0\r\n\r\n")

    def refuse(self, status: int, message: str, code: str, **headers: str) -> None:
        body = json.dumps({"error": {"message": message, "type": code, "code": code}})
        self._handler.answer(status, body.encode(), **headers)

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


def fluent(answer: Answer) -> None:
    """Answers as it should, and calls the tools that it is offered."""
    answer.delta(role="assistant", content="")
    calls = list(choose_tools(answer.asked))
    if calls:
        call_tools(answer, calls)
    else:
        write(answer)


def write(answer: Answer) -> None:
    for word in answer.words(min(answer.asked.get("max_tokens") or 40, 2000)):
        answer.delta(content=word)
    for source in sources(answer.asked):
        answer.delta(content=f" [{source}]")
    answer.finish()


def thinking(answer: Answer) -> None:
    """Thinks aloud before it answers."""
    for word in answer.words(5):
        answer.delta(reasoning_content=word)
    fluent(answer)


def slow(answer: Answer) -> None:
    """Writes two tokens a second, and calls no tools."""
    answer.speed = 2
    write(answer)


def silent(answer: Answer) -> None:
    """Sends signs of life, and never a token."""
    answer.delta(role="assistant", content="")
    while True:
        answer.send(b": ping\n\n")
        answer.wait(0.05)


def mute(answer: Answer) -> None:
    """Takes the question and sends nothing at all."""
    answer.wait(600)


def stalling(answer: Answer) -> None:
    """Writes three tokens, then nothing."""
    for word in answer.words(3):
        answer.delta(content=word)
    answer.wait(600)


def cut(answer: Answer) -> None:
    """Breaks the connection in the middle of a frame."""
    for word in answer.words(3):
        answer.delta(content=word)
    answer.cut(b'data: {"choices":[{"delta":{"content":"bro')


def unfinished(answer: Answer) -> None:
    """Ends in good order, but in the middle of the answer."""
    for word in answer.words(3):
        answer.delta(content=word)
    answer.end()


def failing(answer: Answer) -> None:
    """Sends an error in the middle of the answer."""
    for word in answer.words(3):
        answer.delta(content=word)
    answer.frame({"error": {"message": "the GPU is on fire", "type": "server_error"}})
    answer.end()


def garbled(answer: Answer) -> None:
    """Sends a frame that is no JSON."""
    answer.delta(content="so far ")
    answer.send(b"data: <html>\n\n")
    answer.end()


def split(answer: Answer) -> None:
    """Sends every byte for itself, also those of one character, and ends lines with CR LF."""
    send = answer.send
    answer.send = lambda frame: [  # type: ignore[method-assign,assignment]
        send(bytes([byte])) for byte in frame.replace(b"\n", b"\r\n")
    ]
    for _ in answer.words(3):
        answer.delta(content="größer 世界 🚀 ")
    answer.finish()


def busy(answer: Answer) -> None:
    """Is asked too much, and says so twice before it answers."""
    if answer.number <= 2:
        answer.refuse(429, "slow down", "rate_limit_exceeded", Retry_After="0.2")
    else:
        fluent(answer)


def overrun(answer: Answer) -> None:
    """Is asked too much, always, for the next hour."""
    answer.refuse(429, "come back later", "rate_limit_exceeded", Retry_After="3600")


def broken(answer: Answer) -> None:
    """Fails with status 500, always."""
    answer.refuse(500, "internal error", "server_error")


def away(answer: Answer) -> None:
    """Is being loaded: 503, always."""
    answer.refuse(503, "loading the model", "unavailable")


def narrow(answer: Answer) -> None:
    """Has no room for the prompt."""
    message = "This model's maximum context length is 16 tokens."
    answer.refuse(400, message, "context_length_exceeded")


HABITS: dict[str, Callable[[Answer], None]] = {
    each.__name__: each
    for each in (
        fluent, thinking, slow, silent, mute, stalling, cut, unfinished, failing, garbled, split,
        busy, overrun, broken, away, narrow,
    )
}  # fmt: skip


def choose_tools(asked: Json) -> Iterator[tuple[str, Json]]:
    """Each offered tool once, with the last question as its text; none after its results."""
    messages = asked["messages"]
    if messages[-1]["role"] == "tool":
        return
    question = str(messages[-1]["content"])
    for tool in asked.get("tools") or []:
        function = tool["function"]
        names = function["parameters"].get("required", [])
        yield function["name"], dict.fromkeys(names, question)


def call_tools(answer: Answer, calls: list[tuple[str, Json]]) -> None:
    for index, (name, arguments) in enumerate(calls):
        head = {"index": index, "id": f"call_{answer.number}_{index}", "type": "function"}
        answer.delta(tool_calls=[{**head, "function": {"name": name, "arguments": ""}}])
        text = json.dumps(arguments, ensure_ascii=False)
        for part in (text[: len(text) // 2], text[len(text) // 2 :]):
            answer.delta(tool_calls=[{"index": index, "function": {"arguments": part}}])
    answer.finish("tool_calls")


def sources(asked: Json) -> list[str]:
    """What the results of tools call their sources."""
    found = []
    for message in asked["messages"]:
        if message["role"] == "tool" and '"id"' in str(message["content"]):
            found += [str(each["id"]) for each in json.loads(message["content"])]
    return found


class Handler(BaseHTTPRequestHandler):
    """Requests of one connection."""

    protocol_version = "HTTP/1.1"
    server: ModelServer

    def do_GET(self) -> None:
        shown: Json = {
            "/v1/models": {"data": [{"id": n, "habit": h.__doc__} for n, h in HABITS.items()]},
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
        self.answers: list[Answer] = []
        self._lock = threading.Lock()
        self._counts: dict[str, Iterator[int]] = {}

    def open(self, handler: Handler, asked: Json) -> Answer:
        with self._lock:
            count = self._counts.setdefault(asked["model"], itertools.count(1))
            answer = Answer(handler, asked, next(count))
            self.answers.append(answer)
        return answer

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
    main()
