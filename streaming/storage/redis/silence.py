"""For how long Redis has owed an answer: who waits for it is told that it is away."""

from __future__ import annotations

import time
from typing import TypeVar

from streaming.concurrency.pending import Pending
from streaming.errors import Unavailable

T = TypeVar("T")


class Silence:
    """Of one connection. Its thread says what it knows; those who wait for the thread look.

    What counts is the time since the last answer, not since the question: a server that works
    through much, answer by answer, is there.
    """

    def __init__(self, limit_s: float | None = None) -> None:
        """`limit_s`: of silence, after which it is away; None leaves that to the connection."""
        self._limit_s = limit_s
        #: Since when it owes an answer, on `monotonic`; None while it owes none.
        self._since: float | None = None

    def begin(self) -> None:
        """From now on it owes an answer, or, having given one, the next."""
        self._since = time.monotonic()

    def end(self) -> None:
        """It owes none."""
        self._since = None

    def check(self, within_s: float | None = None) -> None:
        """`Unavailable` where it has been silent for longer than `within_s`, or its own limit."""
        limit_s = within_s or self._limit_s
        if limit_s is not None and self._seconds() >= limit_s:
            why = f"Redis has not answered within {limit_s:g} s"
            raise Unavailable(why, code="storage_away")

    def wait(self, pending: Pending[T], within_s: float | None = None) -> None:
        """Wait until it is settled; `Unavailable` where the server is silent for so long."""
        limit_s = within_s or self._limit_s
        while not pending.wait(None if limit_s is None else max(0.0, limit_s - self._seconds())):
            self.check(within_s)

    def _seconds(self) -> float:
        since = self._since
        return 0.0 if since is None else time.monotonic() - since
