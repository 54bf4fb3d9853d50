"""How often a reader gets events, and which are left out: by pressure, and by its own socket."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from itertools import groupby

from streaming.events.thinning import SKIP_LEVEL, thin
from streaming.watching.cursor import Delivery
from streaming.watching.pressure import FRAME_GAP_S, Pressure

#: Seconds for which a live reader's socket must have been full before it is thinned at level 0.
FULL_S = 1.0


class Pace:
    """The pace of one stream. Used by its thread."""

    __slots__ = ("_clock", "_live", "_pressure", "_sent_at", "_slow")

    def __init__(self, pressure: Pressure, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._pressure = pressure
        self._clock = clock
        self._sent_at = -math.inf
        #: Whether it had caught up at its last delivery.
        self._live = False
        #: Whether its socket was full for too long, and it has not caught up since.
        self._slow = False

    @property
    def is_slow(self) -> bool:
        """Whether it is thinned because its own socket has been full."""
        return self._slow

    @property
    def level(self) -> int:
        """The level by which its events are thinned."""
        return max(self._pressure.level, SKIP_LEVEL if self._slow else 0)

    def rest_s(self) -> float:
        """Seconds until the next delivery; a reader who is catching up need not wait."""
        if not self._live:
            return 0.0
        return self._sent_at + FRAME_GAP_S[self._pressure.level] - self._clock()

    def sent(self, *, began: float, caught_up: bool) -> None:
        """Note a delivery that began at `began`, on the clock."""
        self._sent_at = self._clock()
        full = self._live and self._sent_at - began > FULL_S
        self._slow = full or (self._slow and not caught_up)
        self._live = caught_up


def thinned(found: list[Delivery], before: Mapping[str, int], level: int) -> list[Delivery]:
    """The deliveries, thinned for a level, for a reader who was at `before`; unchanged at 0."""
    if level == 0:
        return found
    given: list[Delivery] = []
    for (job, is_event), group in groupby(found, key=lambda each: (each.job, bool(each.event))):
        deliveries = list(group)
        if not is_event:
            given += deliveries
            continue
        after = next((each.position for each in reversed(given) if each.job == job), before[job])
        events = [each.event for each in deliveries if each.event is not None]
        given += [
            Delivery(job, each.event.seq, each.event, since=each.since)
            for each in thin(events, after, skip=level >= SKIP_LEVEL)
        ]
    return given
