"""Limits how many messages a WebSocket's client may send."""

from __future__ import annotations

import time
from collections.abc import Callable

from streaming.errors import TooMany

#: A client that exceeds the limit by this factor ignores the errors: it is cut off.
PATIENCE = 10


class Flooded(Exception):
    """Raised when the connection is to be closed for it."""


class MessageMeter:
    """Counts the messages of one connection, second by second."""

    __slots__ = ("_clock", "_count", "_limit", "_since")

    def __init__(self, limit: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._since = clock()
        self._count = 0

    def count(self) -> None:
        """Count a message; `Flooded` when there are far too many."""
        now = self._clock()
        if now - self._since >= 1:
            self._since, self._count = now, 0
        self._count += 1
        if self._count > self._limit * PATIENCE:
            raise Flooded

    def check(self) -> None:
        """`TooMany` when this second's messages are used up."""
        if self._count > self._limit:
            raise TooMany(
                f"more than {self._limit} messages in a second (STREAMING_MESSAGES_PER_S)",
                code="too_many_messages",
                retry_after_s=1.0,
            )
