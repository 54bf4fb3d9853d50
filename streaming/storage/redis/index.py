"""The job index in Redis."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Collection, Iterable, Iterator

from streaming.errors import NotFound
from streaming.events.vocabulary import ENDED
from streaming.storage.base import JobIndex
from streaming.storage.redis import memberships as names
from streaming.storage.redis.connection import Argument, Command
from streaming.storage.redis.follower import Follower
from streaming.storage.redis.keys import Keys
from streaming.storage.redis.link import Link, call
from streaming.storage.redis.memberships import Memberships
from streaming.storage.redis.rows import Rows, StoredRow, encode, new_rev
from streaming.storage.redis.scripts import CLAIM, CREATE, REMOVE
from streaming.storage.rows import JobRow, Submission, check_digest, extend, first_row

#: Seconds that an idempotency key lasts when its job was not stored after all.
CLAIM_S = 3600
#: Candidates looked up at a time.
STRIDE = 200
#: Maximum rows returned by `due` and by `long`.
DUE, LONG = 1000, 100


class RedisIndex(JobIndex):
    """Rows are written with their log's appends; lists look up candidates of a sorted set."""

    def __init__(
        self,
        link: Link,
        rows: Rows,
        keys: Keys,
        *,
        memberships: Memberships,
        follower: Follower,
        tombstone_s: float,
    ) -> None:
        self._link = link
        self._rows = rows
        self._keys = keys
        self._memberships = memberships
        self._follower = follower
        self._tombstone_s = tombstone_s

    def submit(self, submission: Submission, *, only_known: bool = False) -> tuple[JobRow, bool]:
        if submission.key is None:
            if only_known:
                raise NotFound("no job has this key")
            return self._create(submission, submission.id)
        claimed = self.claim(submission, claim=not only_known)
        if claimed is None:
            raise NotFound("no job has this key")
        known = self.get(claimed)
        if known is not None:
            return known, False
        if only_known:
            raise NotFound("no job has this key")
        # The job that has the key was never stored: we store it, or a concurrent caller does.
        return self._create(submission, claimed)

    def get(self, job: str) -> JobRow | None:
        stored = self._rows.get(job)
        return None if stored is None else stored.row

    def list(
        self,
        *,
        owner: str | None = None,
        statuses: Collection[str] = (),
        task: str | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> list[JobRow]:
        name = _narrowest(owner, statuses, task)
        found: list[JobRow] = []
        for row in self._candidates(name, before, min(STRIDE, 2 * limit)):
            if (
                (owner is None or row.owner == owner)
                and (not statuses or row.status in statuses)
                and (task is None or row.task == task)
                and not row.expired
            ):
                found.append(row)
                if len(found) == limit:
                    break
        return found

    def remove(self, job: str, *, tombstone: bool) -> None:
        stored = self._rows.get(job)
        if stored is None:
            return
        self._release(stored)
        over = repr(time.time() + self._tombstone_s) if tombstone else ""
        keys = self._keys
        of_job = [keys.row(job), keys.events(job), keys.records(job), keys.base(job)]
        script = call(REMOVE, [*of_job, keys.viewers(job)], keys.channel(job), new_rev(), over)
        [size] = self._link.call(script)
        left = self._rows.get(job)
        after = None if left is None else left.row
        self._link.call(
            *self._memberships.changes(stored.row, after),
            ("ZREM", keys.jobs(names.UNFINISHED), job),
        )
        self._memberships.grow(-int(size or 0))
        self._follower.tails.drop(job)

    def due(self, now: float) -> Iterable[str]:
        until = "+inf" if math.isinf(now) else repr(now)
        [found] = self._link.call(
            ("ZRANGEBYSCORE", self._keys.jobs(names.EXPIRY), "-inf", until, "LIMIT", 0, DUE)
        )
        return [job.decode() for job in found]

    def long(self, events: int) -> Iterable[JobRow]:
        [found] = self._link.call(
            ("ZRANGEBYSCORE", self._keys.jobs(names.LENGTHS), f"({events}", "+inf")
        )
        rows: list[JobRow] = []
        for start in range(0, len(found), STRIDE):
            jobs = [job.decode() for job in found[start : start + STRIDE]]
            stored = [each for each in self._rows.get_all(jobs) if each is not None]
            rows += [s.row for s in stored if s.row.seq - s.row.base > events]
        return [row for row in rows if not row.expired][:LONG]

    def claim(self, submission: Submission, *, claim: bool) -> str | None:
        """The job that has the key; with `claim`, the submission's own job if none had it."""
        assert submission.key is not None
        key = self._keys.claim(submission.owner, submission.key)
        value = json.dumps({"job": submission.id, "digest": submission.digest})
        [found] = self._link.call(call(CLAIM, [key], value, CLAIM_S if claim else ""))
        if found is None:
            return submission.id if claim else None
        known = json.loads(found)
        check_digest(known["digest"], submission)
        return str(known["job"])

    def _create(self, submission: Submission, job: str) -> tuple[JobRow, bool]:
        """Store the job unless it exists: `(row, whether we stored it)`."""
        first = first_row(submission)
        row, events = extend(JobRow(job, first.owner, first.summary), [submission.queued])
        fields: list[Argument] = ["rev", new_rev(), "owner", row.owner, "base", 0]
        fields += ["key", submission.key or "", *encode(row)]
        create = call(
            CREATE,
            [self._keys.row(job), self._keys.events(job), self._keys.records(job)],
            len(fields),
            *fields,
            events[0].json,
            *(part for record in submission.records.items() for part in record),
        )
        commands: list[Command] = [*self._memberships.changes(None, row), create]
        if submission.key is not None:
            commands.append(("PERSIST", self._keys.claim(submission.owner, submission.key)))
        results = self._link.call(*commands)
        new = results[len(commands) - (1 if submission.key is None else 2)]
        if new:
            self._memberships.grow(row.size)
            return row, True
        stored = self._rows.get(job)
        if stored is None:
            raise NotFound(f"there is no job {job}", code="job_not_found")
        return stored.row, False

    def _release(self, stored: StoredRow) -> None:
        """Give back the idempotency key of a job that is removed."""
        if not stored.key:
            return
        key = self._keys.claim(stored.row.owner, stored.key)
        [found] = self._link.call(("GET", key))
        if found is not None and json.loads(found)["job"] == stored.row.id:
            self._link.call(("DEL", key))

    def _candidates(self, name: str, before: str | None, stride: int) -> Iterator[JobRow]:
        """The rows of an index, newest first."""
        last = "+" if before is None else f"({before}"
        while True:
            [found] = self._link.call(
                ("ZREVRANGEBYLEX", self._keys.jobs(name), last, "-", "LIMIT", 0, stride)
            )
            jobs = [job.decode() for job in found]
            for stored in self._rows.get_all(jobs):
                if stored is not None:
                    yield stored.row
            if len(jobs) < stride:
                return
            last = f"({jobs[-1]}"


def _narrowest(owner: str | None, statuses: Collection[str], task: str | None) -> str:
    """The smallest index that has all jobs that are wanted."""
    if statuses and not ENDED & set(statuses):
        return names.UNFINISHED
    if owner is None:
        return names.ALL
    if len(set(statuses)) == 1:
        return names.status_name(owner, next(iter(statuses)))
    return names.owner_name(owner) if task is None else names.task_name(owner, task)
