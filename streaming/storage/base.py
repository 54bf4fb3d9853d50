"""The interfaces of storage; one contract suite (tests/storage) proves each promise for all."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from streaming.concurrency.pending import Pending, settle
from streaming.concurrency.waking import Wakeable, Waker, make_waker
from streaming.events.event import Draft
from streaming.storage.blobs import Blobs
from streaming.storage.leases import Leases
from streaming.storage.mender import Mender
from streaming.storage.outbox import Outbox
from streaming.storage.rows import Expect, JobRow, Page, Submission
from streaming.storage.viewers import Viewers

#: Bytes of a storage's secret.
SECRET_BYTES = 32


class Live(Protocol):
    """A log's newest events in memory, and those who wait for more."""

    @property
    def row(self) -> JobRow:
        """The job as it is at present."""

    def page(self, after: int, limit: int) -> Page | None:
        """The page after position `after`; None when it is not in memory. Never blocks."""

    def watch(self, after: int, waker: Wakeable) -> bool:
        """Have `waker` woken by the next change; False when the log is not at `after` any more."""

    def unwatch(self, waker: Wakeable) -> None:
        """Stop watching."""


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
        `NotFound`, and `Unavailable` when storage is away: at once, or with `patient` when it has
        stayed away for as long as appends wait.
        """

    def post(
        self,
        job: str,
        drafts: Sequence[Draft],
        *,
        attempt: int,
        after: Pending[object] | None = None,
    ) -> Pending[object]:
        """A patient append that may return before its commit; it keeps its place among the job's.

        It fails with `after`, the post before it, so that no hole can come into an attempt's
        text. Who posts bounds how many are under way. The value of what it returns says nothing.
        """
        if after is not None:
            after.check()
        self.append(job, drafts, attempt=attempt)
        post: Pending[object] = Pending()
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
        """Events after position `after`; if there are none yet, waits `timeout` seconds for one.

        Replay and wait in one, so that no caller can miss a wake-up. Returns at once when the log
        is closed, when `after` is ahead of it or behind its base, and when `waker` (made by the
        caller's thread) is woken. `NotFound` when there is no such log.
        """
        page = self.page(job, after, limit)
        if page.events or page.closed or page.last < after or timeout <= 0:
            return page
        self.wait({job: after}, timeout, waker)
        return self.page(job, after, limit)

    @abstractmethod
    def page(self, job: str, after: int, limit: int) -> Page:
        """What `read` returns without waiting."""

    @abstractmethod
    def live(self, job: str) -> Live:
        """The log's newest events; `NotFound` when there is no such log."""

    def wait(
        self, positions: Mapping[str, int], timeout: float, waker: Waker | None = None
    ) -> None:
        """Wait until a log has left its position, is closed or gone, a `timeout`, or a wake."""
        waker = waker or make_waker()
        until = time.monotonic() + timeout
        watched: list[Live] = []
        try:  # watch, then check, then sleep: so no wake-up is lost
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
        """Store a new job, or find the one that has its key: `(row, whether it is new)`.

        Row, first event, key and private records are committed together. `Conflict` when the key
        belongs to another request; `Unavailable`, without patience, when storage is away. With
        `only_known`, `NotFound` instead of a new job.
        """

    @abstractmethod
    def get(self, job: str) -> JobRow | None:
        """The row, even of an expired job; None when there is none."""

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
        """Ended jobs and tombstones whose `expires_at` has passed, the earliest first."""

    @abstractmethod
    def long(self, events: int) -> Iterable[JobRow]:
        """Jobs that keep more events than that."""


class Storage(ABC):
    """All that a server keeps, opened and closed together."""

    log: EventLog
    index: JobIndex
    blobs: Blobs
    viewers: Viewers
    leases: Leases
    #: None where acknowledged events are never lost.
    mender: Mender | None = None
    #: None where another process makes the calls of webhooks.
    outbox: Outbox | None = None
    #: Whether acknowledged events outlast the process.
    durable: bool

    @abstractmethod
    def open(self, *, timeout: float) -> None:
        """Make it ready; `InvalidSettings` when another server holds it."""

    @abstractmethod
    def close(self) -> None:
        """Finish what is under way, and release everything."""

    @abstractmethod
    def size(self) -> int:
        """Bytes of all jobs, as their rows count them."""

    def turn(self, what: str) -> bool:  # noqa: ARG002 - one process has every turn
        """Whether this process holds the turn to do `what` for all, until the next call.

        For work that should be done once but may be done twice: a new holder may begin before
        the old one has noticed. `Unavailable` when storage is away.
        """
        return True

    @abstractmethod
    def secret(self) -> bytes:
        """Random bytes shared by all processes on this storage; made by the first call.

        They outlast a restart if the storage does.
        """

    @abstractmethod
    def appended(self) -> int:
        """How many events were appended since it was opened."""

    @abstractmethod
    def fault(self) -> str | None:
        """What keeps it from storing events at present, or None."""

    def fault_now(self, within_s: float) -> str | None:  # noqa: ARG002 - here it is known
        """`fault`; if the storage has to be asked, also that it gave no answer in `within_s`."""
        return self.fault()

    def dead(self) -> list[str]:
        """Names of its threads that have died although it is open: only a new process helps."""
        return []
