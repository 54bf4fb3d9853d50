"""Logs that storage has set back go on, in a way that no reader misses what was lost unaware."""

from __future__ import annotations

import contextlib
import random

from streaming.concurrency.periodic import Periodic
from streaming.errors import NotFound
from streaming.events.event import Draft
from streaming.storage.base import Storage
from streaming.storage.mender import Mender
from streaming.storage.snapshots import Snapshots

#: Seconds between two looks.
LOOK_S = 0.5


class Mending:
    """Owns one loop, for where storage may lose what it has acknowledged."""

    def __init__(self, storage: Storage, snapshots: Snapshots) -> None:
        self._storage = storage
        self._snapshots = snapshots
        self.loop = Periodic(self.mend, every_s=LOOK_S, name="mending")

    def mend(self) -> None:
        """One look at every torn log."""
        mender = self._storage.mender
        if mender is None:
            return
        torn = list(mender.torn().items())
        random.shuffle(torn)  # other processes are at the same: they begin with others
        for job, seen in torn:
            self._snapshots.drop(job)  # it has what is lost
            with contextlib.suppress(NotFound):  # removed meanwhile
                self._mend(mender, job, seen)

    def _mend(self, mender: Mender, job: str, seen: int) -> None:
        page = self._storage.log.page(job, 0, 1)
        if page.base > seen:  # another process was first
            return
        at, end, state = page.last, None, self._snapshots.state_at(job, page.last)
        if page.closed and at > page.base:
            last = self._storage.log.page(job, at - 1, 1).events[0].envelope
            end = Draft(last["type"], last["data"], last["at"])
            state = self._snapshots.state_at(job, at - 1)
        state.seq = max(seen, at) + 1
        mender.mend(job, state.dump(), at=at, seq=state.seq, end=end)
