"""One transaction: what the commands of a batch write, committed together."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from streaming.events.event import Event
from streaming.storage.outbox import calls_of
from streaming.storage.rows import JobRow
from streaming.storage.sqlite.journal import Append, Journal, write_rows


class Transaction:
    """What the commands of one batch write. Rows are seen by later commands of the same batch."""

    def __init__(self, connection: sqlite3.Connection, journal: Journal) -> None:
        self.connection = connection
        self.journal = journal
        journal.begin()
        self.rows: dict[str, JobRow] = {}
        self.numbers: dict[str, int] = {}
        #: What was appended to each job, in order.
        self.events: dict[str, list[Event]] = {}
        #: Jobs whose rows are written, and those whose rows have changed but can be written later.
        self._stale: set[str] = set()
        self._lagging: set[str] = set()
        #: By how many bytes the jobs have grown.
        self.grown = 0
        self.after_commit: list[Callable[[], None]] = []

    def put(
        self, number: int, row: JobRow, events: Sequence[Event], *, before: JobRow | None = None
    ) -> None:
        """Add an append: written with all others of the batch, published after the commit."""
        # Queries for jobs use these members. The rest of the row is written with the job's next
        # page; until then it can be computed from the journal's events.
        if before is None or row.status != before.status or row.base != before.base:
            self._stale.add(row.id)
        elif row.summary is not before.summary:
            self._lagging.add(row.id)
        self.rows[row.id] = row
        self.numbers[row.id] = number
        known = self.events.get(row.id)
        if known is None:
            self.events[row.id] = list(events)
        else:
            known.extend(events)
        self.grown += row.size - (0 if before is None else before.size)
        if row.summary.options.get("webhook") and events:
            self._keep_calls(row, events)

    def forget(self, job: str) -> None:
        """Take back what was put for a job that is removed."""
        self.rows.pop(job, None)
        self.events.pop(job, None)
        self._stale.discard(job)
        self._lagging.discard(job)
        self.journal.forget(self.connection, job)

    def flush(self) -> None:
        """Write the events and rows that were put."""
        stale, lagging = self._stale, self._lagging
        self.journal.write(
            self.connection,
            {
                job: Append(self.numbers[job], self.rows[job], events, job in stale, job in lagging)
                for job, events in self.events.items()
                if events
            },
        )
        if stale:
            write_rows(self.connection, [(self.numbers[job], self.rows[job]) for job in stale])

    def _keep_calls(self, row: JobRow, events: Sequence[Event]) -> None:
        """Write the calls of webhooks that an append asks for."""
        for call in calls_of(row, events):
            self.connection.execute(
                "INSERT OR IGNORE INTO outbox (id, job, url, body, made_at, due_at)"
                " SELECT ?, ?, ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM refused WHERE job = ?)",
                (call.id, call.job, call.url, call.body, call.made_at, call.made_at, call.job),
            )
        if row.closed:
            self.connection.execute("DELETE FROM refused WHERE job = ?", (row.id,))
