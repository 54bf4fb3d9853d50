"""What the commands of one batch write, committed together."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from streaming.events.event import Event, dumps
from streaming.storage.outbox import calls_of
from streaming.storage.rows import JobRow
from streaming.storage.sqlite.journal import Append, Journal


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
        #: Jobs whose rows are written.
        self._stale: set[str] = set()
        #: By how many bytes the jobs have grown.
        self.grown = 0
        self.after_commit: list[Callable[[], None]] = []

    def put(
        self, number: int, row: JobRow, events: Sequence[Event], *, before: JobRow | None = None
    ) -> None:
        """Take an append: written with all others of the batch, published after the commit."""
        # Text leaves the summary as it is, and the row in the file: `Journal.load` knows its seq.
        if before is None or row.summary is not before.summary or row.base != before.base:
            self._stale.add(row.id)
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
        self.journal.forget(self.connection, job)

    def flush(self) -> None:
        """Write the events and rows that were put."""
        self.journal.write(
            self.connection,
            {
                job: Append(self.numbers[job], self.rows[job], events)
                for job, events in self.events.items()
                if events
            },
        )
        if not self._stale:
            return
        self.connection.executemany(
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
                    self.numbers[row.id],
                )
                for row in map(self.rows.__getitem__, self._stale)
            ],
        )

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
