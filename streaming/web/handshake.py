"""From a WebSocket's request to its session, which is served when the request is over."""

from __future__ import annotations

import errno
import ssl
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Protocol

from flask import Response, g, request
from simple_websocket import Server

from streaming.errors import Unavailable
from streaming.watching.cursor import Cursor
from streaming.watching.hangups import client_socket
from streaming.watching.stream import Refusal, Stream
from streaming.watching.websocket import Connection, prepare_handshake
from streaming.web.auth import check_origin
from streaming.web.responses import open_stream

#: Close code: try again later (RFC 6455, 7.4.1, and IANA's list).
TRY_LATER = 1013


class Served(Protocol):
    """A session over a connection."""

    def serve(self) -> None:
        """The whole connection, until both sides have closed it."""

    def end(self) -> None:
        """Give back what it holds; also when it was never served."""


def check_handshake() -> None:
    """Refuse with an HTTP status what can be refused; from here on frames are sent whole."""
    check_origin()
    if isinstance(request.environ.get("gunicorn.socket"), ssl.SSLSocket):
        raise Unavailable(
            "this server's own TLS has no WebSockets; let a proxy end TLS", code="tls_not_supported"
        )
    prepare_handshake(request.environ)


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

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        environ.pop("werkzeug.request", None)
        if "gunicorn.socket" in environ:
            return _Body(self._serve, self._end)
        self._serve()  # the development server wants a response afterwards
        return super().__call__(environ, start_response)


class _Body:
    __slots__ = ("_serve", "close")

    def __init__(self, serve: Callable[[], None], end: Callable[[], None]) -> None:
        self._serve = serve
        #: Called by the server, also when the connection was never served.
        self.close = end

    def __iter__(self) -> Iterator[bytes]:
        yield from ()  # a generator: it runs when the server iterates
        self._serve()
        # There is no response to end: gunicorn takes this for a client that has gone.
        raise BrokenPipeError(errno.EPIPE, "the connection was not HTTP any more")
