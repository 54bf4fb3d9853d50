"""The one thread that writes: it commits at once; what gathers meanwhile is the next batch."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from streaming.concurrency.inbox import Inbox
from streaming.concurrency.pending import Pending, settle
from streaming.concurrency.platform import native_sleep
from streaming.concurrency.threads import Thread
from streaming.errors import StreamingError, Unavailable
from streaming.events.event import Event, dumps
from streaming.storage.rows import JobRow
from streaming.storage.sqlite.journal import Append, Journal
from streaming.storage.sqlite.outbox import keep_calls
from streaming.storage.sqlite.schema import connect

T = TypeVar("T")
logger = logging.getLogger(__name__)

#: Commands in one transaction at the most: bounds how long the first of them waits.
BATCH = 1000
#: Seconds from one commit's begin to the next one's at the least. The first after a pause is not
#: delayed; under load, more events share the cost of a commit.
COMMIT_S = 0.002
#: Seconds without a command after which the journal is emptied.
REST_S = 1.0
#: Seconds between tries while the disk is full or the file cannot be written.
RETRY_S = 0.25


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
        self.events.setdefault(row.id, []).extend(events)
        if row.options.get("webhook") and events:
            keep_calls(self.connection, row, events)
        self.grown += row.size - (0 if before is None else before.size)

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
                    dumps(row.summary).decode(),
                    self.numbers[row.id],
                )
                for row in map(self.rows.__getitem__, self._stale)
            ],
        )


class _Command(Pending[Any]):
    __slots__ = ("gives_up_at", "job", "run")

    def __init__(
        self, run: Callable[[Transaction], Any], gives_up_at: float, job: str | None
    ) -> None:
        super().__init__()
        self.run: Callable[[Transaction], Any] | None = run
        self.job = job
        self.gives_up_at = gives_up_at


class Writer:
    """Runs commands in transactions, many in one; a command is answered after its commit."""

    def __init__(self, path: Path, *, committed: Callable[[Transaction], None]) -> None:
        self._path = path
        self._committed = committed
        self.journal = Journal()
        self._inbox: Inbox[_Command] = Inbox()
        self._thread = Thread(self._work, name="sqlite-writer")
        #: What keeps it from writing at present.
        self.fault: str | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Commit what was given, then end; later commands are refused."""
        self._inbox.close()
        self._thread.join(timeout=10)

    def call(
        self, run: Callable[[Transaction], T], *, patience_s: float = 0.0, job: str | None = None
    ) -> T:
        """Run a command and wait for its commit; its `StreamingError` comes back to the caller.

        While the file cannot be written it is tried again for `patience_s` seconds, then it
        ends in `Unavailable`.
        """
        return self.post(run, patience_s=patience_s, job=job).result()  # type: ignore[no-any-return]

    def post(
        self, run: Callable[[Transaction], Any], *, patience_s: float, job: str | None = None
    ) -> _Command:
        """Have a command run after those that were given before it; returns at once.

        While the file cannot be written, only those of the same job keep their order.
        """
        command = _Command(run, time.monotonic() + patience_s, job)
        self._inbox.give(command)
        return command

    def _work(self) -> None:
        self._inbox.open()
        connection = connect(self._path)
        try:
            while (batch := self._inbox.take(BATCH)) is not None:
                if batch:
                    began = time.monotonic()
                    self._execute(connection, batch)
                    native_sleep(began + COMMIT_S - time.monotonic())
                    continue
                rested = not self._inbox.rest(REST_S if self.fault is None else RETRY_S)
                if self.fault is not None:
                    self._probe(connection)
                elif rested:
                    self._empty_journal(connection)
            self._empty_journal(connection)
        finally:
            connection.close()

    def _empty_journal(self, connection: sqlite3.Connection) -> None:
        """Have all events in pages; where that fails, they stay safe where they are."""
        try:
            self.journal.empty(connection)
        except sqlite3.DatabaseError as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            self._note_fault(error)

    def _probe(self, connection: sqlite3.Connection) -> None:
        """See whether there is room again when nobody writes: a few pages, taken back."""
        try:
            connection.execute("INSERT OR REPLACE INTO bases VALUES (-1, zeroblob(16384))")
            connection.execute("DELETE FROM bases WHERE job = -1")
        except sqlite3.OperationalError as error:
            self._note_fault(error)
        else:
            self._note_health()

    def _execute(self, connection: sqlite3.Connection, batch: list[_Command]) -> None:
        if self._commit(connection, batch) is None:
            return
        # One bad command must not take the others with it: each by itself. What comes behind one
        # of its job that has to wait must wait as well, or it would overtake it.
        failed: list[_Command] = []
        held_up: dict[str, Exception] = {}
        for command in batch:
            error = held_up.get(command.job or "") or self._commit(connection, [command])
            if error is not None:
                command.error = error
                failed.append(command)
                if command.job is not None and isinstance(error, sqlite3.OperationalError):
                    held_up[command.job] = error
        self._put_off(failed)

    def _put_off(self, failed: list[_Command]) -> None:
        """Answer those that wait no longer; the others go first in the next batch."""
        now = time.monotonic()
        patient = [
            c
            for c in failed
            if isinstance(c.error, sqlite3.OperationalError)  # the others fail again
            and c.gives_up_at > now
            and not self._inbox.closed
        ]
        given_up = [command for command in failed if command not in patient]
        for command in given_up:
            command.error = _unavailable(command.error)
        _answer(given_up)
        if not patient:
            return
        self._inbox.put_back(patient)
        self._inbox.pause(RETRY_S)

    def _commit(self, connection: sqlite3.Connection, batch: list[_Command]) -> Exception | None:
        """One transaction; the error that undid it, if any."""
        transaction, changes = Transaction(connection, self.journal), connection.total_changes
        try:
            connection.execute("BEGIN IMMEDIATE")
            for command in batch:
                command.error = None
                assert command.run is not None
                try:
                    command.value = command.run(transaction)
                except StreamingError as error:  # refused: it has written nothing
                    command.error = error
            transaction.flush()
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - the batch is undone whole, whatever it was
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):
                self._note_fault(error)
            return error

        if connection.total_changes != changes:
            self._note_health()
        self.journal.committed()
        self._committed(transaction)
        _answer(batch)
        return None

    def _note_fault(self, error: sqlite3.DatabaseError) -> None:
        if self.fault is None:
            logger.error("the event log cannot be written: %s: %s", self._path, error)
        self.fault = f"{self._path}: {error}"

    def _note_health(self) -> None:
        if self.fault is not None:
            logger.warning("the event log can be written again: %s", self._path)
        self.fault = None


def _answer(commands: Sequence[_Command]) -> None:
    for command in commands:
        command.run = None  # it may hold the command before it, and that one its own
    settle(commands)


def _unavailable(error: BaseException | None) -> BaseException | None:
    if not isinstance(error, sqlite3.OperationalError):
        return error
    return Unavailable(f"the event log cannot be written: {error}", code="storage_away")
