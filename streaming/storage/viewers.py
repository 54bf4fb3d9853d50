"""Who watches which job: the interface, and the viewers of a single process."""

from __future__ import annotations

import itertools
import math
import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from streaming.concurrency.platform import native_lock
from streaming.events.event import rfc3339

#: Seconds for a reader to reconnect after the server has ended its stream.
SENT_AWAY_S = 60.0
#: For how many jobs the time is remembered at which the last viewer left.
REMEMBERED = 20_000


#: Transport, epoch seconds of its arrival, position.
_Entry = tuple[str, float, Callable[[], int]]


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody who watches a job."""

    id: str
    transport: str
    since: str
    position: int


class Viewers(ABC):
    """Who watches which job, over all processes."""

    #: Seconds until every process knows of a new viewer.
    lag_s = 0.0

    @abstractmethod
    def enter(self, job: str, transport: str, position: Callable[[], int]) -> str:
        """Add a viewer, whose position is `position()` at any time; the id for `leave`."""

    @abstractmethod
    def leave(self, job: str, viewer: str, *, sent_away: bool = False) -> None:
        """Remove a viewer; an unknown one does nothing.

        One that the server has sent away counts as present for `SENT_AWAY_S` more.
        """

    @abstractmethod
    def of(self, job: str) -> list[Viewer]:
        """Who watches now."""

    def here(self, job: str) -> list[Viewer]:
        """Those of them who watch through this process."""
        return self.of(job)

    @abstractmethod
    def absent_s(self, job: str) -> float:
        """Seconds since the last viewer left: 0 while there is one, infinite if there never was.

        Counted from `SENT_AWAY_S` later for one that was sent away, or whose process died.
        """


class LocalViewers(Viewers):
    """Who watches which job, in this process's memory."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left_at: OrderedDict[str, float] = OrderedDict()
        self._lock = native_lock()
        self._jobs: dict[str, dict[str, _Entry]] = {}
        self._ids = itertools.count(1)

    def enter(self, job: str, transport: str, position: Callable[[], int]) -> str:
        viewer = str(next(self._ids))
        with self._lock:
            self._jobs.setdefault(job, {})[viewer] = (transport, time.time(), position)
            self._left_at.pop(job, None)  # the one that was sent away is back
        return viewer

    def leave(self, job: str, viewer: str, *, sent_away: bool = False) -> None:
        with self._lock:
            known = self._jobs.get(job, {})
            if known.pop(viewer, None) is None:
                return
            left_at = self._clock() + (SENT_AWAY_S if sent_away else 0.0)
            self._left_at[job] = max(left_at, self._left_at.get(job, left_at))
            self._left_at.move_to_end(job)
            if not known:
                self._jobs.pop(job, None)
            while len(self._left_at) > REMEMBERED:
                self._left_at.popitem(last=False)

    def of(self, job: str) -> list[Viewer]:
        with self._lock:
            entries = list(self._jobs.get(job, {}).items())
        return [
            Viewer(viewer, transport, rfc3339(since), position())
            for viewer, (transport, since, position) in entries
        ]

    def has(self, job: str) -> bool:
        """Whether anybody watches."""
        with self._lock:
            return job in self._jobs

    def absent_s(self, job: str) -> float:
        with self._lock:
            if job in self._jobs:
                return 0.0
            return max(0.0, self._clock() - self._left_at.get(job, -math.inf))
