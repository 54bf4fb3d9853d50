"""Budget: how much a job may still write."""

from __future__ import annotations

import math

from streaming.errors import TaskError


class Budget:
    """Events and bytes (artifacts too) that are left to one attempt; for its task's thread."""

    def __init__(self, *, events: float = math.inf, size: float = math.inf) -> None:
        self._events = events
        self._size = size

    def spend(self, events: int, size: int) -> None:
        """`TaskError` when that is more than is left, and ever after."""
        self._events -= events
        self._size -= size
        if self._events < 0:
            raise TaskError(
                "the job has more events than it may have (STREAMING_MAX_JOB_EVENTS); "
                "emit larger pieces",
                code="job_too_large",
            )
        if self._size < 0:
            raise TaskError(
                "the job has written more bytes than it may (STREAMING_MAX_JOB_BYTES)",
                code="job_too_large",
            )
