"""Which clients have hung up: one thread that watches the sockets of all open streams."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
from typing import TYPE_CHECKING

from streaming.concurrency.platform import native_lock, original
from streaming.concurrency.threads import Thread
from streaming.concurrency.waking import Wakeable

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

#: Seconds that one look lasts at most.
LOOK_S = 1.0
#: Made once: each event of some streams is a look.
_PEEK = int(socket.MSG_PEEK | socket.MSG_DONTWAIT)


def client_socket(environ: WSGIEnvironment) -> socket.socket | None:
    """The connection behind a request, where the server gives it away."""
    found = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
    return getattr(found, "_sock", found)


def has_hung_up(sock: socket.socket | None) -> bool:
    """Whether the peer has closed its side, as far as the kernel knows."""
    if sock is None or isinstance(sock, ssl.SSLSocket):  # TLS has no peeking
        return False
    try:
        return sock.recv(1, _PEEK) == b""
    except (BlockingIOError, InterruptedError):
        return False
    except (OSError, ValueError):
        return True


class Hangups:
    """Wakes a stream whose client goes away. On Linux; elsewhere a heartbeat finds out."""

    def __init__(self) -> None:
        self._lock = native_lock()
        self._wakers: dict[int, Wakeable] = {}
        # gevent takes epoll out of `select`; this thread is a real one and may block in it.
        self._epoll = original("select", "epoll")() if _has_epoll() else None
        self._stopping = False
        self._thread = Thread(self._work, name="hangups")

    @property
    def works(self) -> bool:
        """Whether wakes come at all."""
        return self._epoll is not None

    def start(self) -> None:
        if self._epoll is not None:
            self._thread.start()

    def stop(self) -> None:
        """Wake nobody any more, and give the descriptor back."""
        self._stopping = True
        if self._epoll is None:
            return
        # What is readable at once ends the look that is under way.
        ours, peer = socket.socketpair()
        with contextlib.suppress(OSError, ValueError), ours, peer:
            self._epoll.register(ours.fileno(), select_flag("EPOLLOUT"))
            self._thread.join(2 * LOOK_S)
        with self._lock:
            self._epoll.close()

    @property
    def dead(self) -> bool:
        return self._thread.dead

    def watch(
        self, sock: socket.socket | None, waker: Wakeable, *, messages: bool = False
    ) -> int | None:
        """Wake `waker` when the peer of `sock` hangs up; what `unwatch` wants back.

        With `messages`, also once when it sends something: watch again after reading it.
        """
        if self._epoll is None or self._stopping or sock is None or sock.fileno() < 0:
            return None
        descriptor = sock.fileno()
        flags = select_flag("EPOLLRDHUP") | select_flag("EPOLLONESHOT")
        flags |= select_flag("EPOLLIN") if messages else 0
        with self._lock:
            known = self._wakers.get(descriptor) is waker
            self._wakers[descriptor] = waker
        with contextlib.suppress(ValueError):  # stopped meanwhile
            (self._epoll.modify if known else self._epoll.register)(descriptor, flags)
        return descriptor

    def unwatch(self, descriptor: int | None, waker: Wakeable) -> None:
        """Watch no more. A socket that was closed meanwhile is forgotten by epoll itself."""
        if self._epoll is None or descriptor is None:
            return
        with self._lock:
            if self._wakers.get(descriptor) is not waker:
                return  # the number belongs to another stream's socket by now
            del self._wakers[descriptor]
        with contextlib.suppress(OSError, ValueError):  # closed, or stopped
            self._epoll.unregister(descriptor)

    def _work(self) -> None:
        assert self._epoll is not None
        while not self._stopping:
            for descriptor, _ in self._epoll.poll(LOOK_S):
                with self._lock:
                    waker = self._wakers.get(descriptor)
                if waker is not None:
                    waker.wake()


def _has_epoll() -> bool:
    try:
        original("select", "epoll")
    except AttributeError:
        return False
    return True


def select_flag(name: str) -> int:
    """A constant of epoll; gevent leaves these in place."""
    return int(getattr(select, name))
