"""Commands for the writing thread, and the answers to those who gave them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from streaming.concurrency.inbox import Inbox
from streaming.concurrency.pending import Pending, settle
from streaming.errors import StreamingError
from streaming.storage.sqlite.transaction import Transaction


class Command(Pending[Any]):
    """A function to run in a transaction, and its result."""

    __slots__ = ("_inbox", "gives_up_at", "job", "run")

    def __init__(
        self,
        run: Callable[[Transaction], object] | None,
        gives_up_at: float,
        job: str | None,
        inbox: Inbox[Command],
    ) -> None:
        # Like `Pending`: there is one per token.
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
    """Run it; a refusal is kept for its caller, any other error undoes the transaction."""
    command.error = None
    assert command.run is not None
    try:
        command.value = command.run(transaction)
    except StreamingError as error:  # refused, so it has written nothing
        command.error = error


def impatient_first(batch: Sequence[Command]) -> list[Command]:
    """Commands without patience first, the others after them; those of one job stay in order."""
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
    """Mark commands as done, and wake their callers."""
    for command in commands:
        command.run = None  # it may refer to the command before it, and so on
    settle(commands)
