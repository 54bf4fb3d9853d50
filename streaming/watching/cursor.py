"""The one read loop: catch up, live, end. A reader is a position in each log it follows.

All transports read through it: SSE, NDJSON, WebSocket, long poll and the feed. It writes
nothing and knows no transport.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping

import msgspec

from streaming.concurrency.waking import Waker
from streaming.errors import NotFound
from streaming.events.event import Event
from streaming.events.vocabulary import JsonMapping
from streaming.events.wire import control_json, event_json
from streaming.storage.base import EventLog
from streaming.storage.rows import Page

#: No filter: events of all types pass.
ALL: frozenset[str] = frozenset()
#: Events of one job per read, so that a feed of many jobs serves each of them.
PAGE_EVENTS = 500


class Delivery(msgspec.Struct, frozen=True):
    """What a reader is given: an event, or a control event (`kind` and `data`)."""

    job: str
    #: The reader's position in the job's log after this.
    position: int
    event: Event | None = None
    kind: str = ""
    data: JsonMapping | None = None
    #: The event's `from`: events from here on were merged into it, or skipped.
    since: int | None = None

    @property
    def type(self) -> str:
        return self.kind if self.event is None else self.event.type

    @property
    def json(self) -> bytes:
        """Its envelope."""
        if self.event is not None:
            return event_json(self.event, since=self.since)
        return control_json(self.kind, self.job or None, self.data or {})


class Cursor:
    """Positions in one or more logs. Every later event is delivered once, or named in a gap."""

    __slots__ = ("_base", "_log", "_open", "_snapshot", "_types", "caught_up", "positions")

    def __init__(
        self,
        log: EventLog,
        positions: Mapping[str, int],
        *,
        snapshot: Callable[[str], JsonMapping],
        base: Callable[[str], JsonMapping],
        types: Collection[str] = (),
    ) -> None:
        """`snapshot` returns a job's present state, `base` the state that trimmed events led to."""
        self._log = log
        self._snapshot = snapshot
        self._base = base
        #: The types that pass, for jobs with a filter.
        self._types = {job: frozenset(types) for job in positions} if types else {}
        self._open = dict(positions)
        #: Whether the last read left nothing unread.
        self.caught_up = False
        #: The reader's position in every log, closed ones included.
        self.positions = dict(positions)

    @property
    def ended(self) -> bool:
        """Whether every log was read to its end and is closed, or is gone."""
        return not self._open

    @property
    def open_jobs(self) -> Collection[str]:
        """The jobs whose logs exist and were not read to their end."""
        return self._open.keys()

    def follow(self, job: str, after: int, types: Collection[str] = ()) -> None:
        """Read a log as well, or from another position."""
        self._types[job] = frozenset(types)
        self._open[job] = self.positions[job] = after

    def move(self, job: str, position: int) -> None:
        """Note that the reader has got the events up to `position` in another way."""
        self._open[job] = self.positions[job] = position

    def types(self, job: str) -> frozenset[str]:
        """The types that the reader wants; empty for all."""
        return self._types.get(job, ALL)

    @property
    def only_job(self) -> str | None:
        """The one job whose log is still read; None if there are several, or none."""
        return next(iter(self._open)) if len(self._open) == 1 else None

    def unfollow(self, job: str) -> None:
        """Read a log no more."""
        for members in (self._open, self.positions, self._types):
            members.pop(job, None)

    def snapshot(self, job: str) -> Delivery:
        """The job's present state; the reader goes on after it."""
        return self._moved_to(job, self._snapshot(job))

    def _moved_to(self, job: str, data: JsonMapping) -> Delivery:
        seq = int(data["seq"])
        self._open[job] = self.positions[job] = seq
        return Delivery(job, seq, kind="stream.snapshot", data={"seq": seq, "job": data})

    def read(
        self, timeout: float, waker: Waker | None = None, limit: int = PAGE_EVENTS
    ) -> list[Delivery]:
        """The next deliveries; waits up to `timeout` seconds for the first. May be empty.

        Returns early when `waker` is woken, and when everything new was filtered out.
        """
        # A reader who has caught up waits first: if there is more by now, that returns at once.
        if not self.caught_up or not self._open or timeout <= 0:
            found = self._take_all(limit)
            if found or not self._open or timeout <= 0:
                return found
        with contextlib.suppress(NotFound):  # deleted meanwhile: the next read finds which
            self._log.wait(self._open, timeout, waker)
        return self._take_all(limit)

    def _take_all(self, limit: int) -> list[Delivery]:
        found: list[Delivery] = []
        self.caught_up = True
        for job in list(self._open):
            found += self._take(job, limit)
        return found

    def _take(self, job: str, limit: int) -> list[Delivery]:
        after = self._open[job]
        try:
            page = self._log.page(job, after, limit)
            if after > page.last:
                return self._ahead(job, after, page)
            if after < page.base:
                return self._behind(job, after, page)
        except NotFound:
            self._open.pop(job)
            return []

        if page.events:
            self._open[job] = self.positions[job] = page.events[-1].seq
        self.caught_up = self.caught_up and self.positions[job] >= page.last
        self._close_at_end(job, page)
        return [Delivery(job, event.seq, event) for event in page.events if self._passes(event)]

    def _close_at_end(self, job: str, page: Page) -> None:
        if page.closed and self.positions[job] >= page.last:
            self._open.pop(job)

    def _ahead(self, job: str, after: int, page: Page) -> list[Delivery]:
        """The reader is ahead of the log: it is told of the gap, and goes on at the log's end."""
        return self._gap(job, page, page.last + 1, after, self.snapshot(job))

    def _behind(self, job: str, after: int, page: Page) -> list[Delivery]:
        """Events were trimmed: a gap names them, and a snapshot of the state after them follows."""
        snapshot = self._moved_to(job, self._base(job))
        return self._gap(job, page, after + 1, snapshot.position, snapshot)

    def _gap(
        self, job: str, page: Page, first: int, last: int, snapshot: Delivery
    ) -> list[Delivery]:
        self._close_at_end(job, page)
        gap = {"from": first, "to": last}
        return [Delivery(job, snapshot.position, kind="stream.gap", data=gap), snapshot]

    def _passes(self, event: Event) -> bool:
        types = self.types(event.job)
        return not types or event.type in types or event.terminal
