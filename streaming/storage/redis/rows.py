"""Rows and events in the form that Redis stores."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from streaming.errors import Damaged
from streaming.events.event import Event, dumps
from streaming.events.summary import Summary
from streaming.storage.redis.connection import Argument, Reply
from streaming.storage.redis.keys import Keys
from streaming.storage.redis.link import Link, call
from streaming.storage.redis.scripts import PAGE
from streaming.storage.rows import PAGE_BYTES, JobRow

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A row, with what only this storage needs."""

    row: JobRow
    #: Names this state of the row.
    rev: bytes
    #: The job's idempotency key, or "".
    key: str


class Rows:
    """Reads rows and pages of events."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys
        #: Jobs with unreadable rows, each logged once.
        self._unreadable: set[str] = set()

    def get(self, job: str) -> StoredRow | None:
        """The row, None if there is none; `Damaged` when it cannot be read."""
        [found] = self.look_up([job])
        if isinstance(found, Damaged):
            raise found
        return found

    def get_all(self, jobs: Collection[str]) -> list[StoredRow | None]:
        """The rows in the order of the jobs, None where there is no readable one."""
        rows: list[StoredRow | None] = []
        for job, found in zip(jobs, self.look_up(jobs), strict=True):
            if isinstance(found, Damaged) and job not in self._unreadable:
                self._unreadable.add(job)
                logger.error("%s: it is left out of all lists", found.detail)
            rows.append(None if isinstance(found, Damaged) else found)
        return rows

    def look_up(self, jobs: Collection[str]) -> list[StoredRow | Damaged | None]:
        """The rows in the order of the jobs: None where there is none, an error if unreadable."""
        found = self._link.try_all(*[("HGETALL", self._keys.row(job)) for job in jobs])
        return [_readable(job, fields) for job, fields in zip(jobs, found, strict=True)]

    def page(self, job: str, after: int, limit: int) -> list[Event]:
        """The events after position `after`, up to the limits of a page."""
        return self.pages([(job, after, limit)])[0]

    def pages(self, wanted: Sequence[tuple[str, int, int]]) -> list[list[Event]]:
        """Several pages in one round trip."""
        found = self._link.call(
            *[
                call(PAGE, [self._keys.events(job)], f"{after + 1}-0", limit, PAGE_BYTES)
                for job, after, limit in wanted
            ]
        )
        return [
            [event_of(job, body) for body in bodies]
            for (job, _, _), bodies in zip(wanted, found, strict=True)
        ]


def _readable(job: str, fields: Reply) -> StoredRow | Damaged | None:
    try:
        if isinstance(fields, Exception):
            raise fields
        return decode(job, fields)
    except Damaged as error:
        return error


def new_rev() -> bytes:
    """A unique name for a state of a row."""
    return os.urandom(8).hex().encode()


def encode(row: JobRow, *, summary: bool = True) -> list[Argument]:
    """The row's fields and values; without `summary`, those that every append changes."""
    fields: list[Argument] = ["seq", row.seq, "size", row.size]
    if summary:
        expires_at = "" if row.expires_at is None else repr(row.expires_at)
        fields += ["summary", dumps(row.summary.to_json()), "expires_at", expires_at]
    return fields


def decode(job: str, fields: Mapping[bytes, bytes] | Sequence[bytes]) -> StoredRow | None:
    """The row from HGETALL's answer; `Damaged` when it cannot be read."""
    if not isinstance(fields, Mapping):
        fields = dict(zip(fields[::2], fields[1::2], strict=True))
    if b"rev" not in fields:
        return None
    try:
        return _decode(job, fields)
    except (ValueError, TypeError, LookupError) as error:
        raise Damaged(f"the row of job {job} cannot be read") from error


def _decode(job: str, fields: Mapping[bytes, bytes]) -> StoredRow:
    summary = Summary.from_json(json.loads(fields[b"summary"]))
    expires_at = fields[b"expires_at"]
    row = JobRow(
        job,
        fields[b"owner"].decode(),
        summary,
        seq=int(fields[b"seq"]),
        base=int(fields[b"base"]),
        size=int(fields[b"size"]),
        expires_at=float(expires_at) if expires_at else None,
        expired=fields.get(b"expired") == b"1",
    )
    return StoredRow(row, fields[b"rev"], fields.get(b"key", b"").decode())


def event_of(job: str, body: bytes) -> Event:
    """The event of an envelope; `Damaged` when it cannot be read."""
    try:
        return Event.parse(body)
    except ValueError as error:
        raise Damaged(f"an event of job {job} cannot be read") from error
