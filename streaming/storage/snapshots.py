"""Up-to-date folds of logs, base plus later events, in a bounded cache."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

from streaming.concurrency.locks import Mutex
from streaming.concurrency.platform import native_lock
from streaming.errors import NotFound
from streaming.events.snapshot import Snapshot
from streaming.events.summary import blank
from streaming.events.vocabulary import JsonObject
from streaming.storage.base import EventLog, JobIndex
from streaming.storage.rows import JobRow

T = TypeVar("T")

#: Maximum folds, and characters of text in them: beyond either, the oldest is dropped.
CACHED_FOLDS = 512


CACHED_TEXT = 32 << 20


#: Locks that keep two readers from folding the same log at once.
STRIPES = 64


class Standing(NamedTuple):
    """A job as it stands: what an attempt at it begins with."""

    row: JobRow
    state: Snapshot
    #: No older than the state: what an event in it brought along is there.
    records: Mapping[str, bytes]


class Snapshots:
    """Up-to-date folds of any job's log."""

    def __init__(self, log: EventLog, index: JobIndex) -> None:
        self._log = log
        self._index = index
        self._lock = native_lock()
        self._folds: OrderedDict[str, Snapshot] = OrderedDict()
        #: Characters of text in all folds.
        self._text = 0
        self._stripes = [Mutex() for _ in range(STRIPES)]

    def public(self, job: str) -> JsonObject:
        """The job's present state, as clients get it; `NotFound` without such a job."""
        with self._stripes[hash(job) % STRIPES]:
            return self._fold(job).public()

    def public_base(self, job: str) -> JsonObject:
        """The job's state after what retention has trimmed, as clients get it."""
        return self._start(job).public()

    def state(self, job: str) -> Snapshot:
        """A copy of the job's present state, for the caller to keep."""
        with self._stripes[hash(job) % STRIPES]:
            return self._fold(job).copy()

    def standing(self, job: str) -> Standing | None:
        """The job with all that an attempt needs; None when there is none, or it has ended."""
        row = self._index.get(job)
        if row is None or row.closed:
            return None
        state = self.state(job)
        return Standing(row, state, self._log.records(job))

    def text(self, job: str, limit: int) -> str:
        """The job's present text, its first `limit` characters."""
        with self._stripes[hash(job) % STRIPES]:
            return self._fold(job).text[:limit]

    def look(self, job: str, read: Callable[[Snapshot], T]) -> T:
        """The result of `read` on the job's present state; it must not keep or change that."""
        with self._stripes[hash(job) % STRIPES]:
            return read(self._fold(job))

    def state_at(self, job: str, seq: int) -> Snapshot:
        """The fold of the events up to `seq`, which must not be behind the base."""
        state = self._start(job)
        while state.seq < seq:
            page = self._log.page(job, state.seq, min(500, seq - state.seq))
            for event in page.events:
                state.apply(event)
        return state

    def drop(self, job: str) -> None:
        """Forget a removed job."""
        self._take(job)

    @property
    def cached(self) -> tuple[int, int]:
        """How many folds are kept, and how many characters of text in them."""
        with self._lock:
            return len(self._folds), self._text

    def _fold(self, job: str) -> Snapshot:
        state = self._take(job) or self._start(job)
        # Only up to its present end: a log that grows while it is folded must not hold us up.
        last: int | None = None
        while last is None or state.seq < last:
            page = self._log.page(job, state.seq, 500)
            if page.base > state.seq or page.last < state.seq:  # trimmed, or lost by storage
                state = self._start(job)
                continue
            for event in page.events:
                state.apply(event)
            last = last if last is not None else page.last
            if not page.events:
                break
        self._keep(job, state)
        return state

    def _start(self, job: str) -> Snapshot:
        base = self._log.base(job)
        if base is not None:
            return Snapshot.load(base)
        row = self._index.get(job)
        if row is None:
            raise NotFound(f"there is no job {job}", code="job_not_found")
        return Snapshot(job, blank(row.task, row.summary.created_at))

    def _take(self, job: str) -> Snapshot | None:
        with self._lock:
            state = self._folds.pop(job, None)
            self._text -= 0 if state is None else state.text_size
            return state

    def _keep(self, job: str, state: Snapshot) -> None:
        with self._lock:
            self._folds[job] = state
            self._text += state.text_size
            while len(self._folds) > 1 and (
                len(self._folds) > CACHED_FOLDS or self._text > CACHED_TEXT
            ):
                self._text -= self._folds.popitem(last=False)[1].text_size
