"""Viewers of a single process."""

from __future__ import annotations

import itertools
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from streaming.concurrency import native_lock
from streaming.events import now_rfc3339
from streaming.storage.base import Viewer, Viewers

#: Jobs of which it is remembered when their last viewer left.
REMEMBERED = 20_000


class LocalViewers(Viewers):
    """Who watches which job, in this process's memory."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left_at: OrderedDict[str, float] = OrderedDict()
        self._lock = native_lock()
        self._jobs: dict[str, dict[str, Viewer]] = {}
        self._ids = itertools.count(1)

    def enter(self, job: str, transport: str, position: int) -> str:
        viewer = Viewer(str(next(self._ids)), transport, now_rfc3339(), position)
        with self._lock:
            self._jobs.setdefault(job, {})[viewer.id] = viewer
        return viewer.id

    def move(self, job: str, viewer: str, position: int) -> None:
        with self._lock:
            known = self._jobs.get(job, {})
            if viewer in known:
                known[viewer] = replace(known[viewer], position=position)

    def leave(self, job: str, viewer: str) -> None:
        with self._lock:
            known = self._jobs.get(job, {})
            if known.pop(viewer, None) is not None and not known:
                self._jobs.pop(job, None)
                self._left_at[job] = self._clock()
                self._left_at.move_to_end(job)
            while len(self._left_at) > REMEMBERED:
                self._left_at.popitem(last=False)

    def of(self, job: str) -> list[Viewer]:
        with self._lock:
            return list(self._jobs.get(job, {}).values())

    def absent_s(self, job: str) -> float:
        with self._lock:
            if job in self._jobs:
                return 0.0
            return self._clock() - self._left_at.get(job, -math.inf)
