"""How long a server has said nothing, and waiting until it says more."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any

from streaming.concurrency.platform import patched


def is_bare(sock: object) -> bool:
    """Whether what has come can be waited for at the socket: TLS may hold bytes back."""
    return isinstance(sock, socket.socket) and not isinstance(sock, ssl.SSLSocket)


class Arrival:
    """Waits in a greenlet until there is something to read, or the socket is shut down.

    gevent's `recv` tries first, and nearly always in vain: a model writes a token at a time.
    """

    def __init__(self, sock: socket.socket) -> None:
        from gevent import get_hub

        self._hub = get_hub()
        self._watcher = self._hub.loop.io(sock.fileno(), 1)

    def wait(self) -> None:
        """Until something has come, or nothing ever will."""
        self._hub.wait(self._watcher)

    def close(self) -> None:
        """Wait for nothing more."""
        self._watcher.close()


class Silence:
    """Ends an exchange in which nothing comes: one timer, which looks when the last byte came.

    Under gevent a time-out of the socket would be an object per read; in a plain thread it is a
    number that the system is given.
    """

    def __init__(
        self, sock: socket.socket, give_up: Callable[[], object], clock: Callable[[], float]
    ) -> None:
        self._sock = sock
        self._give_up = give_up
        self._clock = clock
        self._seconds = 0.0
        self._timer: Any = None
        self.heard = clock()
        self.is_over = False

    def limit(self, seconds: float) -> None:
        """From now on, so many seconds of silence are too many."""
        self._seconds = seconds
        self.heard = self._clock()
        if patched():
            self._sock.settimeout(None)
            self._start(seconds)
        else:
            self._sock.settimeout(seconds)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.close()
            self._timer = None

    def _start(self, seconds: float) -> None:
        from gevent import get_hub

        self.stop()
        self._timer = get_hub().loop.timer(max(0.001, seconds))
        self._timer.start(self._look)

    def _look(self) -> None:
        left = self.heard + self._seconds - self._clock()
        if left > 0:
            self._start(left)
        else:
            self.is_over = True
            self._give_up()
