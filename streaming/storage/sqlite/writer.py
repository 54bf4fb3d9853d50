"""The one thread that writes: it commits at once, and what arrives meanwhile is the next batch.

While the file cannot be written, commands with patience are put aside, and the others are answered
at once: nobody waits behind those who wait for room.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from streaming.concurrency.inbox import Inbox
from streaming.concurrency.platform import native_sleep
from streaming.concurrency.threads import Thread
from streaming.errors import Unavailable
from streaming.storage.sqlite.command import Command, answer, execute, impatient_first
from streaming.storage.sqlite.health import Health, as_told, may_pass
from streaming.storage.sqlite.journal import Journal
from streaming.storage.sqlite.schema import connect
from streaming.storage.sqlite.transaction import Transaction

T = TypeVar("T")
logger = logging.getLogger(__name__)

#: Maximum commands in one transaction: bounds how long the first of them waits.
BATCH = 1000
#: Minimum seconds between the starts of two commits; the second where nobody waits for one. The
#: first after a pause is not delayed; under load, more events share a commit (oddity 14).
COMMIT_S, GATHER_S = 0.002, 0.005
#: Seconds without a command after which the journal is emptied.
REST_S = 1.0
#: Seconds between tries while the disk is full or the file cannot be written.
RETRY_S = 0.25
#: Seconds for which the commands of a failed batch are tried one by one: the rest are taken to
#: fail like the one before them.
TRY_S = 0.5


class Writer:
    """Runs commands in transactions, many in one; a command is answered after its commit."""

    def __init__(self, path: Path, *, committed: Callable[[Transaction], None]) -> None:
        self._path = path
        self._committed = committed
        self.journal = Journal()
        self.health = Health(path)
        self._inbox: Inbox[Command] = Inbox()
        #: Commands that are being run.
        self._in_hand: Sequence[Command] = ()
        #: Commands that wait until the file can be written, in order; when they are tried next.
        self._aside: list[Command] = []
        self._retry_at = 0.0
        self._thread = Thread(self._work, name="sqlite-writer")

    @property
    def fault(self) -> str | None:
        """What keeps it from writing at present."""
        return self.health.fault

    @property
    def waiting(self) -> int:
        """Commands that wait for the next transaction."""
        return len(self._inbox)

    def dead(self) -> list[str]:
        """The thread's name if it has died."""
        return [self._thread.name] if self._thread.dead else []

    def start(self) -> None:
        """Start writing the file that is there now, and no other that may replace it."""
        self.health.opened()
        self._thread.start()

    def stop(self) -> None:
        """Commit all commands so far, then end; later ones are refused."""
        self._inbox.close()
        self._thread.join(timeout=10)

    def call(
        self, run: Callable[[Transaction], T], *, patience_s: float = 0.0, job: str | None = None
    ) -> T:
        """Run a command and wait for its commit; raises its `StreamingError`.

        While the file cannot be written, it is retried for `patience_s` seconds, then raises
        `Unavailable`; a broken file raises `Damaged` at once.
        """
        return self.post(run, patience_s=patience_s, job=job).result()  # type: ignore[no-any-return]

    def post(
        self, run: Callable[[Transaction], object], *, patience_s: float, job: str | None = None
    ) -> Command:
        """Queue a command behind all earlier ones; returns at once.

        While the file cannot be written, only commands of the same job keep their order.
        """
        command = Command(run, time.monotonic() + patience_s, job, self._inbox)
        self._inbox.give(command)
        return command

    # -- the thread

    def _work(self) -> None:
        self._inbox.open()
        try:
            with contextlib.closing(connect(self._path)) as connection:
                self._serve(connection)
        finally:
            self._leave()

    def _leave(self) -> None:
        """Answer everybody, however the thread ends."""
        why = f"the thread that writes {self._path} has ended: restart the server"
        if not self._inbox.closed:
            self.health.end = why
        left = [*self._in_hand, *self._aside, *self._inbox.abandon(why)]
        left = [command for command in left if not command.done]
        for command in left:
            if command.error is None:
                command.error = Unavailable(why, code="storage_away")
            command.error = as_told(self._path, command.error)
        answer(left)

    def _serve(self, connection: sqlite3.Connection) -> None:
        began = 0.0
        while (batch := self._inbox.take(BATCH)) is not None:
            try:
                if batch:
                    began = time.monotonic()
                    self._execute(connection, batch)
                if self._aside and time.monotonic() >= self._retry_at:
                    self._try_again(connection)
                if not self._inbox:
                    self._rest(connection)
            except Exception:  # whatever it was, the commands behind it must be run
                logger.exception("writing to %s failed", self._path)
                _roll_back(connection)
                self._answer_in_hand()
            self._inbox.gather(began + GATHER_S - time.monotonic())
            native_sleep(began + COMMIT_S - time.monotonic())
        if self._aside:
            self._try_again(connection)
        self._empty_journal(connection)

    def _rest(self, connection: sqlite3.Connection) -> None:
        """Wait for a command, and do what is due when none arrives."""
        wait_s = REST_S if self.health.passing is None else RETRY_S
        if self._aside:
            wait_s = max(0.001, self._retry_at - time.monotonic())
        rested = not self._inbox.rest(wait_s)
        gone = self.health.gone()
        if gone is not None:
            self.health.note(gone)
        elif self.health.passing is not None and not self._aside:
            self._probe(connection)
        elif rested and self.fault is None:
            self._empty_journal(connection)

    def _empty_journal(self, connection: sqlite3.Connection) -> None:
        """Move all events into pages; if that fails, they stay safe in the journal."""
        try:
            self.journal.empty(connection)
        except sqlite3.DatabaseError as error:
            _roll_back(connection)
            self.health.note(error)

    def _probe(self, connection: sqlite3.Connection) -> None:
        """Check, while nobody writes, whether there is room again: write and delete a few pages."""
        try:
            connection.execute("INSERT OR REPLACE INTO bases VALUES (-1, zeroblob(16384))")
            connection.execute("DELETE FROM bases WHERE job = -1")
        except sqlite3.DatabaseError as error:
            self.health.note(error)
        else:
            self.health.note_health()

    def _execute(self, connection: sqlite3.Connection, batch: list[Command]) -> None:
        """Run a batch; a command never overtakes one of its job that was put aside."""
        self._in_hand = batch
        if self._aside:
            waiting = {command.job for command in self._aside if command.job is not None}
            behind = [command for command in batch if command.job in waiting]
            batch = [command for command in batch if command.job not in waiting]
            for command in behind:
                command.error = self._aside[0].error
            self._put_off(behind)
        if batch and self._commit(connection, batch) is not None:
            self._put_off(self._one_by_one(connection, impatient_first(batch)))
        self._in_hand = ()

    def _try_again(self, connection: sqlite3.Connection) -> None:
        """Run what was put aside, as far as possible."""
        self._in_hand, self._aside = self._aside, []
        left = self._in_hand
        while left and self._commit(connection, left[:BATCH]) is None:
            left = left[BATCH:]
        failed = self._one_by_one(connection, left[:BATCH]) if left else []
        self._put_off([*failed, *left[BATCH:]])
        self._in_hand = ()

    def _one_by_one(
        self, connection: sqlite3.Connection, batch: Sequence[Command]
    ) -> list[Command]:
        """Commit each command separately, so that a bad one spoils no other; those that failed.

        A command whose job has one that must wait has to wait as well, or it would overtake.
        """
        until, last = time.monotonic() + TRY_S, None
        failed: list[Command] = []
        held_up: dict[str, BaseException] = {}
        for command in batch:
            error = held_up.get(command.job or "")
            if error is None and last is not None and time.monotonic() > until:
                error = last
            error = error or self._commit(connection, [command])
            if error is None:
                continue
            command.error = error
            failed.append(command)
            if may_pass(error):
                last = error
                if command.job is not None:
                    held_up[command.job] = error
        return failed

    def _put_off(self, failed: Sequence[Command]) -> None:
        """Put aside the commands that can wait; answer the others."""
        now, waiting = time.monotonic(), bool(self._aside)
        given_up: list[Command] = []
        for command in failed:
            passing = command.error is None or may_pass(command.error)  # others are final
            if passing and command.gives_up_at > now and not self._inbox.closed:
                self._aside.append(command)
                continue
            given_up.append(command)
            command.error = as_told(self._path, command.error or Unavailable(self.fault or ""))
        if self._aside and not waiting:  # later commands do not delay the next try
            self._retry_at = now + RETRY_S
        answer(given_up)

    def _answer_in_hand(self) -> None:
        """Answer the commands that were being run when something unforeseen happened."""
        left, self._in_hand = [each for each in self._in_hand if not each.done], ()
        for command in left:
            command.error = Unavailable(
                "writing to the event log failed; the server's log says why"
            )
        answer(left)

    def _commit(
        self, connection: sqlite3.Connection, batch: Sequence[Command]
    ) -> BaseException | None:
        """Run a batch in one transaction; the error that undid it, if any."""
        gone = self.health.gone()
        if gone is not None:
            self.health.note(gone)
            return gone
        transaction, changes = Transaction(connection, self.journal), connection.total_changes
        try:
            connection.execute("BEGIN IMMEDIATE")
            for command in batch:
                execute(command, transaction)
            transaction.flush()
            connection.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001 - any error undoes it all
            _roll_back(connection)
            self.health.note(error)
            return error

        try:
            self.journal.committed()  # first: it must know what the file has
            if connection.total_changes != changes:
                self.health.note_health()
            self._committed(transaction)
        finally:  # whatever fails after the commit, they are in the file
            answer(batch)
        return None


def _roll_back(connection: sqlite3.Connection) -> None:
    """Undo what is not committed; SQLite may have done so already."""
    with contextlib.suppress(sqlite3.DatabaseError):
        if connection.in_transaction:
            connection.execute("ROLLBACK")
