"""The newest events of each log in memory, and the readers that wait for more.

All readers of a process share one copy. A storage publishes what it has committed; it must not
know who reads.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence

from streaming.concurrency.platform import native_lock
from streaming.concurrency.waking import Wakeable, wake_all
from streaming.errors import Closed, NotFound
from streaming.events.event import Event
from streaming.storage.rows import JobRow, Page, cut_page

#: Events that a tail keeps for readers who are a little behind; older ones come from storage.
TAIL_EVENTS = 128
#: Bytes that a tail keeps, besides its newest event.
TAIL_BYTES = 1 << 16
#: Tails of closed logs that stay in memory for the next reader.
CLOSED_TAILS = 500


class Tail:
    """One log's newest events. Its row and events change together, under its lock."""

    __slots__ = ("__weakref__", "_events", "_keep", "_lock", "_size", "_wakers", "row")

    def __init__(self, row: JobRow, *, keep: bool) -> None:
        self.row = row
        self._keep = keep
        self._lock = native_lock()
        self._events: list[Event] = []
        self._size = 0
        self._wakers: set[Wakeable] = set()

    def publish(self, row: JobRow, events: Sequence[Event]) -> None:
        """Show readers what was committed, and wake those who wait.

        A tail that was loaded between a commit and its publishing is already ahead: it must not
        go back, or a reader would seem to be ahead of the log.
        """
        wake_all(self.show(row, events))

    def show(self, row: JobRow, events: Sequence[Event]) -> Collection[Wakeable]:
        """`publish` without the waking: returns those who wait, for the caller to wake."""
        with self._lock:
            if row.seq >= self.row.seq:
                self.row = row
            return self._take(events, moved=bool(events) or row.closed or row.expired)

    def follow(
        self, events: Sequence[Event], after: Callable[[JobRow, Sequence[Event]], JobRow]
    ) -> bool:
        """`publish` for a log that several processes write: in any order, perhaps repeatedly.

        `after` computes the row after the events that are new. False when events before those
        are missing; nothing is shown then.
        """
        with self._lock:
            fresh = [event for event in events if event.seq > self.row.seq]
            if fresh and fresh[0].seq != self.row.seq + 1:
                return False
            if fresh:
                self.row = after(self.row, fresh)
            wakers = self._take(fresh, moved=bool(fresh))
        wake_all(wakers)
        return True

    def restart(self, row: JobRow) -> None:
        """Show a row that does not follow from the last: the log was cut, or has lost events."""
        with self._lock:
            self.row, self._events, self._size = row, [], 0
            wakers = self._take((), moved=True)
        wake_all(wakers)

    def trim(self, base: int) -> None:
        """Forget the events up to `base`."""
        with self._lock:
            self.row = self.row._replace(base=base)
            self._events = [event for event in self._events if event.seq > base]
            self._size = sum(len(event.json) for event in self._events)

    def page(self, after: int, limit: int) -> Page | None:
        """The page after position `after`, or None when storage has to be asked for it."""
        with self._lock:
            row, events = self.row, self._events
            after = max(after, row.base)
            if after >= row.seq:
                found: Sequence[Event] = ()
            elif events and events[0].seq <= after + 1:
                start = after + 1 - events[0].seq
                found = events[start : start + limit]
            else:
                return None
        return Page(cut_page(found, limit), row.base, row.seq, row.closed)

    def wake(self) -> None:
        """Wake all who wait, so that they check again."""
        with self._lock:
            wakers = self._take((), moved=True)
        wake_all(wakers)

    def watch(self, after: int, waker: Wakeable) -> bool:
        """Have `waker` woken by the next change; False when the log is not at `after` any more."""
        with self._lock:
            if self.row.seq != after or self.row.closed or self.row.expired:
                return False
            self._wakers.add(waker)
            return True

    def unwatch(self, waker: Wakeable) -> None:
        with self._lock:
            self._wakers.discard(waker)

    def _take(self, events: Sequence[Event], *, moved: bool) -> Collection[Wakeable]:
        for event in events:
            self._events.append(event)
            self._size += len(event.json)
        if not self._keep and (len(self._events) > 2 * TAIL_EVENTS or self._size > TAIL_BYTES):
            self._shrink()
        if not moved or not self._wakers:
            return ()
        wakers, self._wakers = self._wakers, set()
        return wakers

    def _shrink(self) -> None:
        size, start = 0, len(self._events)
        while start and len(self._events) - start < TAIL_EVENTS and size < TAIL_BYTES // 2:
            start -= 1
            size += len(self._events[start].json)
        # A new list: pages that were handed out keep theirs.
        self._events, self._size = self._events[start:], size


