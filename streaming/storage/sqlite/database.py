"""The file, shared by log and index: its writer, its tails, and connections for readers."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from streaming.concurrency.platform import native_lock, original
from streaming.concurrency.threads import offload
from streaming.concurrency.waking import Wakeable, wake_all
from streaming.errors import Closed, Damaged, NotFound
from streaming.storage.rows import JobRow
from streaming.storage.sqlite.health import as_told, is_damage
from streaming.storage.sqlite.schema import ROW, connect, row_of
from streaming.storage.sqlite.transaction import Transaction
from streaming.storage.sqlite.writer import Writer
from streaming.storage.tail import Tails

T = TypeVar("T")
logger = logging.getLogger(__name__)

#: Connections for readers, each with two descriptors and a cache of up to 2 MB: who wants to read
#: besides waits until one is free.
READERS = 8


class Database:
    """Writes go through the writer's transactions, reads through a few other connections."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = native_lock()
        self._idle: list[sqlite3.Connection] = []
        #: One for each connection that there may be besides those in use. Real threads wait for it.
        self._places: SimpleQueue[None] = original("_queue", "SimpleQueue")()
        for _ in range(READERS):
            self._places.put(None)
        self._closed = False
        #: Jobs with unreadable rows, each logged once.
        self._unreadable: set[str] = set()
        self.tails = Tails(self.row)
        self.writer = Writer(path, committed=self._publish)
        #: Numbers of the unfinished jobs; used by the writer's thread only.
        self._numbers: dict[str, int] = {}
        #: Records of unfinished jobs that have got none since their submission.
        self.first_records: dict[str, Mapping[str, bytes]] = {}
        #: Bytes of all jobs; changed by the writer's thread alone.
        self.size = 0

    def open(self) -> None:
        self.size = self.query(lambda c: c.execute("SELECT total(size) FROM jobs").fetchone()[0])
        for row, events, grown in self.query(self.writer.journal.load):
            self.tails.publish(row, events)  # the file's row lags behind: no page has these
            self.size += grown
        self.writer.start()

    def close(self) -> None:
        self.writer.stop()
        self.tails.close()
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def query(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """Run `read` with a separate connection, outside of the event loop.

        `Unavailable` when the file cannot be read, `Damaged` when it is broken.
        """
        try:
            return offload(lambda: self._read_in_turn(read))
        except sqlite3.DatabaseError as error:
            if is_damage(error):
                self.writer.health.note_damage(error)
            raise as_told(self._path, error) from error

    def row(self, job: str) -> JobRow | None:
        """The row as the file has it."""
        found = self.query(
            lambda c: c.execute(f"SELECT {ROW} FROM jobs WHERE id = ?", (job,)).fetchone()
        )
        return None if found is None else row_of(found)

    def locked_row(self, transaction: Transaction, job: str) -> tuple[int, JobRow]:
        """The row and its number within a transaction; `NotFound` when there is none."""
        row = transaction.rows.get(job)
        if row is not None:
            return transaction.numbers[job], row
        number = self._numbers.get(job)
        tail = None if number is None else self.tails.find(job)
        if number is not None and tail is not None:
            return number, tail.row
        found = transaction.connection.execute(
            f"SELECT number, {ROW} FROM jobs WHERE id = ? AND NOT expired", (job,)
        ).fetchone()
        if found is None:
            raise NotFound(f"there is no job {job}", code="job_not_found")
        row = self.newest(row_of(found[1:]))
        if not row.closed:
            self._numbers[job] = found[0]
        return found[0], row

    def readable(self, found: Iterable[Sequence[Any]]) -> list[JobRow]:
        """The rows of a list, as new as memory has them.

        One that cannot be read is left out, and does not hide the others.
        """
        rows = []
        for each in found:
            tail = self.tails.find(each[0])
            if tail is not None:  # of most jobs that go on: what the file says is not even parsed
                rows.append(tail.row)
                continue
            try:
                rows.append(row_of(each))
            except Damaged as error:
                if each[0] not in self._unreadable:
                    self._unreadable.add(each[0])
                    logger.error("%s: it is left out of all lists", error.detail)
        return rows

    def grow(self, by: int) -> None:
        self.size += by

    def newest(self, row: JobRow) -> JobRow:
        """The row in memory, if any: in the file, a running job's seq and size lag behind."""
        tail = self.tails.find(row.id)
        return row if tail is None else tail.row

    def _publish(self, transaction: Transaction) -> None:
        wakers: list[Wakeable] = []
        for job, events in transaction.events.items():
            row = transaction.rows[job]
            if row.closed:
                self._numbers.pop(job, None)
                self.first_records.pop(job, None)
            wakers.extend(self.tails.show(row, events))
        wake_all(wakers)
        self.grow(transaction.grown)
        for call in transaction.after_commit:
            call()

    def _read_in_turn(self, read: Callable[[sqlite3.Connection], T]) -> T:
        place = self._places.get()
        try:
            return self._read(read)
        finally:
            self._places.put(place)

    def _read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            if self._closed:
                raise Closed()
            connection = self._idle.pop() if self._idle else None
        connection = connection or connect(self._path)
        try:
            return read(connection)
        finally:
            with self._lock:
                kept = not self._closed
                if kept:
                    self._idle.append(connection)
            if not kept:
                connection.close()
