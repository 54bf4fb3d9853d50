"""Encoded pages of logs, kept for readers who are a little behind the others."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from typing import NamedTuple

#: Maximum bytes of encoded pages that are kept.
KEPT_BYTES = 32 << 20
#: Approximate bytes that a kept chunk costs besides its data.
CHUNK_BYTES = 500


class Chunk(NamedTuple):
    """A page of a log, encoded for the readers of a channel."""

    data: bytes
    #: The position after it.
    end: int
    events: int
    #: Whether the log ends with it.
    last: bool


class Chunks:
    """The chunks of a process, by channel, position and pressure level; drops the oldest first."""

    def __init__(self) -> None:
        self.bytes = 0
        self._kept: OrderedDict[tuple[object, int, int], Chunk] = OrderedDict()
        self._of: defaultdict[object, set[tuple[int, int]]] = defaultdict(set)

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, channel: object, after: int, level: int) -> Chunk | None:
        """A chunk that was made before."""
        return self._kept.get((channel, after, level))

    def keep(self, channel: object, after: int, level: int, chunk: Chunk) -> None:
        """Keep a chunk, as long as its channel has streams and there is room."""
        key = (channel, after, level)
        if key not in self._kept:
            self._kept[key] = chunk
            self._of[channel].add((after, level))
            self.bytes += len(chunk.data) + CHUNK_BYTES
            while self.bytes > KEPT_BYTES:
                oldest = next(iter(self._kept))
                self._of[oldest[0]].discard(oldest[1:])
                self._drop(oldest)

    def forget(self, channel: object) -> None:
        """Drop all of a channel."""
        for after, level in self._of.pop(channel, ()):
            self._drop((channel, after, level))

    def _drop(self, key: tuple[object, int, int]) -> None:
        self.bytes -= len(self._kept.pop(key).data) + CHUNK_BYTES
