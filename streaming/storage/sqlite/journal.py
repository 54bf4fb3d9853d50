"""Where events are committed: one row per commit; later moved into pages by job, dozens at a time.

Events of many jobs arrive interleaved. Stored by job and seq, each job would change a separate page
of the file at every commit; appended to the journal, all change only its last page. Events that are
only in the journal are also in memory: readers never look for them here.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from streaming.errors import Damaged
from streaming.events.event import Event, dumps
from streaming.storage.rows import JobRow, follow
from streaming.storage.sqlite.health import REMEDY
from streaming.storage.sqlite.schema import ROW, row_of

#: Events or bytes of a job that make a page. A tail keeps more than that.
PAGE_EVENTS, LOOSE_BYTES = 64, 1 << 14
#: Commits after which any events make a page, and for how many jobs at one commit.
LOOSE_COMMITS, PAGED_JOBS = 1000, 8
#: Commits between two checks of what the journal may drop.
DROP_COMMITS = 256


class Loose(NamedTuple):
    """A job's events that are not in a page yet."""

    number: int
    #: The journal's row that has the first of them.
    since: int
    events: Sequence[Event]
    #: Bytes of these events.
    size: int
    #: The job's row after the last of them.
    row: JobRow
    #: Whether the file's row lags behind in more than seq and size.
    lags: bool


class Append(NamedTuple):
    """What one transaction adds to a job; never empty."""

    number: int
    row: JobRow
    events: Sequence[Event]
    #: Whether the transaction writes the row.
    written: bool
    #: Whether the row has changed in more than seq and size.
    changed: bool


