"""A receiver of webhooks, as others have one: it checks every signature, answers as told."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import standardwebhooks

from tests.ports import free_port

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass(frozen=True)
class Taken:
    """A request whose signature is right."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    at: float = field(default_factory=time.monotonic)

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


class Receiver:
    """On a port of its own; `answer` says what the n-th request is answered with."""

    def __init__(
        self,
        answer: Callable[[int], int | dict[str, Any]] = lambda n: 204,
        *,
        secret: str = SECRET,
        port: int | None = None,
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}/hook?of=tests"
        self.taken: list[Taken] = []
        #: Requests whose signature was wrong.
        self.refused: list[str] = []
        #: Answers wait until it is set.
        self.open = threading.Event()
        self.open.set()
        self._answer = answer
        self._verifier = standardwebhooks.Webhook(secret)
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> Self:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.take(self)

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def encrypt(self, context: ssl.SSLContext) -> None:
        """Have connections from now on begin with TLS."""
        assert self._server is not None
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )

    def stop(self) -> None:
        self.open.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def take(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            self._verifier.verify(body, headers)
        except standardwebhooks.WebhookVerificationError as error:
            self.refused.append(str(error))
        else:
            self.taken.append(Taken(request.path, headers, json.loads(body)))
        answer = self._answer(len(self.taken))
        self.open.wait(60)
        given = {"status": answer} if isinstance(answer, int) else answer
        try:
            request.send_response(given["status"])
            for name, value in given.get("headers", {}).items():
                request.send_header(name, value)
            request.send_header("Content-Length", "0")
            request.end_headers()
        except OSError:  # the caller did not wait for it
            return

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
