"""How loaded the server is, as a level from 0 to 3, worked out from measured signals. No I/O.

A level is reached when a signal has been above its bound for some seconds without a break, and
left when all signals have been well below it for as long, so that it does not flutter.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

#: Seconds that a signal must be above its bound before the level rises, or below before it falls.
RISE_S, FALL_S = 5.0, 5.0
#: A level is left when all signals are below this share of its bounds.
HYSTERESIS = 0.8
#: The highest level.
TOP = 3

#: For each signal the bounds of levels 1, 2 and 3. Busy cores alone refuse nobody; neither do open
#: streams, which have a limit of their own.
BOUNDS: Mapping[str, tuple[float, float, float]] = {
    "loop_lag_s": (0.1, 0.4, 1.5),
    "queue": (0.5, 0.8, 0.98),
    "streams": (0.8, 0.95, math.inf),
    "lagging": (0.2, 0.4, 0.8),
    "cpu": (0.85, 0.95, math.inf),
}

#: Seconds between two frames of a stream at each level.
FRAME_GAP_S = (0.0, 0.1, 0.5, 0.5)


@dataclass(frozen=True, slots=True)
class Signals:
    """What was measured. Shares are of the capacity, from 0 to 1."""

    #: Seconds by which the event loop (or a thread's turn) is late.
    loop_lag_s: float = 0.0
    #: How full the job queue is.
    queue: float = 0.0
    #: How many of the streams' slots are taken.
    streams: float = 0.0
    #: How many of the readers are far behind.
    lagging: float = 0.0
    #: How much of all cores this process uses.
    cpu: float = 0.0
    #: Lag in events of the slowest reader; raises no level by itself.
    lag: int = 0


class Pressure:
    """The level. One thread calls `look`, regularly; `level` and `why` may be read by all."""

    def __init__(
        self,
        *,
        bounds: Mapping[str, tuple[float, float, float]] = BOUNDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.level = 0
        #: The signal that has raised it, or "" at level 0.
        self.why = ""
        self.signals = Signals()
        self._bounds = bounds
        self._clock = clock
        #: Since when the signals have been above the bounds of each level.
        self._above: list[float | None] = [None] * (TOP + 1)
        self._below: float | None = None

    def at(self) -> int:
        """The present level."""
        return self.level

    def at_top(self) -> bool:
        """Whether new jobs and readers are refused."""
        return self.level >= TOP

    def look(self, signals: Signals) -> bool:
        """Take in what was measured; whether the level has changed."""
        self.signals = signals
        now, before = self._clock(), self.level
        measured = asdict(signals)
        for level in range(1, TOP + 1):
            if self._strongest(measured, level, 1.0) is None:
                self._above[level] = None
            elif self._above[level] is None:
                self._above[level] = now
        self._rise(measured, now)
        if self.level == before:
            self._fall(measured, now)
        return self.level != before

    def _rise(self, measured: Mapping[str, float], now: float) -> None:
        for level in range(TOP, self.level, -1):
            since = self._above[level]
            if since is not None and now - since >= RISE_S:
                self.level, self.why = level, self._strongest(measured, level, 1.0) or ""
                self._below = None
                return

    def _fall(self, measured: Mapping[str, float], now: float) -> None:
        if self.level == 0 or self._strongest(measured, self.level, HYSTERESIS) is not None:
            self._below = None
            return
        self._below = now if self._below is None else self._below
        if now - self._below < FALL_S:
            return
        self._below = None
        while self.level and self._strongest(measured, self.level, HYSTERESIS) is None:
            self.level -= 1
        self.why = self._strongest(measured, self.level, HYSTERESIS) or "" if self.level else ""

    def _strongest(self, measured: Mapping[str, float], level: int, share: float) -> str | None:
        """The signal that is furthest above its bound of a level, if one is."""
        excess = {
            name: measured[name] / (bounds[level - 1] * share)
            for name, bounds in self._bounds.items()
            if measured[name] >= bounds[level - 1] * share
        }
        return max(excess, key=excess.__getitem__) if excess else None
