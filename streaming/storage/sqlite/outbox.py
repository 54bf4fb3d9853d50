"""The outbox in SQLite: rows that the appends' own transactions write (`Transaction.put`)."""

from __future__ import annotations

from collections.abc import Sequence

from streaming.storage.outbox import Call, Outbox
from streaming.storage.sqlite.database import Database
from streaming.storage.sqlite.transaction import Transaction


class SqliteOutbox(Outbox):
    """Read by its own queries, changed by the writer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self, now: float, *, limit: int) -> Sequence[Call]:
        found = self._database.query(
            lambda c: c.execute(
                "SELECT id, job, url, body, made_at, tries FROM outbox WHERE due_at <= ?"
                " ORDER BY due_at LIMIT ?",
                (now, limit),
            ).fetchall()
        )
        return [Call(*row) for row in found]

    def put_off(self, call: Call, until: float) -> None:
        def run(transaction: Transaction) -> None:
            transaction.connection.execute(
                "UPDATE outbox SET tries = ?, due_at = ? WHERE id = ?",
                (call.tries, until, call.id),
            )

        self._database.writer.call(run)

    def drop(self, call: Call) -> None:
        def run(transaction: Transaction) -> None:
            transaction.connection.execute("DELETE FROM outbox WHERE id = ?", (call.id,))

        self._database.writer.call(run)

    def refuse(self, call: Call) -> None:
        def run(transaction: Transaction) -> None:
            connection, row = transaction.connection, transaction.rows.get(call.job)
            connection.execute("DELETE FROM outbox WHERE job = ?", (call.job,))
            if row is None or not row.closed:  # what the same batch has ended is not in the table
                connection.execute(
                    "INSERT OR IGNORE INTO refused"
                    " SELECT id FROM jobs WHERE id = ? AND expires_at IS NULL",
                    (call.job,),
                )

        self._database.writer.call(run)
