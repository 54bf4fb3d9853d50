"""Progress of one attempt: `percent`, which never falls, and `eta_s`, the time that is left."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from streaming.events.vocabulary import JsonObject

#: Minimum seconds between two progress events, and the percentage step that is due sooner.
INTERVAL_S = 0.5
WORTH_PERCENT = 10.0
#: Seconds of steps after which they predict the time left; shorter ones say too little.
ESTIMATE_AFTER_S = 1.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What a `job.progress` event says."""

    percent: float
    eta_s: float | None
    basis: str
    message: str | None

    def data(self) -> JsonObject:
        return {
            "percent": self.percent,
            "eta_s": self.eta_s,
            "basis": self.basis,
            "message": self.message,
        }


class Progress:
    """Counts what is done. All steps weigh the same; within a step the task counts its own units.

    `measured`: the task has one step and counts its units, so the rate is known. `estimated`: the
    steps to come are assumed to take as long as those before, or the task has guessed the total.
    """

    def __init__(
        self, steps: int, done: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._began = self._step_began = clock()
        self._steps = max(1, steps)
        self._done = done
        self._fraction = 0.0
        #: Seconds that each step of this attempt took.
        self._durations: list[float] = []
        self._shown = Reading(0.0, None, "estimated", None)
        self._shown_at: float | None = None
        #: The percentage at which an event is due at once.
        self._worth = 0.0

    def plan(self, steps: int) -> None:
        """Set the number of steps, completed ones included."""
        self._steps = max(1, steps)

    def count(
        self, done: float, total: float, message: str | None, *, estimated: bool = False
    ) -> Reading | None:
        """Units of the present step are done; a reading when one is due."""
        # Numbers of numpy and others become Python's.
        self._fraction = min(1.0, max(0.0, float(done / total))) if total > 0 else 0.0
        if message is None and not self._may_be_due():
            return None
        known = self._steps == 1 and not estimated
        return self._read("measured" if known else "estimated", message)

    def step_completed(self) -> Reading | None:
        """The present step is done."""
        now = self._clock()
        self._durations.append(now - self._step_began)
        self._step_began = now
        self._done = min(self._steps, self._done + 1)
        self._fraction = 0.0
        return self._read("estimated" if self._done < self._steps else "measured", None)

    def _may_be_due(self) -> bool:
        """A quick check: tasks count each token, and few of these become events."""
        if self._shown_at is None or self._clock() - self._shown_at >= INTERVAL_S:
            return True
        percent = (self._done + self._fraction) / self._steps * 100
        return percent >= self._worth - 0.05  # what is shown is rounded

    def _read(self, basis: str, message: str | None) -> Reading | None:
        now = self._clock()
        part = min(1.0, (self._done + self._fraction) / self._steps)
        percent = max(self._shown.percent, round(part * 100, 1))
        reading = Reading(percent, self._eta_s(now, basis), basis, message)
        if not self._due(reading, now):
            return None
        self._shown, self._shown_at = reading, now
        self._worth = min(100.0, percent + WORTH_PERCENT)
        return reading

    def _eta_s(self, now: float, basis: str) -> float | None:
        """The rest of the present step at its own rate, and the steps after it at the mean."""
        if self._done >= self._steps:
            return 0.0
        if basis == "estimated" and now - self._began < ESTIMATE_AFTER_S:
            return None
        rest_s, known = 0.0, list(self._durations)
        if self._fraction > 0:
            spent_s = now - self._step_began
            rest_s = spent_s / self._fraction * (1 - self._fraction)
            known.append(spent_s + rest_s)
        if not known:
            return None
        whole_steps = self._steps - self._done - (1 if self._fraction > 0 else 0)
        return round(rest_s + whole_steps * sum(known) / len(known), 1)

    def _due(self, reading: Reading, now: float) -> bool:
        if self._shown_at is None:
            return True
        if reading.message != self._shown.message and reading.message is not None:
            return True
        if reading.percent == self._shown.percent:
            return False
        quiet = now - self._shown_at >= INTERVAL_S
        return quiet or reading.percent >= self._worth
