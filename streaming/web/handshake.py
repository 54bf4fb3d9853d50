"""From a WebSocket's request to its session, which is served when the request is over."""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Protocol

from flask import Response, g, request
from simple_websocket import Server

from streaming.errors import BadRequest, NotSupported, Unavailable, UpgradeRequired
from streaming.watching.cursor import Cursor
from streaming.watching.hangups import client_socket
from streaming.watching.stream import Stream
from streaming.watching.streams import Refusal
from streaming.watching.websocket import Connection, prepare_handshake
from streaming.web.auth import check_origin
from streaming.web.problems import problem_response
from streaming.web.responses import open_stream

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

#: Close code: try again later (RFC 6455, 7.4.1, and IANA's list).
TRY_LATER = 1013
#: The version of the protocol, and the bytes of a handshake's key (RFC 6455).
WEBSOCKET_VERSION, KEY_BYTES = "13", 16
#: What no value of a header has, though some servers let it through (RFC 9110, 5.5).
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Served(Protocol):
    """A session over a connection."""

    def serve(self) -> None:
        """The whole connection, until both sides have closed it."""

    def end(self) -> None:
        """Give back what it holds; also when it was never served."""


def check_handshake() -> None:
    """Refuse with an HTTP status what can be refused; from here on frames are sent whole."""
    check_origin()
    _check_opening(request.environ)
    if isinstance(request.environ.get("gunicorn.socket"), ssl.SSLSocket):
        raise Unavailable(
            "this server's own TLS has no WebSockets; let a proxy end TLS", code="tls_not_supported"
        )
    if client_socket(request.environ) is None:
        raise NotSupported(
            "this server does not hand its connections over, so it has no WebSockets here; serve "
            "the app with gunicorn, or watch over SSE or long polling",
            code="websocket_not_supported",
        )
    prepare_handshake(request.environ)


def _check_opening(environ: WSGIEnvironment) -> None:
    """Refuse what is no opening handshake (RFC 6455, 4.2.1 and 4.4)."""
    if environ["REQUEST_METHOD"] != "GET" or environ.get("SERVER_PROTOCOL") == "HTTP/1.0":
        raise BadRequest("a WebSocket begins with a GET of HTTP/1.1", code="malformed_handshake")
    upgrades = [part.strip().lower() for part in environ.get("HTTP_UPGRADE", "").split(",")]
    options = [part.strip().lower() for part in environ.get("HTTP_CONNECTION", "").split(",")]
    if "websocket" not in upgrades or "upgrade" not in options:
        raise UpgradeRequired("this is a WebSocket: send Upgrade: websocket, Connection: Upgrade")
    if environ.get("CONTENT_LENGTH") not in (None, "", "0") or "HTTP_TRANSFER_ENCODING" in environ:
        # What follows the head would be taken for frames, or for a body, by whoever stands between.
        raise BadRequest("a WebSocket's handshake has no body", code="malformed_handshake")
    if environ.get("HTTP_SEC_WEBSOCKET_VERSION", "").strip() != WEBSOCKET_VERSION:
        raise UpgradeRequired(f"this server speaks WebSocket version {WEBSOCKET_VERSION}")
    key = environ.get("HTTP_SEC_WEBSOCKET_KEY", "").strip()
    if not _is_key(key):
        raise BadRequest(
            "Sec-WebSocket-Key is 16 random bytes in base64", code="malformed_handshake"
        )
    _check_values(environ)


def _check_values(environ: WSGIEnvironment) -> None:
    """`BadRequest` for values at which the library that does the handshake would fail."""
    for name, value in environ.items():
        if name.startswith("HTTP_") and (
            _CONTROL.search(value)
            or (name.startswith("HTTP_SEC_WEBSOCKET_") and not value.isascii())
        ):
            header = name[5:].replace("_", "-").title()
            message = f"{header} has characters that it may not have"
            raise BadRequest(message, code="malformed_handshake")


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == KEY_BYTES
    except (binascii.Error, ValueError):
        return False


def upgrade_required(error: UpgradeRequired) -> Response:
    """426 says what to upgrade to (RFC 9110, 15.5.22; RFC 6455, 4.4)."""
    response = problem_response(error)
    response.headers["Sec-WebSocket-Version"] = WEBSOCKET_VERSION
    response.headers["Upgrade"] = "websocket"
    response.headers["Connection"] = "Upgrade"
    return response


def begin(
    ws: Server,
    cursor: Cursor,
    make: Callable[[Connection, Stream], Served],
    *,
    max_message_bytes: int,
) -> None:
    """Have the connection served as the body of the response, when the request is over."""
    ws.connected = False  # so that flask-sock does not close it
    sock = client_socket(request.environ)
    assert sock is not None
    connection = Connection(sock, max_message_bytes=max_message_bytes)
    stream = open_stream("websocket", cursor)
    if isinstance(stream, Refusal):
        g.served = _Response(partial(_refuse, connection), lambda: None)
        return
    with stream.set_up():
        session = make(connection, stream)
        g.served = _Response(session.serve, session.end)


def hand_over(response: Response) -> Response:
    """Flask's and flask-sock's part is over: what they hold is not kept for the connection."""
    served = g.pop("served", None)
    return response if served is None else served


def _refuse(connection: Connection) -> None:
    connection.close(TRY_LATER, "there is no room for another stream")
    connection.linger()


class _Response(Response):
    """Serves the connection when the server asks for the body, outside of Flask's context."""

    #: The handshake has said so already.
    logged_status = 101

    def __init__(self, serve: Callable[[], None], end: Callable[[], None]) -> None:
        super().__init__()
        self._serve = serve
        self._end = end

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ.pop("werkzeug.request", None)
        taken_over = "gunicorn.socket" in environ
        return _Body(self._serve, self._end, client_socket(environ), start_response, taken_over)


class _Body:
    """The connection, served while the server iterates over the body of its response."""

    __slots__ = ("_serve", "_sock", "_start_response", "_taken_over", "close")

    def __init__(
        self,
        serve: Callable[[], None],
        end: Callable[[], None],
        sock: socket.socket | None,
        start_response: StartResponse,
        taken_over: bool,
    ) -> None:
        """`taken_over`: the connection is ours; else the server wants a response after it."""
        self._serve = serve
        self._sock = sock
        self._start_response = start_response
        self._taken_over = taken_over
        #: Called by the server, also when the connection was never served.
        self.close = end

    def __iter__(self) -> Iterator[bytes]:
        yield from ()  # a generator: it runs when the server iterates
        try:
            self._serve()
        finally:
            # gunicorn answers the request now, into what is no HTTP any more: it takes the error
            # of that write for a client that has gone. An error raised here would be reported.
            # Both halves end: the peer has been waited for, and gunicorn, under gthread, would
            # wait once more for what it sends.
            if self._sock is not None:
                with contextlib.suppress(OSError):
                    self._sock.shutdown(socket.SHUT_RDWR)
        if self._taken_over:
            self._start_response("101 Switching Protocols", [])
        else:
            self._start_response("200 OK", [])
            yield b""
