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

#: Maximum seconds of one wait in epoll.
LOOK_S = 1.0
#: Made once: some streams check at every event.
_PEEK = int(socket.MSG_PEEK | socket.MSG_DONTWAIT)


def client_socket(environ: WSGIEnvironment) -> socket.socket | None:
    """The socket of a request, if the server exposes it."""
    found = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
    return getattr(found, "_sock", found)


def has_hung_up(sock: socket.socket | None) -> bool:
    """Whether the peer has closed its side, as far as the kernel knows."""
    if sock is None or isinstance(sock, ssl.SSLSocket):  # TLS sockets cannot peek
        return False
    try:
        return sock.recv(1, _PEEK) == b""
    except (BlockingIOError, InterruptedError):
        return False
    except (OSError, ValueError):
        return True


class Hangups:
    """Wakes a stream whose client goes away. Linux only; elsewhere a failing heartbeat shows it."""

    def __init__(self) -> None:
        self._lock = native_lock()
        self._wakers: dict[int, Wakeable] = {}
        # gevent removes epoll from `select`; this is a real thread and may block in it.
        self._epoll = original("select", "epoll")() if _has_epoll() else None
        self._stopping = False
        self._thread = Thread(self._work, name="hangups")

    @property
    def works(self) -> bool:
        """Whether this platform supports it."""
        return self._epoll is not None

    def start(self) -> None:
        if self._epoll is not None:
            self._thread.start()

    def stop(self) -> None:
        """Stop watching, and close the descriptor."""
        self._stopping = True
        if self._epoll is None:
            return
        # A descriptor that is readable at once ends the wait that is under way.
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
        """Wake `waker` when the peer of `sock` hangs up; returns the handle for `unwatch`.

        With `messages`, also once when it sends something: watch again after reading that.
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
        """Stop watching. epoll itself forgets a socket that was closed meanwhile."""
        if self._epoll is None or descriptor is None:
            return
        with self._lock:
            if self._wakers.get(descriptor) is not waker:
                return  # another stream's socket has this number by now
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
    """A constant of epoll; gevent does not remove those."""
    return int(getattr(select, name))
