"""The one thread that writes: it commits at once; what gathers meanwhile is the next batch."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from streaming.concurrency import Thread, Waker, make_waker, native_lock
from streaming.errors import StreamingError, Unavailable
from streaming.events import Event, dumps
from streaming.storage.base import JobRow
from streaming.storage.sqlite.schema import connect

T = TypeVar("T")
logger = logging.getLogger(__name__)

#: Commands in one transaction at the most: bounds how long the first of them waits.
BATCH = 1000
#: Seconds between tries while the disk is full or the file cannot be written.
RETRY_S = 0.25


class Transaction:
    """What the commands of one batch write. Rows are seen by later commands of the same batch."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.rows: dict[str, JobRow] = {}
        self.numbers: dict[str, int] = {}
        self._resummarised: set[str] = set()
        self.published: list[tuple[JobRow, Sequence[Event]]] = []
        self.after_commit: list[Callable[[], None]] = []

    def put(
        self, number: int, row: JobRow, events: Sequence[Event], *, before: JobRow | None = None
    ) -> None:
        """Take an append: written with all others of the batch, published after the commit."""
        if before is None or row.summary is not before.summary:
            self._resummarised.add(row.id)
        self.rows[row.id] = row
        self.numbers[row.id] = number
        self.published.append((row, events))

    def forget(self, job: str) -> None:
        """Take back what was put for a job that is removed."""
        self.rows.pop(job, None)
        self.published = [(row, events) for row, events in self.published if row.id != job]

    def flush(self) -> None:
        """Write the events and rows that were put."""
        self.connection.executemany(
            "INSERT INTO events (job, seq, type, json) VALUES (?, ?, ?, ?)",
            [
                (self.numbers[row.id], event.seq, event.type, event.json)
                for row, events in self.published
                for event in events
            ],
        )
        # Most appends are text: they leave the summary as it is, and it is not written again.
        self.connection.executemany(
            "UPDATE jobs SET seq = ?, size = ? WHERE number = ?",
            [(row.seq, row.size, self.numbers[job]) for job, row in self.rows.items()],
        )
        self.connection.executemany(
            "UPDATE jobs SET status = ?, expires_at = ?, summary = ? WHERE number = ?",
            [
                (row.status, row.expires_at, dumps(row.summary).decode(), self.numbers[row.id])
                for row in map(self.rows.__getitem__, self._resummarised & self.rows.keys())
            ],
        )


class _Command:
    __slots__ = ("done", "error", "gives_up_at", "run", "value", "waker")

    def __init__(self, run: Callable[[Transaction], Any], gives_up_at: float, waker: Waker) -> None:
        self.run = run
        self.gives_up_at = gives_up_at
        self.waker = waker
        self.value: Any = None
        self.error: BaseException | None = None
        self.done = False


class Writer:
    """Runs commands in transactions, many in one; a command is answered after its commit."""

    def __init__(self, path: Path, *, publish: Callable[[JobRow, Sequence[Event]], None]) -> None:
        self._path = path
        self._publish = publish
        self._lock = native_lock()
        self._commands: deque[_Command] = deque()
        self._idle: Waker | None = None
        self._stopping = False
        self._thread = Thread(self._work, name="sqlite-writer")
        #: What keeps it from writing at present.
        self.fault: str | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Commit what was given, then end; later commands are refused."""
        with self._lock:
            self._stopping = True
        self._ring()
        self._thread.join(timeout=10)

    def call(self, run: Callable[[Transaction], T], *, patience_s: float = 0.0) -> T:
        """Run a command and wait for its commit; its `StreamingError` comes back to the caller.

        While the file cannot be written it is tried again for `patience_s` seconds, then it
        ends in `Unavailable`.
        """
        command = _Command(run, time.monotonic() + patience_s, make_waker())
        with self._lock:
            if self._stopping:
                raise Unavailable("the server is shutting down", code="draining")
            self._commands.append(command)
        self._ring()
        while not command.done:
            command.waker.wait()
        if command.error is not None:
            raise command.error
        return command.value  # type: ignore[no-any-return]

    def _ring(self) -> None:
        if self._idle is not None:
            self._idle.wake()

    def _work(self) -> None:
        self._idle = make_waker()
        connection = connect(self._path)
        try:
            while (batch := self._gather()) is not None:
                if batch:
                    self._execute(connection, batch)
                    continue
                self._idle.wait(1.0 if self.fault is None else RETRY_S)
                if self.fault is not None:
                    self._probe(connection)
        finally:
            connection.close()

    def _gather(self) -> list[_Command] | None:
        """The next batch, perhaps empty; None when there is none and there will be none."""
        with self._lock:
            if self._stopping and not self._commands:
                return None
            return [self._commands.popleft() for _ in range(min(BATCH, len(self._commands)))]

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
        # One bad command must not take the others with it: each by itself.
        failed = []
        for command in batch:
            error = self._commit(connection, [command])
            if error is not None:
                command.error = error
                failed.append(command)
        self._put_off(failed)

    def _put_off(self, failed: list[_Command]) -> None:
        """Answer those that wait no longer; the others go first in the next batch."""
        now = time.monotonic()
        patient = [
            c
            for c in failed
            if isinstance(c.error, sqlite3.OperationalError)  # the others fail again
            and c.gives_up_at > now
            and not self._stopping
        ]
        for command in failed:
            if command not in patient:
                _answer(command, _unavailable(command.error))
        if not patient:
            return
        with self._lock:
            self._commands.extendleft(reversed(patient))
        if self._idle is not None:
            self._idle.wait(RETRY_S)

    def _commit(self, connection: sqlite3.Connection, batch: list[_Command]) -> Exception | None:
        """One transaction; the error that undid it, if any."""
        transaction, changes = Transaction(connection), connection.total_changes
        try:
            connection.execute("BEGIN IMMEDIATE")
            for command in batch:
                command.error = None
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
        for row, events in transaction.published:
            self._publish(row, events)
        for call in transaction.after_commit:
            call()
        for command in batch:
            _answer(command, command.error)
        return None

    def _note_fault(self, error: sqlite3.OperationalError) -> None:
        if self.fault is None:
            logger.error("the event log cannot be written: %s: %s", self._path, error)
        self.fault = f"{self._path}: {error}"

    def _note_health(self) -> None:
        if self.fault is not None:
            logger.warning("the event log can be written again: %s", self._path)
        self.fault = None


def _answer(command: _Command, error: BaseException | None) -> None:
    command.error = error
    command.done = True
    command.waker.wake()


def _unavailable(error: BaseException | None) -> BaseException | None:
    if not isinstance(error, sqlite3.OperationalError):
        return error
    return Unavailable(f"the event log cannot be written: {error}", code="storage_away")
