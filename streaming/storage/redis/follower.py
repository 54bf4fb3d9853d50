"""Follows what all processes append, on one connection, and feeds the tails of this process.

Each append publishes its events on its job's channel. A missed message shows as a hole in the
numbers, and its events are read from the stream; after each (re)connection every followed log is
compared with what Redis has, so that nothing depends on the arrival of a message.
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

#: Seconds for which a log without readers is still followed: a reader may come back.
IDLE_S = 60.0
#: Events fetched at a time from a log whose tail is behind.
CATCH_UP = 500
#: Message for a log that does not continue from before: removed, cut, or mended.
AGAIN = b"again"


class Follower:
    """Owns the tails, and the subscription that feeds them."""

    def __init__(
        self, server: Server, link: Link, rows: Rows, *, process: str, idle_s: float = IDLE_S
    ) -> None:
        """`idle_s`: seconds after which a log without readers is no longer followed."""
        self._idle_s = idle_s
        self._keys = server.keys
        self._link = link
        self._rows = rows
        self._own_channel = server.keys.process(process)
        self._lock = native_lock()
        #: Followed jobs, and when they were last asked for.
        self._used: dict[str, float] = {}
        #: The newest event seen of each: a log that was set back has another one in its place.
        self._newest: dict[str, Event] = {}
        #: Other channels, and what to call when a message arrives there or may have been missed.
        self._heard: dict[str, Callable[[], None]] = {}
        #: Jobs whose channel was subscribed before their tail existed: it may be behind.
        self._early: set[str] = set()
        self.tails = Tails(self._load)
        #: Jobs whose log has lost events, with the last seq known here.
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
        """Before the start: call `told`, which must not block, for each message on a channel."""
        self._heard[channel] = told
        self._subscription.hear(channel)

    def start(self) -> None:
        self._subscription.start()

    def stop(self) -> None:
        """Stop following, and publish nothing more."""
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
        """Whether this process learns of appends to the job's log."""
        return self._keys.channel(job) in self._subscription.subscribed

    def offer(self, job: str, events: Sequence[Event]) -> None:
        """Show appended events, whoever appended them."""
        tail = self.tails.find(job)
        if tail is None:
            return
        if not tail.follow(events, follow):
            self.catch_up([job])
        elif job in self._used:
            self._newest[job] = events[-1]
        self._settle(tail)

    def catch_up(self, jobs: Collection[str]) -> None:
        """Bring tails up to date with Redis and wake who waits. `Unavailable` when it is away.

        An unreadable log stays as it is, and does not hold up the others.
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
        """Note that a job's log has lost events up to `seq`, which readers may have seen."""
        with self._lock:
            self.torn[job] = max(seq, self.torn.get(job, 0))

    def restart(self, tail: Tail, row: JobRow) -> None:
        """Restart a tail at a row that does not follow from its own."""
        if tail.row.closed:
            # Closed logs are not followed: the next one who asks loads it, and follows it.
            self.tails.forget(row.id)
        else:
            tail.restart(row)

    # -- loading and catching up

    def _load(self, job: str) -> JobRow | None:
        """Load a row for the tails. Follows it first, so that nothing is missed in between."""
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
        """Bring a tail up to date with Redis."""
        if stored is None or stored.row.expired:
            self.tails.drop(tail.row.id)
            return
        row, known = stored.row, tail.row
        if known.closed or row.seq < known.seq:
            fresh = self._rows.get(row.id)  # read after the tail was: it is at least as new
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
        """Handle a log that does not continue the tail: it was trimmed, or rewritten."""
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
        """Find logs that were set back, and have grown again past what readers here have seen."""
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

    # -- called by the subscription

    def connected(self) -> None:
        """Compare every log in memory with what Redis has: messages may have been missed."""
        with self._lock:
            jobs = [*self._used, *self.tails.closed()]
        for start in range(0, len(jobs), CATCH_UP):
            some = jobs[start : start + CATCH_UP]
            self._find_rewritten(some)
            self.catch_up(some)

    def confirmed(self, channel: str) -> None:
        """A job's channel is subscribed: earlier appends have to be read."""
        if channel in self._heard:
            self._heard[channel]()
            return
        job = _job_of(channel)
        self._early.add(job)  # before the check: whoever places its tail meanwhile sees it
        if self.tails.find(job) is not None:
            self._early.discard(job)
            self.catch_up([job])

    def told(self, channel: str, data: bytes) -> None:
        """A message for another part, or appended events."""
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
        except (Damaged, ValueError) as error:  # the stream is read instead, next time
            logger.error("what is told of job %s cannot be read: %s", job, error)

    def wanted(self) -> Collection[str]:
        """The channels of the followed logs: not of ended ones, or of those without readers."""
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
        """Wake the subscription, to check which jobs are to be followed."""
        try:
            self._link.post(("PUBLISH", self._own_channel, b""))
        except Unavailable:  # shutting down: nothing is followed any longer
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
        """Whether to stop following a log: it has ended, is gone, or was not read for a while."""
        tail = self.tails.find(job)
        if tail is not None and tail.row.closed:
            return True
        del tail
        return idle and self.tails.let_go(job)  # else it may be loading right now


def _job_of(channel: str) -> str:
    return channel[channel.index("{") + 1 : channel.index("}")]


def _is_torn(known: JobRow, now: JobRow) -> bool:
    """Whether a log has lost events: it is shorter, or its end is no longer where it was."""
    if known.closed:
        return now.seq != known.seq or not now.closed
    return now.seq < known.seq


def _is_old(data: bytes, seq: int) -> bool:
    """Whether a message's last event is known already: most messages are this process's own."""
    last = data[data.rfind(b"\n") + 1 :]
    return head_of(last).seq <= seq
