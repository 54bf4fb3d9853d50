"""Appends to jobs in Redis: what callers ask for, and the commands that carry it there."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from streaming.concurrency.pending import Pending
from streaming.errors import LogRefusal
from streaming.events.event import Draft, Event
from streaming.storage.redis.connection import Command
from streaming.storage.redis.keys import Keys
from streaming.storage.redis.known import Known
from streaming.storage.redis.link import call
from streaming.storage.redis.outbox import call_parts
from streaming.storage.redis.rows import StoredRow, encode
from streaming.storage.redis.scripts import APPEND
from streaming.storage.rows import Expect, JobRow, extend

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Append:
    """An append, as a caller asks for it."""

    job: str
    drafts: Sequence[Draft]
    attempt: int | None
    expect: Expect | None
    records: Mapping[str, bytes]
    #: The post before it: it must not come without.
    after: Pending[object] | None = None

    def extend(self, row: JobRow) -> tuple[JobRow, list[Event]]:
        return extend(row, self.drafts, attempt=self.attempt, expect=self.expect)


class Asked(Pending[JobRow]):
    """An append that somebody waits for."""

    __slots__ = ("append", "gives_up_at")

    def __init__(self, append: Append, gives_up_at: float) -> None:
        super().__init__()
        self.append = append
        self.gives_up_at = gives_up_at

    @property
    def size(self) -> int:
        return sum(len(draft.encoded) for draft in self.append.drafts)


@dataclass(slots=True)
class Call:
    """The appends of one job that go together, ready to be sent, and resent."""

    job: str
    number: int
    before: StoredRow
    after: StoredRow
    asked: list[Asked] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    command: Command = ()

    def prepare(self, keys: Keys, writer: str, records: Mapping[str, bytes]) -> None:
        """Make the command; `writer` is the row's field for this process's numbers."""
        job, row = self.job, self.after.row
        fields = encode(row, summary=row.summary is not self.before.row.summary)
        events: list[bytes | str] = []
        for event in self.events:
            events += [f"{event.seq}-0", event.json]
        kept = [part for name, value in records.items() for part in (name, value)]
        more, calls = call_parts(keys, row, self.events)
        self.command = call(
            APPEND,
            [keys.row(job), keys.events(job), keys.records(job), *more],
            keys.channel(job),
            self.before.rev,
            self.after.rev,
            writer,
            self.number,
            len(fields) // 2,
            len(self.events),
            len(records),
            *fields,
            *events,
            *kept,
            *calls,
        )


class Assembled(NamedTuple):
    """The joint result of appends to a row."""

    row: JobRow
    events: list[Event]
    records: dict[str, bytes]
    #: Whether one was refused on a row that may be outdated: then nothing of this counts.
    moved: bool = False


def assemble(known: Known, asked: Sequence[Asked]) -> Assembled:
    """Apply appends to a row; a refusal becomes the error of its caller."""
    row = known.stored.row
    events: list[Event] = []
    records: dict[str, bytes] = {}
    for each in asked:
        before = each.append.after
        each.error = None if before is None else before.error
        if each.error is not None:
            continue
        try:
            row, new = each.append.extend(row)
        except LogRefusal as refusal:
            if not known.fresh:
                return Assembled(row, events, records, moved=True)
            each.error = refusal
            continue
        except Exception as error:  # a row of unknown shape: other jobs must go on
            logger.exception("an append to job %s cannot be made", each.append.job)
            each.error = error
            continue
        each.value = row
        events += new
        records.update(each.append.records)
    return Assembled(row, events, records)
