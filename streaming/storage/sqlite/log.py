"""The event log in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, takewhile

from streaming.concurrency.pending import Pending
from streaming.errors import Damaged
from streaming.events.event import Draft, Event
from streaming.storage.base import EventLog, Live
from streaming.storage.rows import PAGE_BYTES, Expect, JobRow, Page, cut_page, extend
from streaming.storage.sqlite.database import Database
from streaming.storage.sqlite.journal import events_of
from streaming.storage.sqlite.transaction import Transaction
from streaming.storage.tail import Tail


class SqliteLog(EventLog):
    """Appends are group-committed by the writer; reads come from the tails, then from the file."""

    def __init__(self, database: Database, *, patience_s: float) -> None:
        self._database = database
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
        def run(transaction: Transaction) -> JobRow:
            return self._append(transaction, job, drafts, attempt, expect, records)

        patience_s = self._patience_s if patient else 0.0
        return self._database.writer.call(run, patience_s=patience_s, job=job)

    def post(
        self,
        job: str,
        drafts: Sequence[Draft],
        *,
        attempt: int,
        after: Pending[object] | None = None,
    ) -> Pending[object]:
        def run(transaction: Transaction) -> JobRow:
            if after is not None:
                after.check()  # it has failed, or was put aside
            return self._append(transaction, job, drafts, attempt)

        return self._database.writer.post(run, patience_s=self._patience_s, job=job)

    def page(self, job: str, after: int, limit: int) -> Page:
        tail = self._database.tails.get(job)
        page = tail.page(after, limit)
        if page is not None:
            return page
        # Only published events: the file may have more already, and the reader's next look, at
        # the tail, would take its position for one ahead of the log.
        row = tail.row
        start = max(after, row.base)
        wanted = min(limit, row.seq - start)
        try:
            events = self._database.query(lambda c: _select(c, job, start, wanted))
        except ValueError as error:  # no JSON, or no event
            raise Damaged(f"the log of job {job} cannot be read behind {start}") from error
        if not events or events[0].seq != start + 1:
            if tail.row.base == row.base and not tail.row.expired:
                # Trimmed by a commit that is not published yet: the next one comes after that.
                self._database.writer.call(lambda _: None)
            if tail.row.base != row.base or tail.row.expired:  # trimmed or removed meanwhile
                return self.page(job, after, limit)
            raise Damaged(f"the log of job {job} has a hole behind {start}")
        return self._with_newest(tail, Page(events, row.base, row.seq, row.closed), limit)

    def _with_newest(self, tail: Tail, page: Page, limit: int) -> Page:
        """The page, followed by events that are not in the file's pages yet, if there is room."""
        end, room = page.events[-1].seq, limit - len(page.events)
        newest = tail.page(end, room) if room > 0 else None
        if newest is None or not newest.events or newest.events[0].seq != end + 1:
            return page
        events = cut_page([*page.events, *newest.events], limit)
        return Page(events, newest.base, newest.last, newest.closed)

    def live(self, job: str) -> Live:
        return self._database.tails.get(job)

    def trim(self, job: str, before: int, base: bytes) -> None:
        def run(transaction: Transaction) -> None:
            number, row = self._database.locked_row(transaction, job)
            if not row.base < before <= row.seq:
                return
            connection = transaction.connection
            transaction.journal.page(connection, job)
            events = chain(_events(connection, number, row.base), transaction.events.get(job, ()))
            dropped = takewhile(lambda event: event.seq <= before, events)
            size = sum(len(event.json) for event in dropped)
            trimmed = row._replace(base=before, size=row.size - size)
            # A page that has later events, too, stays whole; `base` says what counts.
            connection.execute("DELETE FROM pages WHERE job = ? AND last <= ?", (number, before))
            connection.execute(
                "INSERT OR REPLACE INTO bases (job, state) VALUES (?, ?)", (number, base)
            )
            transaction.put(number, trimmed, (), before=row)
            transaction.after_commit.append(lambda: self._trimmed(job, before))

        self._database.writer.call(run)

    def base(self, job: str) -> bytes | None:
        tail = self._database.tails.find(job)
        if tail is not None and not tail.row.base:  # every new job is asked for it: spare the query
            return None
        found = self._database.query(
            lambda c: c.execute(
                "SELECT state FROM bases WHERE job = (SELECT number FROM jobs WHERE id = ?)", (job,)
            ).fetchone()
        )
        return None if found is None else bytes(found[0])

    def records(self, job: str) -> Mapping[str, bytes]:
        first = self._database.first_records.get(job)  # each attempt asks twice
        if first is not None:
            return dict(first)
        found = self._database.query(
            lambda c: c.execute(
                "SELECT name, value FROM records"
                " WHERE job = (SELECT number FROM jobs WHERE id = ?)",
                (job,),
            ).fetchall()
        )
        return dict(found)

    def _append(
        self,
        transaction: Transaction,
        job: str,
        drafts: Sequence[Draft],
        attempt: int | None,
        expect: Expect | None = None,
        records: Mapping[str, bytes] | None = None,
    ) -> JobRow:
        number, before = self._database.locked_row(transaction, job)
        row, events = extend(before, drafts, attempt=attempt, expect=expect)
        if records:
            self._database.first_records.pop(job, None)
            transaction.connection.executemany(
                "INSERT OR REPLACE INTO records (job, name, value) VALUES (?, ?, ?)",
                [(number, name, value) for name, value in records.items()],
            )
        transaction.put(number, row, events, before=before)
        return row

    def _trimmed(self, job: str, before: int) -> None:
        tail = self._database.tails.find(job)
        if tail is not None:
            tail.trim(before)


def _select(connection: sqlite3.Connection, job: str, after: int, limit: int) -> Sequence[Event]:
    found = connection.execute("SELECT number FROM jobs WHERE id = ?", (job,)).fetchone()
    events: list[Event] = []
    size = 0
    for event in _events(connection, found[0], after) if found is not None else ():
        size += len(event.json)
        if len(events) == limit or (events and size > PAGE_BYTES):
            break
        events.append(event)
    return events


def _events(connection: sqlite3.Connection, number: int, after: int) -> Iterator[Event]:
    """The events behind `after` that are in pages."""
    rows = connection.execute(
        "SELECT data FROM pages WHERE job = ? AND last > ? ORDER BY last", (number, after)
    )
    for (data,) in rows:
        yield from [event for event in events_of(data) if event.seq > after]
