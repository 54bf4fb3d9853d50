"""What comes of a job, and waiting for it by long polls. No I/O."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import cast

from streaming.client import calls
from streaming.client.errors import JobCancelled, JobFailed, WaitTimeout
from streaming.client.steps import WAIT_S
from streaming.client.types import Event, Job
from streaming.events.vocabulary import ENDED, TERMINAL, Json, JsonMapping


def result_of(job: Job) -> Json:
    """The output of a job that has ended; `JobFailed` or `JobCancelled` where there is none."""
    if job["status"] == "failed":
        raise JobFailed(job)
    if job["status"] == "cancelled":
        raise JobCancelled(job)
    return job["output"]


def position_after(event: Event, position: int) -> int:
    """Where a reader is after an event; a snapshot stands for all up to its seq."""
    if event["type"] == "stream.snapshot":
        return int(event["data"]["seq"])
    return int(cast("JsonMapping", event).get("seq", position))


class Waiting:
    """Asks for a job's last event, page after page, until it is there."""

    def __init__(
        self,
        job: str,
        snapshot: Job,
        timeout_s: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.snapshot = snapshot
        #: Whether the snapshot is an old one by now.
        self.waited = False
        self._job = job
        self._after = snapshot["seq"]
        self._ended = snapshot["status"] in ENDED
        self._timeout_s = timeout_s
        self._clock = clock
        self._over = None if timeout_s is None else clock() + timeout_s
        self._asked_at = self._wait_s = 0.0

    def next(self) -> calls.Call | None:
        """The next request; None when the job has ended. `WaitTimeout` when time is up."""
        if self._ended:
            return None
        self._asked_at = self._clock()
        left = WAIT_S if self._over is None else self._over - self._asked_at
        if left <= 0:
            raise WaitTimeout(self._job, self._timeout_s or 0.0)
        self._wait_s = min(WAIT_S, left)
        types = ",".join(TERMINAL)
        return calls.page(self._job, self._after, wait_s=self._wait_s, types=types)

    def answered(self, page: JsonMapping) -> float:
        """Seconds to pause before the next request: a server without room answers at once."""
        self.waited = True
        self._after = page["next"]
        self._ended = page["closed"] or page["status"] in ENDED
        early = self._clock() - self._asked_at < self._wait_s / 2
        return random.uniform(0.2, 1.0) if early and not self._ended else 0.0
