"""Progress of one attempt: a percentage that never falls, and the time that is left."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from streaming.events import Json

#: Seconds between two progress events at the least, and the percent that is worth one sooner.
INTERVAL_S = 0.25
WORTH_PERCENT = 5.0
#: Seconds after which steps say something about the time that is left; before, they are too quick.
ESTIMATE_AFTER_S = 1.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What a `job.progress` event says."""

    percent: float
    eta_s: float | None
    basis: str
    message: str | None

    def data(self) -> dict[str, Json]:
        return {
            "percent": self.percent,
            "eta_s": self.eta_s,
            "basis": self.basis,
            "message": self.message,
        }


class Progress:
    """Counts what is done. Steps count alike; within a step the task counts its own units.

    `measured`: units of a task of one step were counted, so that the rate is known.
    `estimated`: it rests on the steps taking equally long.
    """

    def __init__(
        self, steps: int, done: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._began = clock()
        self._steps = max(1, steps)
        self._done = done
        self._fraction = 0.0
        #: What earlier attempts had done counts in the percentage, not in the rate.
        self._head_start = done / self._steps
        self._shown = Reading(0.0, None, "estimated", None)
        self._shown_at: float | None = None

    def count(self, done: float, total: float, message: str | None) -> Reading | None:
        """Units of the present step are done; a reading when one is due."""
        self._fraction = min(1.0, max(0.0, done / total)) if total > 0 else 0.0
        return self._read("measured" if self._steps == 1 else "estimated", message)

    def step_completed(self) -> Reading | None:
        """The present step is done."""
        self._done = min(self._steps, self._done + 1)
        self._fraction = 0.0
        return self._read("estimated" if self._done < self._steps else "measured", None)

    def _read(self, basis: str, message: str | None) -> Reading | None:
        now = self._clock()
        part = min(1.0, (self._done + self._fraction) / self._steps)
        percent = max(self._shown.percent, round(part * 100, 1))
        gained, elapsed = part - self._head_start, now - self._began
        known = gained > 0 and (basis == "measured" or elapsed >= ESTIMATE_AFTER_S)
        eta_s = round(elapsed / gained * (1 - part), 1) if known else None
        reading = Reading(percent, eta_s, basis, message)
        if not self._due(reading, now):
            return None
        self._shown, self._shown_at = reading, now
        return reading

    def _due(self, reading: Reading, now: float) -> bool:
        if self._shown_at is None:
            return True
        if reading.message != self._shown.message and reading.message is not None:
            return True
        if reading.percent == self._shown.percent:
            return False
        quiet = now - self._shown_at >= INTERVAL_S
        return quiet or reading.percent >= min(100.0, self._shown.percent + WORTH_PERCENT)
