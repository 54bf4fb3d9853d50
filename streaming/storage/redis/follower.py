"""What all processes append, followed on one connection: it feeds the tails of this process.

Each append tells its events on its job's channel. A message that was missed shows by a hole in
the numbers, and is read from the stream; after each (re)connection every followed log is
compared with what Redis has, so that nothing depends on a message that has come.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence

from streaming.concurrency.platform import native_lock
from streaming.errors import Damaged, Unavailable
from streaming.events.envelope import head_of
from streaming.events.event import Event
from streaming.storage.redis.connection import Server
from streaming.storage.redis.link import Link
from streaming.storage.redis.rows import Rows, StoredRow, event_of
from streaming.storage.redis.subscription import Subscription
from streaming.storage.rows import JobRow, follow
from streaming.storage.tail import Tail, Tails

logger = logging.getLogger(__name__)

#: Seconds for which a log that nobody reads is followed on: a reader may come back.
IDLE_S = 60.0
#: Events fetched at once of a log that is behind.
CATCH_UP = 500
#: What is told of a log that does not go on from what was: removed, cut, mended.
AGAIN = b"again"


class Follower:
    """Owns the tails, and the subscription that feeds them."""

    def __init__(
        self, server: Server, link: Link, rows: Rows, *, process: str, idle_s: float = IDLE_S
    ) -> None:
        """`idle_s`: seconds after which a log that nobody reads is followed no longer."""
        self._idle_s = idle_s
        self._keys = server.keys
        self._link = link
        self._rows = rows
        self._own_channel = server.keys.process(process)
        self._lock = native_lock()
        #: Followed jobs, and when they were last asked for.
        self._used: dict[str, float] = {}
        #: The newest event seen of each of them: a log that was set back has another in its place.
        self._newest: dict[str, Event] = {}
        #: Other channels, and what is called when something is told there or may have been missed.
        self._heard: dict[str, Callable[[], None]] = {}
        #: Jobs that were listened to before their tail was there: it may be behind.
        self._early: set[str] = set()
        self.tails = Tails(self._load)
        #: Jobs whose log has lost events, with the last seq that was known here.
        self.torn: dict[str, int] = {}
        self._subscription = Subscription(server, self, own_channel=self._own_channel)

    @property
    def fault(self) -> str | None:
        """What keeps it from listening at present."""
        return self._subscription.fault

    @property
    def name(self) -> str:
        return self._subscription.name

    @property
    def dead(self) -> bool:
        """Whether its thread has ended by itself."""
        return self._subscription.dead

    def hear(self, channel: str, told: Callable[[], None]) -> None:
        """Before the start: have `told`, which must not block, called with what comes there."""
        self._heard[channel] = told
        self._subscription.hear(channel)

    def start(self) -> None:
        self._subscription.start()

    def stop(self) -> None:
        """Follow nothing more, and show nothing."""
        self._wake()
        self._subscription.stop()
        self.tails.close()

    def tail(self, job: str) -> Tail:
        """The job's tail, followed from now on; `NotFound` without such a job."""
        tail = self.tails.get(job)
        if job in self._used:
            self._used[job] = time.monotonic()
        if job in self._early:
            self._early.discard(job)
            self.catch_up([job])
        return tail

    def follows(self, job: str) -> bool:
        """Whether this process is told what is appended to the job's log."""
        return self._keys.channel(job) in self._subscription.subscribed

    def offer(self, job: str, events: Sequence[Event]) -> None:
        """Show events that were appended, wherever."""
        tail = self.tails.find(job)
        if tail is None:
            return
        if not tail.follow(events, follow):
            self.catch_up([job])
        elif job in self._used:
            self._newest[job] = events[-1]
        self._settle(tail)

    def catch_up(self, jobs: Collection[str]) -> None:
        """Bring tails to where Redis is; who waits is woken. `Unavailable` when it is away.

        One that cannot be read stays where it is, and keeps none of the others.
        """
        found = self._rows.look_up(jobs)
        for job, stored in zip(jobs, found, strict=True):
            tail = self.tails.find(job)
            if tail is None:
                continue
            try:
                if isinstance(stored, Damaged):
                    raise stored.again()
                self.bring(tail, stored)
            except Damaged as error:
                logger.error("job %s cannot be followed: %s", job, error.detail)

    def lost(self, job: str, seq: int) -> None:
        """The log of a job has lost events up to `seq`, which readers may have seen."""
        with self._lock:
            self.torn[job] = max(seq, self.torn.get(job, 0))

    def restart(self, tail: Tail, row: JobRow) -> None:
        """Have a tail begin anew at a row that does not follow from its own."""
        if tail.row.closed:
            # Closed logs are not followed: whoever asks for it now has it loaded, and followed.
            self.tails.forget(row.id)
        else:
            tail.restart(row)

    # -- loading and catching up

    def _load(self, job: str) -> JobRow | None:
        """For the tails: followed first and read second, so that nothing is missed between."""
        with self._lock:
            self._used[job] = time.monotonic()
        self._wake()
        stored = self._rows.get(job)
        if stored is None or stored.row.closed or stored.row.expired:
            with self._lock:
                self._used.pop(job, None)
        else:
            newest = self._rows.page(job, stored.row.seq - 1, 1)
            if newest and newest[0].seq == stored.row.seq:
                self._newest[job] = newest[0]
        return None if stored is None else stored.row

    def bring(self, tail: Tail, stored: StoredRow | None) -> None:
        """Make a tail what Redis has."""
        if stored is None or stored.row.expired:
            self.tails.drop(tail.row.id)
            return
        row, known = stored.row, tail.row
        if known.closed or row.seq < known.seq:
            fresh = self._rows.get(row.id)  # asked after the tail was looked at: it is as new
            if fresh is not None and _is_torn(known, fresh.row):
                self._tear(tail, fresh.row)
            return
        if row.base > tail.row.seq:
            self.restart(tail, row)
        while tail.row.seq < row.seq:
            at = tail.row.seq
            events = self._rows.page(row.id, at, CATCH_UP)
            if not events or not tail.follow(events, follow) or tail.row.seq == at:
                self._restart(tail)
                break
            self._newest[row.id] = events[-1]
        self._settle(tail)

    def _settle(self, tail: Tail) -> None:
        if tail.row.closed and self.tails.find(tail.row.id) is tail:
            self.tails.settle(tail)

    def _restart(self, tail: Tail) -> None:
        """What is there does not go on from the tail: it was trimmed, or is another's meanwhile."""
        stored = self._rows.get(tail.row.id)
        if stored is None or stored.row.expired:
            self.tails.drop(tail.row.id)
        elif stored.row.seq >= tail.row.seq:
            self.restart(tail, stored.row)

    def _tear(self, tail: Tail, row: JobRow) -> None:
        logger.error(
            "the log of job %s has lost events that were stored: it was at %d, and is at %d",
            row.id,
            tail.row.seq,
            row.seq,
        )
        self.lost(row.id, tail.row.seq)
        self.restart(tail, row)

    def _find_rewritten(self, jobs: Sequence[str]) -> None:
        """Logs that were set back, and have grown again past what readers here have seen."""
        newest = [
            (tail, event)
            for job in jobs
            if (tail := self.tails.find(job)) and (event := self._newest.get(job))
        ]
        found = self._link.call(
            *[
                ("XRANGE", self._keys.events(event.job), f"{event.seq}-0", f"{event.seq}-0")
                for _, event in newest
            ]
        )
        for (tail, event), entries in zip(newest, found, strict=True):
            if entries and entries[0][1].get(b"e") != event.json:
                stored = self._rows.get(event.job)
                if stored is not None:
                    logger.error("the log of job %s has another event %d", event.job, event.seq)
                    seen = max(tail.row.seq, stored.row.seq)
                    self.lost(event.job, seen)
                    self.restart(tail, stored.row)

    # -- what the subscription tells

    def connected(self) -> None:
        """Every log in memory against what Redis has now: messages may have been missed."""
        with self._lock:
            jobs = [*self._used, *self.tails.closed()]
        for start in range(0, len(jobs), CATCH_UP):
            some = jobs[start : start + CATCH_UP]
            self._find_rewritten(some)
            self.catch_up(some)

    def confirmed(self, channel: str) -> None:
        """From here on every append to a job is told: what came before is read."""
        if channel in self._heard:
            self._heard[channel]()
            return
        job = _job_of(channel)
        self._early.add(job)  # before the look: who places its tail meanwhile sees it
        if self.tails.find(job) is not None:
            self._early.discard(job)
            self.catch_up([job])

    def told(self, channel: str, data: bytes) -> None:
        """News of other parts, or events that were appended."""
        if channel in self._heard:
            self._heard[channel]()
            return
        job = _job_of(channel)
        try:
            if data == AGAIN:
                self._begin_again(job)
                return
            tail = self.tails.find(job)
            if tail is not None and not _is_old(data, tail.row.seq):
                self.offer(job, [event_of(job, body) for body in data.split(b"\n")])
        except (Damaged, ValueError) as error:  # what is read next time is the stream
            logger.error("what is told of job %s cannot be read: %s", job, error)

    def wanted(self) -> Collection[str]:
        """The channels of what is followed: not of what has ended or nobody reads."""
        now = time.monotonic()
        with self._lock:
            jobs = dict(self._used)
        for job, used in list(jobs.items()):
            if self._is_over(job, now - used > self._idle_s):
                with self._lock:
                    self._used.pop(job, None)
                self._early.discard(job)
                self._newest.pop(job, None)
                jobs.pop(job)
        self._early &= jobs.keys()
        return [self._keys.channel(job) for job in jobs]

    def _wake(self) -> None:
        """Have the subscription look which jobs are to be followed."""
        try:
            self._link.post(("PUBLISH", self._own_channel, b""))
        except Unavailable:  # shutting down: nobody follows any more
            return

    def _begin_again(self, job: str) -> None:
        stored, tail = self._rows.get(job), self.tails.find(job)
        if tail is None:
            return
        if stored is None or stored.row.expired:
            self.tails.drop(job)
        else:
            self.restart(tail, stored.row)

    def _is_over(self, job: str, idle: bool) -> bool:
        """Whether a log is to be followed no longer: ended, gone, or not read for a while."""
        tail = self.tails.find(job)
        if tail is not None and tail.row.closed:
            return True
        del tail
        return idle and self.tails.let_go(job)  # else it may just be loaded


def _job_of(channel: str) -> str:
    return channel[channel.index("{") + 1 : channel.index("}")]


def _is_torn(known: JobRow, now: JobRow) -> bool:
    """Whether a log has lost events: it is shorter, or what was its end is no end any more."""
    if known.closed:
        return now.seq != known.seq or not now.closed
    return now.seq < known.seq


def _is_old(data: bytes, seq: int) -> bool:
    """Whether a message's last event is known already: most are this process's own."""
    last = data[data.rfind(b"\n") + 1 :]
    return head_of(last).seq <= seq
