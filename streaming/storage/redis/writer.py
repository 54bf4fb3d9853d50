"""The one thread of a process that appends: what arrives meanwhile goes in the next pipeline.

The events are computed here, on the row as this process last saw it; Redis accepts them only if the
row is still the same, else they are computed again on the present row. An append whose outcome is
unknown is sent again unchanged: Redis recognises it by its number.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import time
from collections.abc import Sequence

from streaming.concurrency.inbox import Inbox
from streaming.concurrency.pending import Pending, settle
from streaming.concurrency.threads import Thread
from streaming.errors import Damaged, Fenced, NotFound, StreamingError, Unavailable
from streaming.storage.redis.appends import Append, Asked, Call, assemble
from streaming.storage.redis.connection import Command, Reply, Server, as_damage, explain, is_away
from streaming.storage.redis.follower import Follower
from streaming.storage.redis.known import Known, KnownRows
from streaming.storage.redis.memberships import Memberships
from streaming.storage.redis.rows import StoredRow, decode, new_rev
from streaming.storage.redis.silence import Silence
from streaming.storage.redis.writer_connection import AWAY, WriterConnection
from streaming.storage.rows import JobRow

logger = logging.getLogger(__name__)

#: Maximum appends in one pipeline, and bytes of their events.
BATCH, BATCH_BYTES = 500, 4 << 20
#: Seconds between tries while Redis is away.
RETRY_S = 0.25


class Writer:
    """Runs appends; each is answered when Redis has taken or refused it."""

    def __init__(
        self,
        server: Server,
        *,
        process: str,
        memberships: Memberships,
        follower: Follower,
        silence_s: float | None,
    ) -> None:
        """`follower` is told what was appended, and which logs have lost some of it."""
        self._keys = server.keys
        self._field = f"w:{process}"
        self._memberships = memberships
        self._follower = follower
        self._inbox: Inbox[Asked] = Inbox()
        #: Of its connection; the impatient look.
        self.silence = Silence(silence_s)
        self._connection = WriterConnection(server, self.silence)
        self._known = KnownRows()
        #: Appends that are under way.
        self._in_hand: list[Asked] = []
        self._numbers = itertools.count(1)
        self._thread = Thread(self._work, name="redis-writer")
        #: Events that this process has appended.
        self.appended = 0

    @property
    def fault(self) -> str | None:
        """What keeps it from writing at present."""
        return self._connection.fault

    @property
    def name(self) -> str:
        return self._thread.name

    @property
    def dead(self) -> bool:
        """Whether its thread has ended by itself."""
        return self._thread.dead

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Write all appends so far, then end; later ones are refused."""
        self._inbox.close()
        self._thread.join(timeout=10)

    def post(self, append: Append, *, patience_s: float) -> Pending[JobRow]:
        """Queue an append behind all earlier ones; returns at once.

        While Redis is away, it is retried for `patience_s` seconds.
        """
        command = Asked(append, time.monotonic() + patience_s)
        self._inbox.give(command)
        return command

    # -- the thread

    def _work(self) -> None:
        self._inbox.open()
        try:
            self._serve()
        finally:
            self._leave()

    def _leave(self) -> None:
        """Answer everybody, however the thread ends."""
        why = f"the thread {self.name} has ended"
        for asked in [*self._in_hand, *self._inbox.abandon(why)]:
            if not asked.done:
                self._answer(asked, Unavailable(why, code="storage_away"))
        self._connection.close()

    def _serve(self) -> None:
        #: Appends whose outcome is unknown.
        unsettled: list[Call] = []
        while (batch := [] if unsettled else self._take()) is not None:
            self._in_hand = [*batch, *(asked for made in unsettled for asked in made.asked)]
            try:
                unsettled = self._round(batch, unsettled)
            except Exception as error:  # whatever it was, the appends behind these must be made
                logger.exception("appending failed")
                unsettled = []
                self._answer_in_hand(error)
        self._in_hand = []

    def _take(self) -> list[Asked] | None:
        return self._inbox.take(BATCH, size=lambda each: each.size, most_bytes=BATCH_BYTES)

    def _answer_in_hand(self, error: Exception) -> None:
        """Answer what was under way when something unforeseen happened: it may be stored or not."""
        left = [asked for asked in self._in_hand if not asked.done]
        self._inbox.remove(lambda asked: any(asked is each for each in left))  # put back
        for asked in left:
            self._known.forget(asked.append.job)
            self._answer(asked, error)

    def _round(self, batch: list[Asked], unsettled: list[Call]) -> list[Call]:
        """Compute and send appends; the calls whose outcome is unknown."""
        calls = unsettled or self._prepare(batch)
        unsettled = self._send(calls)
        if unsettled or self.fault is not None:
            unsettled = self._give_up(unsettled)
            self._inbox.pause(RETRY_S)
            if not unsettled:
                self._connection.probe(("SET", self._keys.turn("probe"), "", "PX", 1000))
        elif not batch and not calls:
            self._inbox.rest(1.0)
        return unsettled

    def _prepare(self, batch: list[Asked]) -> list[Call]:
        """The calls for a batch, one per job."""
        by_job: dict[str, list[Asked]] = {}
        for command in batch:
            by_job.setdefault(command.append.job, []).append(command)
        try:
            damaged = self._look_up([job for job in by_job if job not in self._known])
        except AWAY as error:
            self._connection.away(error)
            self._inbox.put_back(batch)
            return []
        for job, damage in damaged.items():
            for command in by_job.pop(job):
                self._answer(command, damage.again())
        calls = [self._build(job, commands) for job, commands in by_job.items()]
        return [each for each in calls if each is not None]

    def _look_up(self, jobs: Sequence[str]) -> dict[str, Damaged]:
        """Fetch the rows of jobs; those that cannot be read."""
        damaged: dict[str, Damaged] = {}
        if not jobs:
            return damaged
        found = self._connection.execute([("HGETALL", self._keys.row(job)) for job in jobs])
        for job, fields in zip(jobs, found, strict=True):
            try:
                if isinstance(fields, Exception):
                    raise as_damage(fields)
                stored, confirmed = decode(job, fields), fields.get(self._field.encode(), b"0")
                self._known.learn(job, stored, confirmed)
            except Damaged as error:
                damaged[job] = error
        return damaged

    def _build(self, job: str, commands: list[Asked]) -> Call | None:
        """One call for a job's appends; those that its row refuses are answered with it."""
        known = self._known.get(job)
        if known is None:
            for command in commands:
                self._answer(command, _no_job(job))
            return None
        row, events, records, moved = assemble(known, commands)
        if moved:  # refused on a row that may be outdated: check first
            self._known.forget(job)
            self._inbox.put_back(commands)
            return None
        if all(command.error for command in commands):
            known.fresh = False
            for command in commands:
                self._answer(command, command.error)
            return None
        after = StoredRow(row, new_rev(), known.stored.key)
        made = Call(job, next(self._numbers), known.stored, after, commands, events)
        made.prepare(self._keys, self._field, records)
        return made

    def _send(self, calls: list[Call]) -> list[Call]:
        """Send calls; returns those that must be sent again."""
        if not calls:
            return []
        try:
            results = self._connection.execute([made.command for made in calls])
        except AWAY as error:
            self._connection.away(error)
            return calls
        unsettled, taken = [], []
        for made, result in zip(calls, results, strict=True):
            if isinstance(result, Exception):
                if is_away(result):
                    self._connection.away(result)
                    unsettled.append(made)
                else:
                    self._fail(made, result)
            elif result[0] == b"done":
                taken.append(made)
            else:
                self._refused(made, result)
        if not unsettled:
            self._connection.back()
        self._settle(taken)
        return unsettled

    def _settle(self, taken: list[Call]) -> None:
        """Keep the indexes in step, show the events to readers, answer."""
        for made in taken:
            known = self._known.get(made.job)
            if known is not None:
                known.stored, known.confirmed, known.fresh = made.after, made.number, False
            if made.after.row.closed:
                self._known.forget(made.job)
            self._memberships.grow(made.after.row.size - made.before.row.size)
        self._write_memberships(taken)
        for made in taken:
            self.appended += len(made.events)
            with contextlib.suppress(Unavailable):  # the follower catches up when Redis is back
                if made.events:
                    self._follower.offer(made.job, made.events)
            for command in made.asked:
                self._answer(command, command.error)

    def _write_memberships(self, taken: list[Call]) -> None:
        changes: list[Command] = []
        for made in taken:
            changes += self._memberships.changes(made.before.row, made.after.row)
        if not changes:
            return
        try:
            self._connection.execute(changes)
        except AWAY as error:
            logger.warning("the job indexes are to be repaired: %s", explain(error))

    def _refused(self, made: Call, result: list[Reply]) -> None:
        """The row has changed, or is gone: its appends are computed again on the present one."""
        known = self._known.forget(made.job)
        if result[0] == b"gone":
            for command in made.asked:
                self._answer(command, _no_job(made.job))
            return
        try:
            stored, confirmed = decode(made.job, result[2]), result[1]
        except Damaged as error:
            for command in made.asked:
                self._answer(command, error.again())
            return
        self._known.learn(made.job, stored, confirmed)
        again = made.asked
        if known is not None and int(confirmed) < known.confirmed:
            again = self._tell_lost(made, known, stored)
        self._inbox.put_back(again)

    def _tell_lost(self, made: Call, known: Known, stored: StoredRow | None) -> list[Asked]:
        """Redis has lost what it had confirmed: the attempt must not go on."""
        seen = known.stored.row.seq
        logger.error("the log of job %s has lost appends up to event %d", made.job, seen)
        if stored is not None and stored.row.base <= seen:  # else it was mended already
            self._follower.lost(made.job, seen)
        others = []
        for command in made.asked:
            if command.append.attempt is None:
                others.append(command)
            else:
                message = f"the log of job {made.job} has lost events of this attempt"
                self._answer(command, Fenced(message))
        return others

    def _fail(self, made: Call, error: Exception) -> None:
        logger.error("an append to job %s failed: %s", made.job, error)
        self._known.forget(made.job)
        for command in made.asked:
            self._answer(command, as_damage(error))

    def _give_up(self, unsettled: list[Call]) -> list[Call]:
        """Answer those whose patience is over; the calls in which somebody still waits."""
        now = time.monotonic()
        why = f"Redis cannot be used at present: {self.fault}"

        def waits(command: Asked) -> bool:
            return command.gives_up_at > now and not self._inbox.closed

        for command in self._inbox.remove(lambda command: not waits(command)):
            self._answer(command, Unavailable(why, code="storage_away"))
        left = []
        for made in unsettled:
            if any(map(waits, made.asked)):
                left.append(made)
                continue
            self._known.forget(made.job)  # it may have been stored or not
            for command in made.asked:
                self._answer(command, Unavailable(why, code="storage_away"))
        return left

    def _answer(self, command: Asked, error: BaseException | None) -> None:
        command.error = error
        settle([command])


def _no_job(job: str) -> StreamingError:
    return NotFound(f"there is no job {job}", code="job_not_found")
