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
    """Where a stream's client is. Used by the stream's thread; `cut` comes from any."""

    __slots__ = ("_lost", "_moved", "_socket", "_waker", "_watched", "is_plain", "taken_at")

    def __init__(self, environ: WSGIEnvironment) -> None:
        self._socket = client_socket(environ)
        #: Whether what is written to the socket is what the client reads: no TLS, HTTP/1.1.
        self.is_plain = self._socket is not None and _is_plain(environ)
        #: When it was last seen to take what it had to be waited for; on `monotonic`.
        self.taken_at = 0.0
        self._lost = False
        #: Whether it has moved since it is watched: it has hung up, or sent something.
        self._moved = False
        self._watched: int | None = None
        self._waker: Waker | None = None
        _drop_when_stalled(self._socket)

    @property
    def gone(self) -> bool:
        """Whether it has hung up, or was found not to take what is sent."""
        if self._watched is not None and not self._moved:  # no need to ask the system
            return self._lost
        return self._lost or has_hung_up(self._socket)

    @property
    def lost(self) -> bool:
        """Whether nothing more can be sent to it."""
        return self._lost

    def lose(self) -> None:
        """It was found to be gone."""
        self._lost = True

    @property
    def send_now(self) -> Callable[[bytes], int]:
        """Sends what the socket takes at once; `BlockingIOError` when that is nothing."""
        assert self._socket is not None
        return self._socket.send

    def send(self, data: bytes | memoryview) -> None:
        """Send it whole; a client that does not take it in time is gone."""
        assert self._socket is not None
        try:
            if send_all(self._socket, data, time.monotonic() + SEND_S):
                self.taken_at = time.monotonic()
        except OSError:
            self.cut()  # whatever comes behind a torn frame must not

    def watch(self, hangups: Hangups, waker: Waker, *, messages: bool) -> None:
        """Wake when it hangs up; with `messages`, when it sends something, too."""
        self._waker = waker
        self._watched = hangups.watch(self._socket, self, messages=messages)

    def wake(self) -> None:
        """It has moved; called by whoever watches."""
        self._moved = True
        if self._waker is not None:
            self._waker.wake()

    def unwatch(self, hangups: Hangups) -> None:
        """Wake nobody any more."""
        hangups.unwatch(self._watched, self)
        self._watched = None

    def cut(self) -> None:
        """End the connection."""
        self._lost = True
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it has gone by itself
                self._socket.shutdown(socket.SHUT_RDWR)


def _drop_when_stalled(sock: socket.socket | None) -> None:
    """Have the kernel end the connection of a peer that takes nothing of what was sent.

    Where it can (Linux): it finds also those whom no write of ours would wait for.
    """
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if sock is not None and option is not None:
        with contextlib.suppress(OSError):  # no TCP: a Unix socket behind a proxy
            sock.setsockopt(socket.IPPROTO_TCP, option, int(SEND_S * 1000))


def _is_plain(environ: WSGIEnvironment) -> bool:
    """Whether what is written to the socket is what the client reads: no TLS, HTTP/1.1."""
    real = environ.get("gunicorn.socket")
    return environ["SERVER_PROTOCOL"] == "HTTP/1.1" and not isinstance(real, ssl.SSLSocket)
