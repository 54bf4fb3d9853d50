"""The client's end of a stream: its socket, and whether it still takes what is sent."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from streaming.concurrency.waking import Waker
from streaming.watching.hangups import Hangups, client_socket, has_hung_up
from streaming.watching.websocket import SEND_S, send_all

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class ClientEnd:
    """The client of a stream. Used by the stream's thread; only `cut` may come from others."""

    __slots__ = ("_lost", "_moved", "_socket", "_waker", "_watched", "is_plain", "taken_at")

    def __init__(self, environ: WSGIEnvironment) -> None:
        self._socket = client_socket(environ)
        #: Whether what is written to the socket is what the client reads: no TLS, HTTP/1.1.
        self.is_plain = self._socket is not None and _is_plain(environ)
        #: When it last took data that had been waiting for it; on `monotonic`.
        self.taken_at = 0.0
        self._lost = False
        #: Whether it has hung up or sent something since it is watched.
        self._moved = False
        self._watched: int | None = None
        self._waker: Waker | None = None
        _drop_when_stalled(self._socket)

    @property
    def gone(self) -> bool:
        """Whether it has hung up, or no longer takes what is sent."""
        if self._watched is not None and not self._moved:  # no need to ask the system
            return self._lost
        return self._lost or has_hung_up(self._socket)

    @property
    def lost(self) -> bool:
        """Whether nothing more can be sent to it."""
        return self._lost

    def lose(self) -> None:
        """Note that it is gone."""
        self._lost = True

    @property
    def send_now(self) -> Callable[[bytes], int]:
        """Sends what the socket takes at once; `BlockingIOError` when that is nothing."""
        assert self._socket is not None
        return self._socket.send

    def send(self, data: bytes | memoryview) -> None:
        """Send all of it; a client that does not take it in time counts as gone."""
        assert self._socket is not None
        try:
            if send_all(self._socket, data, time.monotonic() + SEND_S):
                self.taken_at = time.monotonic()
        except OSError:
            self.cut()  # nothing may follow a torn frame

    def watch(self, hangups: Hangups, waker: Waker, *, messages: bool) -> None:
        """Have the stream woken when it hangs up; with `messages`, also when it sends something."""
        self._waker = waker
        self._watched = hangups.watch(self._socket, self, messages=messages)

    def wake(self) -> None:
        """It has hung up or sent something; called by the watching thread."""
        self._moved = True
        if self._waker is not None:
            self._waker.wake()

    def unwatch(self, hangups: Hangups) -> None:
        """Stop watching it."""
        hangups.unwatch(self._watched, self)
        self._watched = None

    def cut(self) -> None:
        """End the connection."""
        self._lost = True
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it is gone already
                self._socket.shutdown(socket.SHUT_RDWR)


def _drop_when_stalled(sock: socket.socket | None) -> None:
    """Let the kernel end the connection of a peer that takes nothing of what was sent.

    Linux only. It also finds peers on which no write of ours would ever block.
    """
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if sock is not None and option is not None:
        with contextlib.suppress(OSError):  # no TCP: a Unix socket behind a proxy
            sock.setsockopt(socket.IPPROTO_TCP, option, int(SEND_S * 1000))


def _is_plain(environ: WSGIEnvironment) -> bool:
    """Whether what is written to the socket is what the client reads: no TLS, HTTP/1.1."""
    real = environ.get("gunicorn.socket")
    return environ["SERVER_PROTOCOL"] == "HTTP/1.1" and not isinstance(real, ssl.SSLSocket)
