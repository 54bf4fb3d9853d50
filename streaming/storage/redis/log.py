"""The event log in Redis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streaming.concurrency.pending import Pending
from streaming.errors import NotFound, Unavailable
from streaming.events.event import Draft
from streaming.storage.base import EventLog, Live
from streaming.storage.redis.appends import Append
from streaming.storage.redis.follower import Follower
from streaming.storage.redis.keys import Keys
from streaming.storage.redis.link import Link, call
from streaming.storage.redis.memberships import Memberships
from streaming.storage.redis.rows import Rows, StoredRow, new_rev
from streaming.storage.redis.scripts import TRIM
from streaming.storage.redis.writer import Writer
from streaming.storage.rows import Expect, JobRow, Page
from streaming.storage.tail import Tail

#: Attempts at reading or trimming a log that changes meanwhile.
TRIES = 5
#: Events counted at a time by a trim.
STRIDE = 500


class RedisLog(EventLog):
    """Appends go through the writer; reads come from the tails, then from the streams."""

    def __init__(
        self,
        link: Link,
        rows: Rows,
        keys: Keys,
        *,
        writer: Writer,
        follower: Follower,
        memberships: Memberships,
        patience_s: float,
    ) -> None:
        self._link = link
        self._rows = rows
        self._keys = keys
        self._writer = writer
        self._follower = follower
        self._memberships = memberships
        self._patience_s = patience_s

    def append(
        self,
        job: str,
        drafts: Sequence[Draft],
        *,
        attempt: int | None = None,
        expect: Expect | None = None,
        records: Mapping[str, bytes] | None = None,
        patient: bool = True,
    ) -> JobRow:
        asked = Append(job, drafts, attempt, expect, records or {})
        if patient:
            return self._writer.post(asked, patience_s=self._patience_s).result()
        self._writer.silence.check()
        pending = self._writer.post(asked, patience_s=0.0)
        self._writer.silence.wait(pending)
        return pending.result()

    def post(
        self,
        job: str,
        drafts: Sequence[Draft],
        *,
        attempt: int,
        after: Pending[object] | None = None,
    ) -> Pending[object]:
        asked = Append(job, drafts, attempt, None, {}, after)
        return self._writer.post(asked, patience_s=self._patience_s)

    def page(self, job: str, after: int, limit: int) -> Page:
        tail = self._follower.tail(job)
        for _ in range(TRIES):
            page = tail.page(after, limit)
            if page is not None and after <= page.last:
                return page
            if page is not None:  # ahead of what this process knows: also of Redis?
                self._follower.catch_up([job])
                return tail.page(after, limit) or self._stored(tail, after, limit) or page
            page = self._stored(tail, after, limit)
            if page is not None:
                return page
            self._look_again(tail)
        raise Unavailable(f"the log of job {job} cannot be read at present", code="storage_away")

    def live(self, job: str) -> Live:
        return self._follower.tail(job)

    def trim(self, job: str, before: int, base: bytes) -> None:
        for _ in range(TRIES):
            stored = self._rows.get(job)
            if stored is None or stored.row.expired or not stored.row.base < before:
                return
            if before > stored.row.seq or self._trim(stored, before, base):
                return

    def base(self, job: str) -> bytes | None:
        [found] = self._link.call(("GET", self._keys.base(job)))
        return None if found is None else bytes(found)

    def records(self, job: str) -> Mapping[str, bytes]:
        [found] = self._link.call(("HGETALL", self._keys.records(job)))
        return {name.decode(): value for name, value in found.items()}

    def _stored(self, tail: Tail, after: int, limit: int) -> Page | None:
        """The page from Redis, up to what is published here; None if it does not fit the tail."""
        row = tail.row
        start = max(after, row.base)
        wanted = min(limit, row.seq - start)
        events = self._rows.page(row.id, start, wanted) if wanted > 0 else []
        if wanted > 0 and (not events or events[0].seq != start + 1):
            return None
        return Page(events, row.base, row.seq, row.closed)

    def _look_again(self, tail: Tail) -> None:
        """Find out what happened to a log that does not match its tail."""
        job = tail.row.id
        stored = self._rows.get(job)
        if stored is None or stored.row.expired:
            self._follower.tails.drop(job)
            raise NotFound(f"there is no job {job}", code="job_not_found")
        tail.trim(stored.row.base)
        self._follower.catch_up([job])

    def _trim(self, stored: StoredRow, before: int, base: bytes) -> bool:
        """Trim; False when the row's base has moved meanwhile."""
        row = stored.row
        size, after = 0, row.base
        while after < before:
            events = self._rows.page(row.id, after, min(STRIDE, before - after))
            if not events:
                return False
            size += sum(len(event.json) for event in events)
            after = events[-1].seq
        args = (self._keys.channel(row.id), new_rev(), row.base, before, base, size)
        [done] = self._link.call(call(TRIM, self._keys_of(row.id), *args))
        if not done:
            return False
        self._memberships.grow(-size)
        trimmed = self._rows.get(row.id)
        if trimmed is not None:
            self._link.call(*self._memberships.changes(row, trimmed.row))
        tail = self._follower.tails.find(row.id)
        if tail is not None:
            tail.trim(before)
        return True

    def _keys_of(self, job: str) -> list[str]:
        return [self._keys.row(job), self._keys.events(job), self._keys.base(job)]
