"""Counts what streams have sent, and which way it went."""

from __future__ import annotations

from collections.abc import Iterator

from streaming.concurrency.platform import native_lock
from streaming.events.observer import Observer


class Traffic:
    """Counts bytes and events by transport and way: `writer`, or `stream` for the stream itself."""

    def __init__(self, observer: Observer | None = None) -> None:
        """The observer is notified of the oldest event of each write."""
        self.delayed = (observer or Observer()).delivered
        self._lock = native_lock()
        self._sent: dict[tuple[str, str], list[int]] = {}

    def add(self, transport: str, way: str, size: int, events: int) -> None:
        """Count bytes and events."""
        with self._lock:
            counts = self._sent.get((transport, way))
            if counts is None:
                counts = self._sent[transport, way] = [0, 0]
            counts[0] += size
            counts[1] += events

    def sent(self) -> Iterator[tuple[str, str, int, int]]:
        """Transport, way, bytes, events."""
        with self._lock:
            counts = {key: tuple(value) for key, value in self._sent.items()}
        for (transport, way), (size, events) in counts.items():
            yield transport, way, size, events
