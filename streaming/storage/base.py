"""The interfaces of storage; one contract suite (tests/storage) proves each promise for all."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from streaming.concurrency.pending import Pending, settle
from streaming.concurrency.waking import Wakeable, Waker, make_waker
from streaming.events.event import Draft
from streaming.storage.blobs import Blobs
from streaming.storage.outbox import Outbox
from streaming.storage.rows import Expect, JobRow, Page, Submission

#: Bytes of a storage's secret.
SECRET_BYTES = 32
#: Seconds that a reader has to come back when it is the server that has ended its stream.
SENT_AWAY_S = 60.0


class Live(Protocol):
    """A log's newest events in memory, and those who wait for more."""

    @property
    def row(self) -> JobRow:
        """The job as it is at present."""

    def page(self, after: int, limit: int) -> Page | None:
        """The page behind `after`; None when it is not in memory. Never blocks."""

    def watch(self, after: int, waker: Wakeable) -> bool:
        """Have `waker` woken by the next change; False when the log is not at `after` any more."""

    def unwatch(self, waker: Wakeable) -> None:
        """Watch no more."""


class EventLog(ABC):
    """The logs of all jobs: numbered 1, 2, 3… without holes, immutable, closed by their end."""

    @abstractmethod
    def append(
        self,
        job: str,
        drafts: Sequence[Draft],
        *,
        attempt: int | None = None,
        expect: Expect | None = None,
        records: Mapping[str, bytes] | None = None,
        patient: bool = True,
    ) -> JobRow:
        """Add events, all or none, with private records beside them; returns after the commit.

        Raises `LogClosed`, `Fenced` (`attempt` is older than the log's), `Unexpected` (`expect`),
        `NotFound`, and `Unavailable` when storage is away: at once, or if `patient` when it has
        stayed away for the time that appends wait.
        """

    def post(
        self,
        job: str,
        drafts: Sequence[Draft],
        *,
        attempt: int,
        after: Pending[JobRow] | None = None,
    ) -> Pending[JobRow]:
        """A patient append that may return before its commit; it keeps its place among the job's.

        It fails with `after`, the post before it, so that no hole can come into an attempt's
        text. Who posts bounds how many are under way.
        """
        if after is not None:
            after.check()
        post: Pending[JobRow] = Pending()
        post.value = self.append(job, drafts, attempt=attempt)
        settle([post])
        return post

    def read(
        self,
        job: str,
        after: int,
        *,
        limit: int = 500,
        timeout: float = 0,
        waker: Waker | None = None,
    ) -> Page:
        """Events behind `after`; when there are none yet, waits `timeout` seconds for the first.

        Replay and wait in one, so a missed wake-up cannot be written at a call site. Returns at
        once when the log is closed, when `after` is ahead of it or behind its base, and when
        `waker` (made by the caller's thread) is woken. `NotFound` when there is no such log.
        """
        page = self.page(job, after, limit)
        if page.events or page.closed or page.last < after or timeout <= 0:
            return page
        self.wait({job: after}, timeout, waker)
        return self.page(job, after, limit)

    @abstractmethod
    def page(self, job: str, after: int, limit: int) -> Page:
        """What `read` gives without waiting."""

    @abstractmethod
    def live(self, job: str) -> Live:
        """The log's newest events; `NotFound` when there is no such log."""

    def wait(
        self, positions: Mapping[str, int], timeout: float, waker: Waker | None = None
    ) -> None:
        """Until a log has moved away from its position, is closed or gone, `timeout`, or a wake."""
        waker = waker or make_waker()
        until = time.monotonic() + timeout
        watched: list[Live] = []
        try:  # watch, then look, then sleep: so no wake-up is lost
            for job, after in positions.items():
                live = self.live(job)
                if not live.watch(after, waker):
                    return
                watched.append(live)
            waker.wait(until - time.monotonic())
        finally:
            for live in watched:
                live.unwatch(waker)

    @abstractmethod
    def trim(self, job: str, before: int, base: bytes) -> None:
        """Drop the events up to `before`; `base` is the fold of them, kept for `base()`."""

    @abstractmethod
    def base(self, job: str) -> bytes | None:
        """The fold of what was trimmed, or None while the log is whole."""

    @abstractmethod
    def records(self, job: str) -> Mapping[str, bytes]:
        """The private records of a job."""


