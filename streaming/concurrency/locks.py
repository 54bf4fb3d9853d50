"""Latches and mutexes that threads and greenlets share."""

from __future__ import annotations

import time

from streaming.concurrency.platform import native_lock
from streaming.concurrency.waking import Waker, make_waker, wake_all


class Latch:
    """Opens once; any number of threads and greenlets wait for it."""

    __slots__ = ("_lock", "_wakers", "is_open")

    def __init__(self) -> None:
        self._lock = native_lock()
        self._wakers: list[Waker] = []
        self.is_open = False

    @property
    def waiting(self) -> int:
        """How many wait at present."""
        return len(self._wakers)

    def open(self) -> None:
        """Open it; all who wait go on. Opening it again does nothing."""
        with self._lock:
            self.is_open = True
            wakers, self._wakers = self._wakers, []
        wake_all(wakers)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is open, `timeout` seconds at most. Whether it is open."""
        until = None if timeout is None else time.monotonic() + timeout
        waker = make_waker()
        with self._lock:
            if self.is_open:
                return True
            self._wakers.append(waker)
        while not self.is_open:
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                break
            waker.wait(left)
        with self._lock:
            if waker in self._wakers:
                self._wakers.remove(waker)
        return self.is_open


class Mutex:
    """A lock that may be held across a wait, by threads and greenlets; first come, first served."""

    __slots__ = ("_held", "_lock", "_queue")

    def __init__(self) -> None:
        #: Taken by whoever holds the mutex, and never waited for.
        self._held = native_lock()
        #: Guards the queue.
        self._lock = native_lock()
        self._queue: list[Waker] = []

    @property
    def waiting(self) -> int:
        """How many wait at present."""
        return len(self._queue)

    def __enter__(self) -> None:
        if not self._queue and self._held.acquire(False):
            return
        waker = make_waker()
        with self._lock:
            self._queue.append(waker)
        self._wake_head()  # it may have become free meanwhile
        try:
            self._wait_for_turn(waker)
        except BaseException:  # killed while it waits: the next one's turn comes
            with self._lock:
                self._queue.remove(waker)
            self._wake_head()
            raise

    def __exit__(self, *exc: object) -> None:
        self._held.release()
        if self._queue:  # who comes behind this look finds it free by himself
            self._wake_head()

    def _wait_for_turn(self, waker: Waker) -> None:
        while True:
            waker.wait()
            with self._lock:
                if self._queue[0] is waker and self._held.acquire(False):
                    self._queue.pop(0)
                    return

    def _wake_head(self) -> None:
        with self._lock:
            head = self._queue[0] if self._queue else None
        if head is not None:
            head.wake()
