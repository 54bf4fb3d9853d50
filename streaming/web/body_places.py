"""How many request bodies may come at once where each holds a thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from streaming.errors import Unavailable

#: Seconds that a request waits for a place to read its body.
PLACE_S = 0.25


class BodyPlaces:
    """How many bodies may be read at once, where each holds a thread while it comes."""

    def __init__(self, limit: int | None) -> None:
        """`limit` is None where they hold none."""
        self._limit = limit
        self._free = threading.BoundedSemaphore(limit) if limit else None

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """A place for the block; `Unavailable` when none is free within `PLACE_S`."""
        if self._free is None:
            yield
            return
        if not self._free.acquire(timeout=PLACE_S):
            raise Unavailable(
                f"{self._limit} requests are still sending their bodies; try again",
                code="too_many_bodies",
                retry_after_s=1.0,
            )
        try:
            yield
        finally:
            self._free.release()
