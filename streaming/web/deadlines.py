"""Deadlines: no client takes for ever to send what it has announced."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import socket
import time
from collections.abc import Iterator

from streaming.concurrency.periodic import Periodic
from streaming.concurrency.platform import native_lock

#: Maximum seconds that the thread sleeps.
LOOK_S = 60.0


class Deadline:
    """One time limit on one connection."""

    __slots__ = ("at", "over", "sock")

    def __init__(self, sock: socket.socket, at: float) -> None:
        self.at = at
        #: None when the limit holds no longer.
        self.sock: socket.socket | None = sock
        #: Whether nothing more was read because of it.
        self.over = False

    def extend(self, seconds: float) -> None:
        """Allow more time; for the thread that reads."""
        self.at += seconds


class Deadlines:
    """Owns the loop that ends the reading of connections whose time is over.

    Reading then finds the end of the input, under every worker class; an answer can be sent.
    """

    def __init__(self) -> None:
        self._lock = native_lock()
        self._numbers = itertools.count()
        self._due: list[tuple[float, int, Deadline]] = []
        self.loop = Periodic(self._end_overdue, every_s=LOOK_S, name="deadlines")

    @contextlib.contextmanager
    def limit(self, sock: socket.socket | None, seconds: float) -> Iterator[Deadline | None]:
        """Read from `sock` for so long at most; None where there is no socket to tell."""
        if sock is None:
            yield None
            return
        deadline = Deadline(sock, time.monotonic() + seconds)
        with self._lock:
            heapq.heappush(self._due, (deadline.at, next(self._numbers), deadline))
            is_next = self._due[0][2] is deadline
        if is_next:
            self.loop.wake()
        try:
            yield deadline
        finally:
            with self._lock:
                deadline.sock = None

    def end_all(self) -> None:
        """The time of every body that is still under way is over: the process leaves."""
        with self._lock:
            for _, _, deadline in self._due:
                _end(deadline)

    def _end_overdue(self) -> float:
        """Seconds until the next one is over."""
        with self._lock:
            while self._due:
                at, _, deadline = self._due[0]
                now = time.monotonic()
                if deadline.sock is not None and at > now:
                    return min(at - now, LOOK_S)
                heapq.heappop(self._due)
                if deadline.sock is not None and deadline.at > now:  # extended meanwhile
                    heapq.heappush(self._due, (deadline.at, next(self._numbers), deadline))
                else:
                    _end(deadline)
        return LOOK_S


def _end(deadline: Deadline) -> None:
    if deadline.sock is not None:
        deadline.over = True
        with contextlib.suppress(OSError):  # it has gone by itself
            deadline.sock.shutdown(socket.SHUT_RD)