class Journal:
    """Used by the writer's thread only. A transaction's plans take effect when it is committed."""

    def __init__(self) -> None:
        self._next = 1
        #: In the order of `since`.
        self._loose: OrderedDict[str, Loose] = OrderedDict()
        self._planned: dict[str, Loose | None] = {}

    def load(self, connection: sqlite3.Connection) -> list[tuple[JobRow, Sequence[Event], int]]:
        """Take over what an earlier process left.

        Returns, for each job, its present row, its events that are not in a page, and by how much
        its size is ahead of the file's.
        """
        found: dict[str, list[tuple[int, Event]]] = {}
        for id, data in connection.execute("SELECT id, data FROM journal ORDER BY id"):
            self._next = id + 1
            try:
                events = events_of(data)
            except ValueError as error:
                raise Damaged(f"row {id} of the journal cannot be read: {REMEDY}") from error
            for event in events:
                found.setdefault(event.job, []).append((id, event))
        loaded = [self._load_job(connection, job, events) for job, events in found.items()]
        by_age = sorted(self._loose.items(), key=lambda each: each[1].since)
        self._loose = OrderedDict(by_age)
        return [each for each in loaded if each is not None]

    def begin(self) -> None:
        """Begin a transaction; plans of one that was not committed are forgotten."""
        self._planned = {}

    def write(self, connection: sqlite3.Connection, appends: Mapping[str, Append]) -> None:
        """Write what a transaction appends, by job."""
        if appends:
            bodies = [event.json for append in appends.values() for event in append.events]
            row = (self._next, b"\n".join(bodies))
            connection.execute("INSERT INTO journal (id, data) VALUES (?, ?)", row)
        pages: list[Loose] = []
        for job, append in appends.items():
            loose = self._with(job, append)
            full = len(loose.events) >= PAGE_EVENTS or loose.size >= LOOSE_BYTES
            if full or append.row.closed:
                pages.append(loose)
                self._planned[job] = None
            else:
                self._planned[job] = loose
        self._insert(connection, [*pages, *self._old(PAGED_JOBS)])
        if self._next % DROP_COMMITS == 0:
            self._drop(connection)

    def page(self, connection: sqlite3.Connection, job: str) -> None:
        """Move all events of a job into pages."""
        if job in self._loose:
            self._insert(connection, [self._loose[job]])
            self._planned[job] = None

    def empty(self, connection: sqlite3.Connection) -> None:
        """Move the events of all jobs into pages, in a transaction of its own."""
        if not self._loose:
            return
        connection.execute("BEGIN IMMEDIATE")
        self._insert(connection, self._loose.values())
        connection.execute("DELETE FROM journal")
        connection.execute("COMMIT")
        self._loose.clear()

    def forget(self, connection: sqlite3.Connection, job: str) -> None:
        """Forget a job that is removed with all its events."""
        self._planned[job] = None
        self._drop(connection)

    def committed(self) -> None:
        """Put the plans into effect: the transaction has been committed."""
        self._next += 1
        for job, loose in self._planned.items():
            known = self._loose.get(job)
            if known is not None and (loose is None or loose.since != known.since):
                del self._loose[job]
            if loose is not None:  # in the order of `since`
                self._loose[job] = loose

    def _with(self, job: str, append: Append) -> Loose:
        number, row, events = append.number, append.row, append.events
        size = sum([len(event.json) for event in events])
        known = self._planned[job] if job in self._planned else self._loose.get(job)
        if known is None:
            lags = append.changed and not append.written
            return Loose(number, self._next, events, size, row, lags)
        lags = (append.changed or known.lags) and not append.written
        events = [*known.events, *events]
        return Loose(number, known.since, events, known.size + size, row, lags)

    def _old(self, limit: int) -> list[Loose]:
        """Events that have waited for long; plans them as paged."""
        found: list[Loose] = []
        for job, loose in self._loose.items():
            if len(found) == limit or loose.since > self._next - LOOSE_COMMITS:
                break
            if job not in self._planned:
                self._planned[job] = None
                found.append(loose)
        return found

    def _drop(self, connection: sqlite3.Connection) -> None:
        """Drop the journal's rows whose events are all in pages."""
        kept = (self._planned.get(job, loose) for job, loose in self._loose.items())
        done = min((loose.since for loose in kept if loose is not None), default=self._next)
        connection.execute("DELETE FROM journal WHERE id < ?", (done,))

    def _insert(self, connection: sqlite3.Connection, pages: Iterable[Loose]) -> None:
        """Write pages; with each, the job's row in the file catches up."""
        pages = list(pages)
        if not pages:
            return
        connection.executemany(
            "INSERT INTO pages (job, last, data) VALUES (?, ?, ?)",
            [
                (page.number, page.events[-1].seq, b"\n".join([e.json for e in page.events]))
                for page in pages
            ],
        )
        connection.executemany(
            "UPDATE jobs SET seq = ?1, size = ?2 WHERE number = ?3 AND seq < ?1",
            [(page.row.seq, page.row.size, page.number) for page in pages if not page.lags],
        )
        write_rows(connection, [(page.number, page.row) for page in pages if page.lags])

    def _load_job(
        self, connection: sqlite3.Connection, job: str, events: Sequence[tuple[int, Event]]
    ) -> tuple[JobRow, Sequence[Event], int] | None:
        found = connection.execute(
            "SELECT number, coalesce((SELECT max(last) FROM pages WHERE job = number), 0),"
            f" {ROW} FROM jobs WHERE id = ? AND NOT expired",
            (job,),
        ).fetchone()
        if found is None:  # it was removed
            return None
        number, paged, row = found[0], found[1], row_of(found[2:])
        loose = [(id, event) for id, event in events if event.seq > max(paged, row.base)]
        if not loose:
            return None
        missing = [event for _, event in loose]
        unseen = [event for event in missing if event.seq > row.seq]
        newest = follow(row, unseen) if unseen else row
        size = sum(len(event.json) for event in missing)
        lags = newest.summary is not row.summary
        self._loose[job] = Loose(number, loose[0][0], missing, size, newest, lags)
        return newest, missing, newest.size - row.size


def write_rows(connection: sqlite3.Connection, rows: Sequence[tuple[int, JobRow]]) -> None:
    """Write complete rows of jobs, by number."""
    if not rows:
        return
    connection.executemany(
        "UPDATE jobs SET seq = ?, base = ?, size = ?, status = ?, expires_at = ?, summary = ?"
        " WHERE number = ?",
        [
            (
                row.seq,
                row.base,
                row.size,
                row.status,
                row.expires_at,
                dumps(row.summary.to_json()).decode(),
                number,
            )
            for number, row in rows
        ],
    )


def events_of(data: bytes) -> list[Event]:
    """The events of a page or of a row of the journal."""
    return [Event.parse(body) for body in data.split(b"\n")]
