"""The indexes over jobs: to which of them a row belongs.

They are written after the rows, which alone are authoritative: an entry is a candidate, checked
against its row before it is used. What a crash leaves undone is repaired by going through all rows.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping

from streaming.concurrency.periodic import Periodic
from streaming.concurrency.platform import native_lock
from streaming.errors import Damaged
from streaming.storage.redis.connection import Command
from streaming.storage.redis.keys import Keys, digest
from streaming.storage.redis.link import Link, call
from streaming.storage.redis.rows import Rows, StoredRow
from streaming.storage.redis.scripts import TURN
from streaming.storage.rows import JobRow

#: Jobs that a repair checks at a time.
STRIDE = 500
#: Seconds between two repairs.
REPAIR_S = 300.0
#: Seconds for which no other process repairs.
TURN_S = 240
#: Seconds after which an entry without a row is not a submission under way.
SETTLED_S = 60.0

ALL, UNFINISHED, LENGTHS, EXPIRY = "all", "unfinished", "lengths", "expiry"


def owner_name(owner: str) -> str:
    return f"owner:{digest(owner)}"


def task_name(owner: str, task: str) -> str:
    return f"task:{digest(owner)}:{task}"


def status_name(owner: str, status: str) -> str:
    """The index of ended jobs with a status; unfinished jobs change too often for one."""
    return f"status:{digest(owner)}:{status}"


def memberships(row: JobRow) -> dict[str, float]:
    """The indexes that the row is in, with its score."""
    found: dict[str, float] = {ALL: 0}
    if row.expires_at is not None:
        found[EXPIRY] = row.expires_at
    if row.expired:
        return found
    found |= {owner_name(row.owner): 0, task_name(row.owner, row.task): 0}
    found[status_name(row.owner, row.status) if row.closed else UNFINISHED] = 0
    # An upper bound, rewritten only when the length has doubled.
    found[LENGTHS] = 1 << (row.seq - row.base).bit_length()
    return found


class Memberships:
    """Keeps the indexes, and the size of all jobs, in step with the rows."""

    def __init__(self, link: Link, rows: Rows, keys: Keys) -> None:
        self._link = link
        self._rows = rows
        self._keys = keys
        self._lock = native_lock()
        #: Bytes that are not in the shared count yet.
        self._grown = 0
        self._process = os.urandom(6).hex()
        self.loop = Periodic(self._repair_in_turn, every_s=REPAIR_S, name="redis-repair")

    def changes(self, before: JobRow | None, after: JobRow | None) -> list[Command]:
        """The commands that bring the indexes from one row of a job to another."""
        old = {} if before is None else memberships(before)
        new = {} if after is None else memberships(after)
        row = after or before
        assert row is not None
        commands: list[Command] = [
            ("ZADD", self._keys.jobs(name), score, row.id)
            for name, score in new.items()
            if old.get(name) != score
        ]
        gone = [("ZREM", self._keys.jobs(name), row.id) for name in old if name not in new]
        return commands + gone

    def grow(self, by: int) -> None:
        """Count bytes by which rows have grown."""
        with self._lock:
            self._grown += by

    def take_grown(self) -> int:
        """Take the bytes to add to the shared count; after a failure, `grow` returns them."""
        with self._lock:
            grown, self._grown = self._grown, 0
        return grown

    def size(self) -> int:
        """Bytes of all jobs, as their rows count them."""
        grown = self.take_grown()
        try:
            [size] = self._link.call(("INCRBY", self._keys.size, grown))
        except BaseException:
            self.grow(grown)
            raise
        return int(size)

    def _repair_in_turn(self) -> None:
        """Repair, unless another process has done so recently."""
        [mine] = self._link.call(
            call(TURN, [self._keys.turn("repair")], self._process, TURN_S * 1000)
        )
        if mine:
            self.repair()

    def repair(self) -> None:
        """Bring the indexes in line with the rows, and recount the size."""
        before, size = self.size(), 0
        for jobs in self._strides():
            found = self._rows.look_up(jobs)
            size += sum(each.row.size for each in found if isinstance(each, StoredRow))
            commands: list[Command] = []
            for job, stored in zip(jobs, found, strict=True):
                if isinstance(stored, Damaged):  # left for someone who can repair it
                    continue
                if stored is not None:
                    commands += self.changes(None, stored.row)
                    commands += self._leave_wrong(stored.row)
                elif _made_at(job) < time.time() - SETTLED_S:
                    commands.append(("ZREM", self._keys.jobs(ALL), job))
            self._link.call(*commands)
        # Appends meanwhile are in both counts: the difference is the old count's error.
        self._link.call(("INCRBY", self._keys.size, size - before))
        self._drop_rowless()

    def _leave_wrong(self, row: JobRow) -> list[Command]:
        if not row.closed and not row.expired:
            return []
        return [("ZREM", self._keys.jobs(UNFINISHED), row.id)]

    def _drop_rowless(self) -> None:
        """Drop entries of the shared indexes whose job is not in the index of all jobs."""
        for name in (UNFINISHED, LENGTHS, EXPIRY):
            [jobs] = self._link.call(("ZRANGE", self._keys.jobs(name), 0, -1))
            known = self._link.call(*[("ZSCORE", self._keys.jobs(ALL), job) for job in jobs])
            gone = [job for job, score in zip(jobs, known, strict=True) if score is None]
            self._link.call(*[("ZREM", self._keys.jobs(name), job) for job in gone])

    def _strides(self) -> Iterator[list[str]]:
        last = "-"
        while True:
            [found] = self._link.call(
                ("ZRANGEBYLEX", self._keys.jobs(ALL), last, "+", "LIMIT", 0, STRIDE)
            )
            if not found:
                return
            jobs = [job.decode() for job in found]
            yield jobs
            last = f"({jobs[-1]}"


_DIGITS: Mapping[str, int] = {
    digit: value for value, digit in enumerate("0123456789ABCDEFGHJKMNPQRSTVWXYZ")
}


def _made_at(job: str) -> float:
    """Epoch seconds of a job's creation, from its id; 0 for anything else."""
    stamp = 0
    for digit in job.rpartition("_")[2][:10]:
        if digit not in _DIGITS:
            return 0.0
        stamp = stamp << 5 | _DIGITS[digit]
    return stamp / 1000