class Tails:
    """The tails of a process: of all unfinished jobs, and the most recently used of the others."""

    def __init__(self, load: Callable[[str], JobRow | None], *, keep: bool = False) -> None:
        self._load = load
        self._keep = keep
        self._lock = native_lock()
        self._live: dict[str, Tail] = {}
        self._closed: OrderedDict[str, Tail] = OrderedDict()
        #: Events shown so far.
        self.published = 0
        #: Removals so far.
        self._drops = 0
        self._ended = False

    def find(self, job: str) -> Tail | None:
        """The tail if it is in memory; raises `Closed` when the storage is closed."""
        with self._lock:
            if self._ended:
                raise Closed()
            tail = self._live.get(job)
            if tail is None and job in self._closed:
                tail = self._closed[job]
                self._closed.move_to_end(job)
            return tail

    def get(self, job: str) -> Tail:
        """The tail, loaded if need be; `NotFound` without such a job."""
        while True:
            tail, drops = self.find(job), self._drops
            if tail is not None:
                return tail
            row = self._load(job)
            if row is None or row.expired:
                raise NotFound(f"there is no job {job}", code="job_not_found")
            with self._lock:
                if drops == self._drops:  # else it may have been removed while it was loaded
                    return self._add(row)

    def add(self, row: JobRow) -> Tail:
        """The tail for a stored row; an existing tail stays as it is."""
        with self._lock:
            return self._add(row)

    def publish(self, row: JobRow, events: Sequence[Event]) -> None:
        """Show a commit to readers."""
        wake_all(self.show(row, events))

    def show(self, row: JobRow, events: Sequence[Event]) -> Collection[Wakeable]:
        """`publish` without the waking: the caller wakes the waiters of all jobs at once."""
        self.published += len(events)
        with self._lock:
            tail = self._live.get(row.id) or self._add(row)
        wakers = tail.show(row, events)
        if row.closed:
            self.settle(tail)
        return wakers

    def settle(self, tail: Tail) -> None:
        """Keep the tail of a closed log only while it is among the most recently used."""
        with self._lock:
            self._live.pop(tail.row.id, None)
            self._place(tail.row, tail)

    def close(self) -> None:
        """Refuse every later call; those who wait are woken, and find that out."""
        with self._lock:
            self._ended = True
            tails = [*self._live.values(), *self._closed.values()]
        for tail in tails:
            tail.wake()

    def rows(self) -> list[JobRow]:
        """The rows of the jobs in memory: of all unfinished ones, and some others."""
        with self._lock:
            tails = [*self._live.values(), *self._closed.values()]
        return [tail.row for tail in tails]

    def drop(self, job: str) -> None:
        """Forget a removed job, and wake those who wait for it."""
        with self._lock:
            self._drops += 1
            tail = self._live.pop(job, None) or self._closed.pop(job, None)
        if tail is not None:
            tail.publish(tail.row._replace(expired=True), ())

    def forget(self, job: str) -> None:
        """Drop the tail, because changes of the log no longer reach it."""
        with self._lock:
            self._live.pop(job, None)
            self._closed.pop(job, None)

    def let_go(self, job: str) -> bool:
        """Drop the tail of an unfinished log unless somebody holds it; whether it is gone.

        A reader may hold a tail without waiting at it, while it sends older events.
        """
        with self._lock:
            tail = self._live.pop(job, None)
            if tail is None:
                return True
            held = weakref.ref(tail)
            del tail
            tail = held()
            if tail is not None:
                self._live[job] = tail
            return tail is None

    def closed(self) -> list[str]:
        """Jobs whose closed logs are in memory."""
        with self._lock:
            return list(self._closed)

    def _add(self, row: JobRow) -> Tail:
        tail = self._live.get(row.id) or self._closed.get(row.id)
        if tail is None:
            tail = Tail(row, keep=self._keep)
            self._place(row, tail)
        return tail

    def _place(self, row: JobRow, tail: Tail) -> None:
        if not row.closed:
            self._live[row.id] = tail
            return
        self._closed[row.id] = tail
        while len(self._closed) > CLOSED_TAILS and not self._keep:
            self._closed.popitem(last=False)
