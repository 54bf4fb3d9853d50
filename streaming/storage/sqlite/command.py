"""What the writing thread is given to do, and how its givers are answered."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from streaming.concurrency.inbox import Inbox
from streaming.concurrency.pending import Pending, settle
from streaming.errors import StreamingError
from streaming.storage.sqlite.transaction import Transaction


class Command(Pending[Any]):
    """What is run in a transaction, and what comes of it."""

    __slots__ = ("_inbox", "gives_up_at", "job", "run")

    def __init__(
        self,
        run: Callable[[Transaction], object] | None,
        gives_up_at: float,
        job: str | None,
        inbox: Inbox[Command],
    ) -> None:
        # As `Pending` has it: each token is one.
        self.done = False
        self.error = self.value = self.waker = None
        #: None once it has been answered.
        self.run = run
        self._inbox = inbox
        self.job = job
        self.gives_up_at = gives_up_at

    def hurry(self) -> None:
        self._inbox.hurry()


def execute(command: Command, transaction: Transaction) -> None:
    """Run it; its refusal is kept for whoever gave it, any other error undoes the transaction."""
    command.error = None
    assert command.run is not None
    try:
        command.value = command.run(transaction)
    except StreamingError as error:  # refused: it has written nothing
        command.error = error


def impatient_first(batch: Sequence[Command]) -> list[Command]:
    """Those who wait for an answer at once before those who have time; a job's own in order."""
    now, first, rest = time.monotonic(), [], []
    waiting: set[str | None] = set()
    for command in batch:
        if command.gives_up_at <= now and command.job not in waiting:
            first.append(command)
            continue
        rest.append(command)
        if command.job is not None:
            waiting.add(command.job)
    return [*first, *rest]


def answer(commands: Sequence[Command]) -> None:
    """Let those who gave them go on."""
    for command in commands:
        command.run = None  # it may hold the command before it, and that one its own
    settle(commands)
