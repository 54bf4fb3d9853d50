"""Retention: by age after the end, by events per job, by size of all."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable

from streaming.concurrency.periodic import Periodic
from streaming.errors import NotFound
from streaming.jobs.conversations import Conversations
from streaming.storage.base import Storage
from streaming.storage.rows import JobRow
from streaming.storage.snapshots import Snapshots

logger = logging.getLogger(__name__)

#: Seconds between two looks.
TICK_S = 0.5
#: Seconds between two looks at the uploads' folder.
FILES_S = 60.0
#: Minimum seconds that a client's session is kept.
SESSION_S = 7 * 86400.0
#: What is kept of the size limit when it is reached, so that it is not reached at each look.
KEEP = 0.9


class Retention:
    """Removes what is too old or too much. Owns one loop."""

    def __init__(
        self,
        storage: Storage,
        snapshots: Snapshots,
        *,
        forget: Callable[[str], None],
        retention_s: float,
        events: int,
        size: int,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._storage = storage
        self._snapshots = snapshots
        self._forget = forget
        self._retention_s = retention_s
        self._events = events
        self._size = size
        self._now = now
        self._next_files = 0.0
        self.loop = Periodic(self._look, every_s=TICK_S, name="retention")

    def sweep(self) -> None:
        """One look at everything."""
        self._expire_old()
        self._trim_long()
        self._shrink_to_size()
        if self._now() >= self._next_files:
            self._next_files = self._now() + FILES_S
            self._drop_old_files()

    def _look(self) -> None:
        if self._storage.turn("retention"):
            self.sweep()

    def _expire_old(self) -> None:
        for job in self._storage.index.due(self._now()):
            row = self._storage.index.get(job)
            if row is not None and row.expired:  # its tombstone has lasted
                self._storage.index.remove(job, tombstone=False)
            else:
                self._forget(job)

    def _trim_long(self) -> None:
        for row in self._storage.index.long(self._events):
            self._trim(row, row.seq - self._events)

    def _shrink_to_size(self) -> None:
        """The oldest ended jobs go first; then the heads of the largest logs."""
        if self._storage.size() <= self._size:
            return
        target = self._size * KEEP
        for job in self._storage.index.due(math.inf):
            if self._storage.size() <= target:
                return
            row = self._storage.index.get(job)
            if row is not None and not row.expired:
                logger.warning("removing job %s: STREAMING_RETENTION_BYTES is reached", job)
                self._forget(job)
        running = self._storage.index.list(limit=1000)
        for row in sorted(running, key=lambda row: -row.size):
            if self._storage.size() <= target:
                return
            self._trim(row, row.base + (row.seq - row.base) // 2)

    def _trim(self, row: JobRow, before: int) -> None:
        try:
            base = self._snapshots.state_at(row.id, before)
            self._storage.log.trim(row.id, before, base.dump())
        except NotFound:  # deleted meanwhile
            return

    def _drop_old_files(self) -> None:
        """Uploads that are too old or, the oldest first, too much; what belongs to no job."""
        room = self._size
        uploads = self._storage.blobs.folders("file_")
        for folder in sorted(uploads, key=lambda folder: -folder.made_at):
            room -= folder.size
            if room < 0 or self._now() - folder.made_at > self._retention_s:
                self._storage.blobs.delete(folder.name)
        for folder in self._storage.blobs.folders("job_"):
            row = self._storage.index.get(folder.name)
            if row is None or row.expired:
                self._storage.blobs.delete(folder.name)
        Conversations(self._storage).drop_old(
            sessions_before=self._now() - max(self._retention_s, SESSION_S)
        )
