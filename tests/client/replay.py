"""A server that says what an exchange has, byte for byte, and notes what it was asked."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

Json = Any


class ReplayServer:
    """Answers streams as the exchange says, one after the other; pages of events from its log.

    `faults` has what a client asked that the exchange does not expect.
    """

    def __init__(self, exchange: Json) -> None:
        self._exchange = exchange
        self._left = list(exchange["exchanges"])
        self._lock = threading.Lock()
        self.faults: list[str] = []
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def unused(self) -> list[str]:
        """What was not asked for."""
        return [each["target"] for each in self._left]

    def answer(self, target: str) -> Json:
        """What to say to a request."""
        with self._lock:
            self.asked.append(target)
            if "/poll" in target:
                return self._page(target)
            if not self._left:
                self.faults.append(f"{target} is one request too many")
                return _json(500, {})
            expected = self._left.pop(0)
            if not _same(expected["target"], target):
                self.faults.append(f"{target} instead of {expected['target']}")
            return expected["answer"]

    def _page(self, target: str) -> Json:
        url = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        job = url.path.split("/")[-2]
        log = (self._exchange.get("logs") or {}).get(job, self._exchange.get("log"))
        if log is None:
            return _json(404, {"status": 404, "code": "job_not_found", "retryable": False})
        after, limit = int(query["after"]), int(query["limit"])
        found = [event for event in log if event["seq"] > after][:limit]
        at = found[-1]["seq"] if found else after
        closed = at == log[-1]["seq"]
        return _json(200, {"events": found, "next": at, "status": "completed", "closed": closed})


def _json(status: int, body: Json) -> Json:
    headers = {"Content-Type": "application/json"}
    return {"status": status, "headers": headers, "body": [json.dumps(body)], "then": "end"}


def _same(expected: str, asked: str) -> bool:
    """Whether these name the same; `after=*` takes any position."""
    first, second = urlsplit(expected), urlsplit(asked)
    wanted, given = _query(first.query), _query(second.query)
    if wanted.get("after") == ["*"]:
        wanted.pop("after")
        given.pop("after", None)
    return first.path == second.path and wanted == given


def _query(text: str) -> dict[str, list[str]]:
    """A position of 0 says the same as none."""
    query = parse_qs(text)
    for after in query.pop("after", []):
        parts = [part for part in after.split(",") if part != "0" and not part.endswith(":0")]
        if parts:
            query["after"] = [",".join(parts)]
    return query


def _handler(replay: ReplayServer) -> Callable[..., BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answer = replay.answer(self.path)
            self.send_response(answer["status"])
            for name, value in answer["headers"].items():
                self.send_header(name, value)
            self.send_header("Connection", "close")
            if answer["status"] == 204:
                self.end_headers()
                return
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for part in answer["body"]:
                data = part.encode()
                self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
            if answer["then"] == "end":
                self.wfile.write(b"0\r\n\r\n")
            else:
                self._cut()

        def _cut(self) -> None:
            """As a network that fails: no end of the answer."""
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 1))

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    return Handler
