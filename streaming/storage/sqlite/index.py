"""The job index in SQLite."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable

from streaming.errors import NotFound
from streaming.events.vocabulary import ENDED
from streaming.storage.base import JobIndex
from streaming.storage.rows import JobRow, Submission, check_digest, extend, first_row
from streaming.storage.sqlite.database import Database
from streaming.storage.sqlite.schema import ROW, row_of
from streaming.storage.sqlite.writer import Transaction


class SqliteIndex(JobIndex):
    """One row per job, kept by the transactions of its log."""

    def __init__(self, database: Database, *, tombstone_s: float) -> None:
        self._database = database
        self._tombstone_s = tombstone_s

    def submit(self, submission: Submission, *, only_known: bool = False) -> tuple[JobRow, bool]:
        return self._database.writer.call(
            lambda transaction: self._submit(transaction, submission, only_known)
        )

    def get(self, job: str) -> JobRow | None:
        tail = self._database.tails.find(job)
        return self._database.row(job) if tail is None else tail.row

    def list(
        self,
        *,
        owner: str | None = None,
        statuses: Collection[str] = (),
        task: str | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> list[JobRow]:
        where: list[str] = ["NOT expired"]
        values: list[str | int] = []
        for column, value in (("owner = ?", owner), ("task = ?", task), ("id < ?", before)):
            if value is not None:
                where.append(column)
                values.append(value)
        if statuses:
            where.append(f"status IN ({', '.join('?' * len(statuses))})")
            values.extend(statuses)
            if not ENDED & set(statuses):
                where.append("expires_at IS NULL")  # what the index of unfinished jobs is for
        query = f"SELECT {ROW} FROM jobs WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?"
        found = self._database.query(lambda c: c.execute(query, (*values, limit)).fetchall())
        return [self._database.newest(row_of(row)) for row in found]

    def remove(self, job: str, *, tombstone: bool) -> None:
        self._database.writer.call(lambda transaction: self._remove(transaction, job, tombstone))

    def due(self, now: float) -> Iterable[str]:
        found = self._database.query(
            lambda c: c.execute(
                "SELECT id FROM jobs WHERE expires_at <= ? ORDER BY expires_at LIMIT 1000", (now,)
            ).fetchall()
        )
        return [job for (job,) in found]

    def long(self, events: int) -> Iterable[JobRow]:
        query = f"SELECT {ROW} FROM jobs WHERE seq - base > ? AND NOT expired LIMIT 100"
        found = self._database.query(lambda c: c.execute(query, (events,)).fetchall())
        rows = {row.id: row for row in map(row_of, found)}
        # Of jobs that go on, memory knows more than the file.
        rows |= {row.id: row for row in self._database.tails.rows() if not row.expired}
        return [row for row in rows.values() if row.seq - row.base > events]

    def _submit(
        self, transaction: Transaction, submission: Submission, only_known: bool
    ) -> tuple[JobRow, bool]:
        if submission.key is not None:
            known = transaction.connection.execute(
                f"SELECT digest, {ROW} FROM jobs WHERE owner = ? AND key = ?",
                (submission.owner, submission.key),
            ).fetchone()
            if known is not None:
                check_digest(known[0], submission)
                row = self._database.newest(row_of(known[1:]))
                return transaction.rows.get(row.id, row), False
        if only_known:
            raise NotFound("no job has this key")
        row, events = extend(first_row(submission), [submission.queued])
        number = transaction.connection.execute(
            "INSERT INTO jobs (id, owner, task, status, seq, base, size, key, digest, summary)"
            " VALUES (?, ?, ?, ?, 0, 0, 0, ?, ?, '{}')",
            (row.id, row.owner, row.task, row.status, submission.key, submission.digest),
        ).lastrowid
        assert number is not None
        transaction.connection.executemany(
            "INSERT INTO records (job, name, value) VALUES (?, ?, ?)",
            [(number, name, value) for name, value in submission.records.items()],
        )
        transaction.put(number, row, events)
        return row, True

    def _remove(self, transaction: Transaction, job: str, tombstone: bool) -> None:
        connection = transaction.connection
        found = connection.execute(
            f"SELECT number, {ROW} FROM jobs WHERE id = ?", (job,)
        ).fetchone()
        if found is None:
            return
        number = found[0]
        size = transaction.rows.get(job, self._database.newest(row_of(found[1:]))).size
        for table in ("pages", "bases", "records"):
            connection.execute(f"DELETE FROM {table} WHERE job = ?", (number,))
        if tombstone:
            connection.execute(
                "UPDATE jobs SET expired = 1, size = 0, key = NULL, expires_at = ?"
                " WHERE number = ?",
                (time.time() + self._tombstone_s, number),
            )
        else:
            connection.execute("DELETE FROM jobs WHERE number = ?", (number,))
        transaction.forget(job)
        connection.execute("PRAGMA incremental_vacuum(500)")

        def forget() -> None:
            self._database.grow(-size)
            self._database.tails.drop(job)

        transaction.after_commit.append(forget)
