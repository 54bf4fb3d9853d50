"""What waits for a task host: attempts for any of them, and those that need one for themselves."""

from __future__ import annotations

from collections import deque

from streaming.concurrency.platform import native_lock
from streaming.running.host_attempt import HostedAttempt


class Waiting:
    """Two lines, each in the order of coming; what has lost its host is the first again."""

    def __init__(self) -> None:
        self._lock = native_lock()
        self._shared: deque[HostedAttempt] = deque()
        self._alone: deque[HostedAttempt] = deque()

    def put(self, attempt: HostedAttempt) -> None:
        with self._lock:
            self._line(alone=attempt.alone).append(attempt)

    def put_back(self, attempt: HostedAttempt) -> None:
        with self._lock:
            self._line(alone=attempt.alone).appendleft(attempt)

    def take(self, *, alone: bool) -> HostedAttempt | None:
        with self._lock:
            line = self._line(alone=alone)
            return line.popleft() if line else None

    def count(self, *, alone: bool) -> int:
        return len(self._line(alone=alone))

    def take_stopped(self) -> list[HostedAttempt]:
        """Those that were told to stop before a host had them."""
        with self._lock:
            both = [*self._shared, *self._alone]
            stopped = [each for each in both if each.stop.reason is not None]
            self._shared = deque(each for each in self._shared if each not in stopped)
            self._alone = deque(each for each in self._alone if each not in stopped)
        return stopped

    def take_all(self) -> list[HostedAttempt]:
        with self._lock:
            both = [*self._shared, *self._alone]
            self._shared.clear()
            self._alone.clear()
        return both

    def _line(self, *, alone: bool) -> deque[HostedAttempt]:
        return self._alone if alone else self._shared
