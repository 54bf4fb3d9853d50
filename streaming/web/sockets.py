"""Sockets under WebSocket connections: each frame is sent whole, in order, in bounded time."""

from __future__ import annotations

import fcntl
import select
import socket
import struct
import termios
import time
from collections.abc import Callable
from typing import Any

from streaming.concurrency import Mutex

#: Seconds that one frame may take: a peer that reads nothing for so long is gone.
SEND_S = 45.0
#: Seconds of silence and bytes for which a closed connection is read on, for the peer to see it.
LINGER_S, LINGER_BYTES = 1.0, 16 << 20
#: Messages that wait to be handled; more of them stay in the kernel, and so at the peer.
WAITING_MESSAGES = 64


class WholeSocket:
    """A socket whose `send` sends all of a frame before the next one begins, whoever sends it.

    simple-websocket calls `send` once from two threads and ignores its result; frames would tear
    as soon as the kernel's buffer is full (its issues 34 and 45).
    """

    def __init__(self, real: Any, *, send_s: float = SEND_S) -> None:
        self._real = real
        self._sock: socket.socket = getattr(real, "_sock", real)
        self._send_s = send_s
        self._sending = Mutex()
        #: When the peer was heard last, on the monotonic clock.
        self.heard_at = time.monotonic()
        #: Bytes that waited in the kernel at the last look.
        self._unsent = 0
        #: How many messages wait to be handled.
        self.waiting: Callable[[], int] = lambda: 0

    def send(self, data: bytes) -> int:
        """All of `data`; `TimeoutError` (an `OSError`) when the peer does not take it in time."""
        with self._sending:
            if _send_all(self._sock, data, time.monotonic() + self._send_s):
                self.heard_at = time.monotonic()
        return len(data)

    sendall = send

    def recv(self, size: int) -> bytes:
        """What the peer sends; waits while too many messages wait to be handled."""
        while self.waiting() > WAITING_MESSAGES and self._real.fileno() >= 0:
            time.sleep(0.01)
        data: bytes = self._real.recv(size)
        self.heard_at = time.monotonic()
        return data

    def silent_s(self) -> float:
        """Seconds since the last sign of life: something received, or something taken of what
        waits in the kernel. A peer that is busy with a large frame cannot answer pings yet."""
        if self.taking():
            self.heard_at = time.monotonic()
        return time.monotonic() - self.heard_at

    def taking(self) -> bool:
        """Whether the peer has taken some of what waits for it, since the last look."""
        before, self._unsent = self._unsent, _unsent(self._sock)
        return self._unsent < before

    def close(self) -> None:
        """Close without a reset, which would destroy what the peer has not read yet."""
        try:
            self._sock.shutdown(socket.SHUT_WR)
            self._read_away()
        except OSError:  # the peer was first
            return
        finally:
            self._real.close()

    def _read_away(self) -> None:
        until, left = time.monotonic() + self._send_s, LINGER_BYTES
        self._real.settimeout(LINGER_S)
        while left > 0 and time.monotonic() < until:
            try:
                size = len(self._real.recv(1 << 16))
            except TimeoutError:
                if not self.taking():
                    return
                continue
            if not size:
                return
            left -= size

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def _send_all(sock: socket.socket, data: bytes, until: float) -> bool:
    """Whether the peer had to take some of it: that is a sign of life."""
    rest, waited = memoryview(data), False
    while rest:
        try:
            rest = rest[sock.send(rest, socket.MSG_DONTWAIT) :]
        except (BlockingIOError, InterruptedError):
            _wait_writable(sock, until - time.monotonic())
            waited = True
    return waited


def _unsent(sock: socket.socket) -> int:
    """Bytes that the kernel still has to send, where it tells (SIOCOUTQ, Linux)."""
    try:
        (count,) = struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0" * 4))
    except (OSError, ValueError):
        return 0
    return int(count)


def _wait_writable(sock: socket.socket, timeout_s: float) -> None:
    poll = select.poll()  # gevent's, where it has patched select: other greenlets go on
    poll.register(sock, select.POLLOUT)
    if timeout_s <= 0 or not poll.poll(timeout_s * 1000):
        raise TimeoutError("the peer takes no data")


def wrap_socket(environ: dict[str, Any]) -> WholeSocket | None:
    """Put a `WholeSocket` where flask-sock looks for the connection's socket."""
    for name in ("werkzeug.socket", "gunicorn.socket"):
        if name in environ:
            environ[name] = whole = WholeSocket(environ[name])
            return whole
    return None
