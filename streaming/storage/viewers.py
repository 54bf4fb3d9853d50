"""Viewers of a single process."""

from __future__ import annotations

import itertools
import math
import time
from collections import OrderedDict
from collections.abc import Callable

from streaming.concurrency.platform import native_lock
from streaming.events.event import rfc3339
from streaming.storage.base import SENT_AWAY_S, Viewer, Viewers

#: Jobs of which it is remembered when their last viewer left.
REMEMBERED = 20_000


#: Transport, epoch seconds of its coming, position.
_Entry = tuple[str, float, Callable[[], int]]


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
            self._left_at.pop(job, None)  # whoever was sent away has come back
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
