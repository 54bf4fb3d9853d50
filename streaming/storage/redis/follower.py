"""What all processes append, followed on one connection: it feeds the tails of this process.

Each append tells its events on its job's channel. A message that was missed shows by a hole in
the numbers, and is read from the stream; after each (re)connection every followed log is
compared with what Redis has, so that nothing depends on a message that has come.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import redis

from streaming.concurrency.locks import Latch
from streaming.concurrency.platform import native_lock
from streaming.concurrency.threads import Thread
from streaming.errors import StreamingError, Unavailable
from streaming.events.event import Event
from streaming.storage.redis.connection import Server, disconnect, explain
from streaming.storage.redis.link import Link
from streaming.storage.redis.rows import Rows, StoredRow, event_of, follow
from streaming.storage.rows import JobRow
from streaming.storage.tail import Tail, Tails

logger = logging.getLogger(__name__)

#: Seconds between two looks around while nothing comes.
LOOK_S = 0.5
#: Seconds between tries while Redis is away.
RETRY_S = 0.25
#: Seconds of silence after which the connection is tried, and after which it counts as broken.
PING_S, SILENCE_S = 5.0, 12.0
#: Seconds after which a log that nobody reads is followed no longer.
IDLE_S = 60.0
#: Events fetched at once of a log that is behind.
CATCH_UP = 500
#: What is told of a log that does not go on from what was: removed, cut, mended.
AGAIN = b"again"


class Follower:
    """Owns the tails and the thread that listens for them."""

    def __init__(self, server: Server, link: Link, rows: Rows, *, process: str) -> None:
        self._server = server
        self._keys = server.keys
        self._link = link
        self._rows = rows
        self._own_channel = server.keys.process(process)
        self._lock = native_lock()
        #: Followed jobs, and when they were last asked for.
        self._used: dict[str, float] = {}
        #: The newest event seen of each of them: a log that was set back has another in its place.
        self._newest: dict[str, Event] = {}
        self._subscribed: set[str] = set()
        #: Other channels, and what is called when something is told there or may have been missed.
        self._heard: dict[str, Callable[[], None]] = {}
        #: Jobs that were listened to before their tail was there: it may be behind.
        self._early: set[str] = set()
        #: Whether other jobs are to be followed.
        self._changed = False
        self._stopping = Latch()
        self.tails = Tails(self._load)
        #: Jobs whose log has lost events, with the last seq that was known here.
        self.torn: dict[str, int] = {}
        #: What keeps it from listening at present.
        self.fault: str | None = None
        self._thread = Thread(self._work, name="redis-follower")

    def hear(self, channel: str, told: Callable[[], None]) -> None:
        """Before the start: have `told`, which must not block, called with what comes there."""
        self._heard[channel] = told

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.open()
        self._wake()
        self._thread.join(timeout=10)

    def tail(self, job: str) -> Tail:
        """The job's tail, followed from now on; `NotFound` without such a job."""
        tail = self.tails.get(job)
        if job in self._used:
            self._used[job] = time.monotonic()
        if job in self._early:
            self._early.discard(job)
            self.catch_up([job])
        return tail

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
        """Bring tails to where Redis is; who waits is woken. `Unavailable` when it is away."""
        found = self._rows.get_all(jobs)
        for job, stored in zip(jobs, found, strict=True):
            tail = self.tails.find(job)
            if tail is not None:
                self._bring(tail, stored)

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

    def _bring(self, tail: Tail, stored: StoredRow | None) -> None:
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

    def _compare(self) -> None:
        """After a reconnection: every log in memory against what Redis has now."""
        with self._lock:
            jobs = [*self._used, *self.tails.closed()]
        for start in range(0, len(jobs), CATCH_UP):
            some = jobs[start : start + CATCH_UP]
            self._find_rewritten(some)
            self.catch_up(some)

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

    # -- the thread

    def _wake(self) -> None:
        """Have the thread look which jobs are to be followed."""
        try:
            self._link.post(("PUBLISH", self._own_channel, b""))
        except Unavailable:  # shutting down: nobody follows any more
            return

    def _work(self) -> None:
        while not self._stopping.is_open:
            try:
                self._listen()
            except (redis.RedisError, OSError, StreamingError) as error:
                if self.fault is None:
                    logger.error("Redis cannot be followed: %s", explain(error))
                self.fault = explain(error)
            except Exception:  # whatever it was, readers depend on this thread
                logger.exception("following Redis failed; it begins again")
            self._stopping.wait(RETRY_S)

    def _listen(self) -> None:
        """One connection's life."""
        client = self._server.connect(answer_s=SILENCE_S)
        pubsub: Any = client.pubsub()  # type: ignore[no-untyped-call]
        self._subscribed = set()
        heard = pinged = look_at = time.monotonic()
        try:
            pubsub.subscribe(self._own_channel, *self._heard)
            while not self._stopping.is_open:
                message = pubsub.get_message(timeout=LOOK_S)
                now = time.monotonic()
                if message is not None:
                    heard = now
                    self._take(message)
                elif now - heard > SILENCE_S:
                    raise redis.ConnectionError("it does not answer")
                elif now - max(heard, pinged) > PING_S:
                    pinged = now
                    pubsub.ping()
                if self._changed or now > look_at:
                    self._changed, look_at = False, now + LOOK_S
                    self._subscribe(pubsub, now)
        finally:
            pubsub.close()
            disconnect(client)

    def _take(self, message: dict[str, Any]) -> None:
        channel = message["channel"].decode() if message["channel"] else ""
        if channel in self._heard:
            self._heard[channel]()
        elif message["type"] == "subscribe":
            self._confirmed(channel)
        elif message["type"] == "message" and channel == self._own_channel:
            self._changed = True
        elif message["type"] == "message":
            self._told(_job_of(channel), message["data"])

    def _confirmed(self, channel: str) -> None:
        """From here on every append is told: what came before is read."""
        if channel == self._own_channel:
            self._compare()
            if self.fault is not None:
                logger.warning("Redis can be followed again")
            self.fault = None
        else:
            job = _job_of(channel)
            self._early.add(job)  # before the look: who places its tail meanwhile sees it
            if self.tails.find(job) is not None:
                self._early.discard(job)
                self.catch_up([job])

    def _told(self, job: str, data: bytes) -> None:
        if data == AGAIN:
            self._begin_again(job)
            return
        tail = self.tails.find(job)
        if tail is not None and not _is_old(data, tail.row.seq):
            self.offer(job, [event_of(job, body) for body in data.split(b"\n")])

    def _begin_again(self, job: str) -> None:
        stored, tail = self._rows.get(job), self.tails.find(job)
        if tail is None:
            return
        if stored is None or stored.row.expired:
            self.tails.drop(job)
        else:
            self.restart(tail, stored.row)

    def _subscribe(self, pubsub: Any, now: float) -> None:
        """Listen to what is followed, and no longer to what has ended or nobody reads."""
        with self._lock:
            jobs = dict(self._used)
        for job, used in list(jobs.items()):
            if self._is_over(job, now - used > IDLE_S):
                with self._lock:
                    self._used.pop(job, None)
                self._early.discard(job)
                self._newest.pop(job, None)
                jobs.pop(job)
        new, old = jobs.keys() - self._subscribed, self._subscribed - jobs.keys()
        if new:
            pubsub.subscribe(*[self._keys.channel(job) for job in new])
        if old:
            pubsub.unsubscribe(*[self._keys.channel(job) for job in old])
        self._subscribed = set(jobs)
        self._early &= self._subscribed

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
    return int(last[7 : last.index(b",")]) <= seq
