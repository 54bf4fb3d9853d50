"""The one thread of a process that appends: what gathers meanwhile goes in the next pipeline.

The events are made here, on the row as this process has last seen it; Redis takes them only if
the row is still the same, else they are made again on the row that it has. An append whose
outcome is not known is sent again as it was: Redis knows it by its number.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis

from streaming.concurrency.inbox import Inbox
from streaming.concurrency.pending import Pending, settle
from streaming.concurrency.threads import Thread
from streaming.errors import Fenced, LogRefusal, NotFound, StreamingError, Unavailable
from streaming.events.event import Draft, Event
from streaming.storage.redis.connection import (
    Command,
    Server,
    disconnect,
    explain,
    is_away,
    run,
)
from streaming.storage.redis.link import call
from streaming.storage.redis.memberships import Memberships
from streaming.storage.redis.outbox import call_parts
from streaming.storage.redis.rows import StoredRow, decode, encode, new_rev
from streaming.storage.redis.scripts import APPEND
from streaming.storage.rows import Expect, JobRow, extend

logger = logging.getLogger(__name__)

#: Appends in one pipeline at the most, and bytes of their events.
BATCH, BATCH_BYTES = 500, 4 << 20
#: Seconds between tries while Redis is away.
RETRY_S = 0.25
#: Rows that are remembered; of the others, Redis is asked before they are appended to.
KNOWN = 5000


@dataclass(frozen=True, slots=True)
class Append:
    """What a caller asks for."""

    job: str
    drafts: Sequence[Draft]
    attempt: int | None
    expect: Expect | None
    records: Mapping[str, bytes]
    #: The post before it: it must not come without.
    after: Pending[JobRow] | None = None

    def extend(self, row: JobRow) -> tuple[JobRow, list[Event]]:
        return extend(row, self.drafts, attempt=self.attempt, expect=self.expect)


class _Command(Pending[JobRow]):
    __slots__ = ("append", "gives_up_at")

    def __init__(self, append: Append, gives_up_at: float) -> None:
        super().__init__()
        self.append = append
        self.gives_up_at = gives_up_at

    @property
    def size(self) -> int:
        return sum(len(draft.encoded) for draft in self.append.drafts)


@dataclass(slots=True)
class _Known:
    """A job as this writer has last seen it."""

    stored: StoredRow
    #: The number of our last append that Redis has confirmed.
    confirmed: int = 0
    #: Seen in this round: a refusal needs no second look.
    fresh: bool = True


@dataclass(slots=True)
class _Call:
    """The appends of one job that go together, ready to be sent, and sent again."""

    job: str
    number: int
    before: StoredRow
    after: StoredRow
    commands: list[_Command] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    command: Command = ()


class Writer:
    """Runs appends; each is answered when Redis has taken or refused it."""

    def __init__(
        self,
        server: Server,
        *,
        process: str,
        published: Callable[[str, Sequence[Event]], None],
        memberships: Memberships,
        lost: Callable[[str, int], None],
    ) -> None:
        """`published` is told what was appended, `lost` of jobs whose log has lost appends."""
        self._server = server
        self._keys = server.keys
        self._field = f"w:{process}"
        self._published = published
        self._memberships = memberships
        self._lost = lost
        self._inbox: Inbox[_Command] = Inbox()
        self._client: redis.Redis | None = None
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._numbers = itertools.count(1)
        self._thread = Thread(self._work, name="redis-writer")
        #: Events that this process has appended.
        self.appended = 0
        #: What keeps it from writing at present.
        self.fault: str | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Write what was given, then end; later appends are refused."""
        self._inbox.close()
        self._thread.join(timeout=10)

    def post(self, append: Append, *, patience_s: float) -> Pending[JobRow]:
        """Have it appended behind those that were given before it; returns at once.

        While Redis is away it is tried again for `patience_s` seconds.
        """
        command = _Command(append, time.monotonic() + patience_s)
        self._inbox.give(command)
        return command

    # -- the thread

    def _work(self) -> None:
        self._inbox.open()
        #: Appends of which it is not known whether Redis has them.
        unsettled: list[_Call] = []
        while (batch := self._gather(bool(unsettled))) is not None:
            calls = unsettled or self._prepare(batch)
            unsettled = self._send(calls)
            if unsettled or self.fault is not None:
                unsettled = self._give_up(unsettled)
                self._inbox.pause(RETRY_S)
                if not unsettled:
                    self._probe()
            elif not batch and not calls:
                self._inbox.rest(1.0)
        if self._client is not None:
            disconnect(self._client)

    def _gather(self, unsettled: bool) -> list[_Command] | None:
        """The next batch, perhaps empty; None when there is none and there will be none."""
        if unsettled:
            return []
        return self._inbox.take(BATCH, size=lambda each: each.size, most_bytes=BATCH_BYTES)

    def _prepare(self, batch: list[_Command]) -> list[_Call]:
        """The calls for a batch, one per job."""
        by_job: dict[str, list[_Command]] = {}
        for command in batch:
            by_job.setdefault(command.append.job, []).append(command)
        try:
            self._look_up([job for job in by_job if job not in self._known])
        except (redis.RedisError, OSError, Unavailable) as error:
            self._away(error)
            self._inbox.put_back(batch)
            return []
        calls = [self._build(job, commands) for job, commands in by_job.items()]
        return [each for each in calls if each is not None]

    def _look_up(self, jobs: Sequence[str]) -> None:
        """Learn the rows of jobs."""
        if not jobs:
            return
        found = self._execute([("HGETALL", self._keys.row(job)) for job in jobs])
        for job, fields in zip(jobs, found, strict=True):
            if isinstance(fields, Exception):
                raise fields
            self._learn(job, decode(job, fields), fields.get(self._field.encode(), b"0"))

    def _learn(self, job: str, stored: StoredRow | None, confirmed: bytes) -> None:
        if stored is None or stored.row.expired:
            self._known.pop(job, None)
            return
        self._known[job] = _Known(stored, int(confirmed))
        # Never below what one batch needs: those were learned just now.
        while len(self._known) > KNOWN:
            self._known.popitem(last=False)

    def _build(self, job: str, commands: list[_Command]) -> _Call | None:
        """One call for the appends of a job; those that the row refuses are answered with it."""
        known = self._known.get(job)
        if known is None:
            for command in commands:
                self._answer(command, _no_job(job))
            return None
        row = known.stored.row
        events: list[Event] = []
        records: dict[str, bytes] = {}
        for command in commands:
            before = command.append.after
            command.error = None if before is None else before.error
            if command.error is not None:
                continue
            try:
                row, new = command.append.extend(row)
            except LogRefusal as refusal:
                if not known.fresh:  # of a row that may have moved: look first
                    del self._known[job]
                    self._inbox.put_back(commands)
                    return None
                command.error = refusal
                continue
            except Exception as error:  # a row of a shape that nobody knows: others must go on
                logger.exception("an append to job %s cannot be made", job)
                command.error = error
                continue
            command.value = row
            events += new
            records.update(command.append.records)
        if all(command.error for command in commands):
            known.fresh = False
            for command in commands:
                self._answer(command, command.error)
            return None
        after = StoredRow(row, new_rev(), known.stored.key)
        made = _Call(job, next(self._numbers), known.stored, after, commands, events)
        made.command = self._command(made, records)
        return made

    def _command(self, made: _Call, records: Mapping[str, bytes]) -> Command:
        job, row = made.job, made.after.row
        fields = encode(row, summary=row.summary is not made.before.row.summary)
        events: list[Any] = []
        for event in made.events:
            events += [f"{event.seq}-0", event.json]
        kept = [part for name, value in records.items() for part in (name, value)]
        keys, calls = call_parts(self._keys, row, made.events)
        return call(
            APPEND,
            [self._keys.row(job), self._keys.events(job), self._keys.records(job), *keys],
            self._keys.channel(job),
            made.before.rev,
            made.after.rev,
            self._field,
            made.number,
            len(fields) // 2,
            len(made.events),
            len(records),
            *fields,
            *events,
            *kept,
            *calls,
        )

    def _send(self, calls: list[_Call]) -> list[_Call]:
        """Send calls; those that have to be sent again."""
        if not calls:
            return []
        try:
            results = self._execute([made.command for made in calls])
        except (redis.RedisError, OSError, Unavailable) as error:
            self._away(error)
            return calls
        unsettled, taken = [], []
        for made, result in zip(calls, results, strict=True):
            if isinstance(result, Exception):
                if is_away(result):
                    self._away(result)
                    unsettled.append(made)
                else:
                    self._fail(made, result)
            elif result[0] == b"done":
                taken.append(made)
            else:
                self._refused(made, result)
        if not unsettled:
            self._back()
        self._settle(taken)
        return unsettled

    def _settle(self, taken: list[_Call]) -> None:
        """Keep the indexes in step, show the events to readers, answer."""
        for made in taken:
            known = self._known.get(made.job)
            if known is not None:
                known.stored, known.confirmed, known.fresh = made.after, made.number, False
            if made.after.row.closed:
                self._known.pop(made.job, None)
            self._memberships.grow(made.after.row.size - made.before.row.size)
        self._write_memberships(taken)
        for made in taken:
            self.appended += len(made.events)
            if made.events:
                self._show(made)
            for command in made.commands:
                self._answer(command, command.error)

    def _show(self, made: _Call) -> None:
        try:
            self._published(made.job, made.events)
        except Unavailable as error:  # the follower catches up when Redis is back
            logger.debug("job %s is shown later: %s", made.job, error.detail)

    def _write_memberships(self, taken: list[_Call]) -> None:
        changes: list[Command] = []
        for made in taken:
            changes += self._memberships.changes(made.before.row, made.after.row)
        if not changes:
            return
        try:
            self._execute(changes)
        except (redis.RedisError, OSError, Unavailable) as error:
            logger.warning("the job indexes are to be repaired: %s", explain(error))

    def _refused(self, made: _Call, result: list[Any]) -> None:
        """The row has moved, or is gone: its appends are made again on what there is."""
        known = self._known.pop(made.job, None)
        if result[0] == b"gone":
            for command in made.commands:
                self._answer(command, _no_job(made.job))
            return
        stored, confirmed = decode(made.job, result[2]), result[1]
        self._learn(made.job, stored, confirmed)
        again = made.commands
        if known is not None and int(confirmed) < known.confirmed:
            again = self._tell_lost(made, known, stored)
        self._inbox.put_back(again)

    def _tell_lost(self, made: _Call, known: _Known, stored: StoredRow | None) -> list[_Command]:
        """Redis has gone back behind what it had confirmed: the attempt must not go on."""
        seen = known.stored.row.seq
        logger.error("the log of job %s has lost appends up to event %d", made.job, seen)
        if stored is not None and stored.row.base <= seen:  # else it is mended already
            self._lost(made.job, seen)
        others = []
        for command in made.commands:
            if command.append.attempt is None:
                others.append(command)
            else:
                message = f"the log of job {made.job} has lost events of this attempt"
                self._answer(command, Fenced(message))
        return others

    def _fail(self, made: _Call, error: Exception) -> None:
        logger.error("an append to job %s failed: %s", made.job, error)
        self._known.pop(made.job, None)
        for command in made.commands:
            self._answer(command, error)

    def _give_up(self, unsettled: list[_Call]) -> list[_Call]:
        """Answer those that wait no longer; the calls in which somebody still waits."""
        now = time.monotonic()
        error = Unavailable(f"Redis cannot be used at present: {self.fault}", code="storage_away")

        def waits(command: _Command) -> bool:
            return command.gives_up_at > now and not self._inbox.closed

        for command in self._inbox.remove(lambda command: not waits(command)):
            self._answer(command, error)
        left = []
        for made in unsettled:
            if any(map(waits, made.commands)):
                left.append(made)
                continue
            self._known.pop(made.job, None)  # it may have been taken or not
            for command in made.commands:
                self._answer(command, error)
        return left

    def _answer(self, command: _Command, error: BaseException | None) -> None:
        command.error = error
        settle([command])

    # -- the connection

    def _connection(self) -> redis.Redis:
        if self._client is None:
            self._client = self._server.connect()
        return self._client

    def _execute(self, commands: Sequence[Command]) -> list[Any]:
        return run(self._connection(), commands)

    def _probe(self) -> None:
        """See whether it is back when nobody appends."""
        answer: Any
        try:
            [answer] = self._execute([("SET", self._keys.turn("probe"), "", "PX", 1000)])
        except (redis.RedisError, OSError, Unavailable) as error:
            answer = error
        if isinstance(answer, BaseException):
            self._away(answer)
        else:
            self._back()

    def _away(self, error: BaseException) -> None:
        if self._client is not None:
            disconnect(self._client)
            self._client = None
        if self.fault is None:
            logger.error("Redis cannot be written: %s", explain(error))
        self.fault = explain(error)

    def _back(self) -> None:
        if self.fault is not None:
            logger.warning("Redis can be written again")
        self.fault = None


def _no_job(job: str) -> StreamingError:
    return NotFound(f"there is no job {job}", code="job_not_found")