class JobIndex(ABC):
    """One row per job, written in the transactions of its log."""

    @abstractmethod
    def submit(self, submission: Submission, *, only_known: bool = False) -> tuple[JobRow, bool]:
        """Store a new job; or find the one that has its key: `(row, whether it is new)`.

        Row, first event, key and private records are committed together.
        `Conflict` when the key belongs to another request. `Unavailable` at once when storage
        does not take it. With `only_known`, `NotFound` instead of a new job.
        """

    @abstractmethod
    def get(self, job: str) -> JobRow | None:
        """The row, also that of an expired job; None when there is none."""

    @abstractmethod
    def list(
        self,
        *,
        owner: str | None = None,
        statuses: Collection[str] = (),
        task: str | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> list[JobRow]:
        """Newest first, ids below `before`, expired ones left out; one indexed query."""

    @abstractmethod
    def remove(self, job: str, *, tombstone: bool) -> None:
        """Drop a job with its log and records; with `tombstone`, the row stays as expired."""

    @abstractmethod
    def due(self, now: float) -> Iterable[str]:
        """Ended jobs and tombstones whose `expires_at` is over, the earliest first."""

    @abstractmethod
    def long(self, events: int) -> Iterable[JobRow]:
        """Jobs that keep more than so many events."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody who watches a job."""

    id: str
    transport: str
    since: str
    position: int


class Viewers(ABC):
    """Who watches which job, over all processes."""

    #: Seconds after which the coming of a viewer is known everywhere.
    lag_s = 0.0

    @abstractmethod
    def enter(self, job: str, transport: str, position: Callable[[], int]) -> str:
        """A viewer has come, who is at `position()` whenever that is asked; the id for `leave`."""

    @abstractmethod
    def leave(self, job: str, viewer: str, *, sent_away: bool = False) -> None:
        """A viewer has gone; known or not.

        One that the server has sent away counts as there for `SENT_AWAY_S` more.
        """

    @abstractmethod
    def of(self, job: str) -> list[Viewer]:
        """Who watches now."""

    def here(self, job: str) -> list[Viewer]:
        """Those of them who watch through this process."""
        return self.of(job)

    @abstractmethod
    def absent_s(self, job: str) -> float:
        """Seconds since the last viewer left: 0 while there is one, infinite when none came.

        Of one that was sent away, or whose process died, it counts from `SENT_AWAY_S` later.
        """


@dataclass(frozen=True, slots=True)
class Pool:
    """Units of a scarce thing: how many there are, are taken, and jobs that wait for some."""

    total: int
    taken: int
    waiting: int


class Leases(ABC):
    """Who holds units of the named pools, over all processes.

    Jobs wait in the order of their ids, which is that of their submission. One that needs several
    pools gets them together; none is passed over by a later one that needs the same pool. A pool
    that nobody declared has no limit. What a process holds ends with the process.
    """

    @abstractmethod
    def request(self, job: str, needs: Mapping[str, int]) -> None:
        """Wait for so many units of each pool, or get them at once; again it does nothing.

        `ValueError` when a pool is smaller than that.
        """

    @abstractmethod
    def position(self, job: str) -> int:
        """0 when the job holds what it has requested, else its place among those that wait.

        `NotFound` when it has requested nothing, or a later attempt has requested elsewhere.
        `Unavailable` when storage has stayed away for the time that appends wait.
        """

    @abstractmethod
    def wait(self, job: str, position: int, timeout: float, waker: Waker) -> None:
        """Until the job's position is another one, `timeout` seconds, or a wake."""

    @abstractmethod
    def release(self, job: str) -> None:
        """Give back what the job holds, or wait no more; known or not.

        Storage that is away is told later: it raises nothing.
        """

    @abstractmethod
    def pools(self) -> Mapping[str, Pool]:
        """The declared pools, by name. `Unavailable` when storage is away."""


class Mender(ABC):
    """For storages that may lose what they have acknowledged: so that nobody misses it unaware.

    A torn log goes on behind all that was ever seen of it: every reader is told of the gap.
    """

    @abstractmethod
    def torn(self) -> Mapping[str, int]:
        """Jobs whose log has lost events, with the last seq that readers may have seen."""

    @abstractmethod
    def mend(self, job: str, base: bytes, *, at: int, seq: int, end: Draft | None) -> None:
        """Have the log begin behind `seq`; `base` is the fold of what is left.

        `end` is the terminal event of a log that is closed: it comes behind the base. `at` is the
        log's present end; when it has moved, nothing happens and the log stays torn.
        """


class Storage(ABC):
    """All that a server keeps, opened and closed together."""

    log: EventLog
    index: JobIndex
    blobs: Blobs
    viewers: Viewers
    leases: Leases
    #: None where nothing that was acknowledged is lost.
    mender: Mender | None = None
    #: None where another process makes the calls of webhooks.
    outbox: Outbox | None = None
    #: Whether what is acknowledged outlasts the process.
    durable: bool

    @abstractmethod
    def open(self, *, timeout: float) -> None:
        """Make it ready; `InvalidSettings` when another server holds it."""

    @abstractmethod
    def close(self) -> None:
        """Finish what is under way and let go of it."""

    @abstractmethod
    def size(self) -> int:
        """Bytes of all jobs, as their rows count them."""

    def turn(self, what: str) -> bool:  # noqa: ARG002 - one process has every turn
        """Whether this process is the one that does `what` for all, until it is asked again.

        For work that is to be done once but may be done twice: a new holder may begin before
        the old one has noticed. `Unavailable` when storage is away.
        """
        return True

    @abstractmethod
    def secret(self) -> bytes:
        """Random bytes that all processes on this storage share; made by the first who asks.

        They outlast a restart where the storage does.
        """

    @abstractmethod
    def appended(self) -> int:
        """Events that were appended since it was opened."""

    @abstractmethod
    def fault(self) -> str | None:
        """What keeps it from storing events at present, or None."""

    def dead(self) -> list[str]:
        """Threads of its own that have ended although it is open: only a new process helps."""
        return []
