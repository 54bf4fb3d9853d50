"""The job index in SQLite."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable

from streaming.errors import Damaged, NotFound
from streaming.events.vocabulary import ENDED
from streaming.storage.base import JobIndex
from streaming.storage.rows import JobRow, Submission, check_digest, extend, first_row
from streaming.storage.sqlite.database import Database
from streaming.storage.sqlite.schema import ROW, row_of
from streaming.storage.sqlite.transaction import Transaction


class SqliteIndex(JobIndex):
    """One row per job, written in the transactions of its log."""

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
        table = "jobs"
        if statuses:
            where.append(f"status IN ({', '.join('?' * len(statuses))})")
            values.extend(statuses)
            if not ENDED & set(statuses):
                table = "jobs INDEXED BY jobs_unfinished"  # there are few, whoever's they are
                where.append("expires_at IS NULL")
            elif set(statuses) <= ENDED:
                where.append("expires_at IS NOT NULL")  # what the index by status has
        query = f"SELECT {ROW} FROM {table} WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?"
        found = self._database.query(lambda c: c.execute(query, (*values, limit)).fetchall())
        return self._database.readable(found)

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
        query = (
            f"SELECT {ROW} FROM jobs"
            " WHERE seq - base > ? AND expires_at IS NOT NULL AND NOT expired LIMIT 100"
        )
        found = self._database.query(lambda c: c.execute(query, (events,)).fetchall())
        rows = {row.id: row for row in self._database.readable(found)}
        # Jobs that go on are in memory, and that knows more than the file.
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
                row = transaction.rows.get(known[1])  # from this batch: not yet written completely
                return row or self._database.newest(row_of(known[1:])), False
        if only_known:
            raise NotFound("no job has this key")
        if self._database.writer.health.damage is not None:
            raise Damaged(f"no job is taken: {self._database.writer.health.damage}")
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

        def keep() -> None:
            if not transaction.rows[row.id].closed:
                self._database.first_records[row.id] = submission.records

        transaction.after_commit.append(keep)
        return row, True

    def _remove(self, transaction: Transaction, job: str, tombstone: bool) -> None:
        connection = transaction.connection
        found = connection.execute(
            f"SELECT number, {ROW} FROM jobs WHERE id = ?", (job,)
        ).fetchone()
        if found is None:
            return
        number = found[0]
        tail = self._database.tails.find(job)
        known = transaction.rows.get(job, tail.row if tail is not None else None)
        size = found[6] if known is None else known.size  # even of an unreadable row
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
            self._database.first_records.pop(job, None)

        transaction.after_commit.append(forget)
