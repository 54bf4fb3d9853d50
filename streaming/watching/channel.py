"""The readers of one job in one form: each page is encoded once and sent to all of them.

Readers who have caught up share one position. A full socket goes back to its stream, together with
the bytes it has not taken; that stream then catches up on its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence

from streaming.concurrency.locks import Mutex
from streaming.concurrency.waking import Wakeable
from streaming.errors import NotFound, Unavailable
from streaming.events.event import Event
from streaming.events.thinning import SKIP_LEVEL, Thinned, thin
from streaming.events.wire import Form, event_json
from streaming.storage.base import Live
from streaming.storage.rows import Page
from streaming.watching.chunks import Chunk
from streaming.watching.pressure import FRAME_GAP_S
from streaming.watching.writer import StreamWriter

logger = logging.getLogger(__name__)

#: Maximum bytes of one write, besides its first event: what a full socket may leave unsent.
WRITE_BYTES = 1 << 16
#: Events read from storage at a time.
PAGE_EVENTS = 500


class Line:
    """One reader's end of a channel. Its stream and the writer use it by turns."""

    __slots__ = ("lost", "position", "rest", "send", "stream")

    def __init__(self, send: Callable[[bytes], int], stream: Wakeable) -> None:
        #: Sends what the socket takes at once.
        self.send = send
        #: Woken when the line is given back.
        self.stream = stream
        self.position = 0
        #: Bytes of the last write that the socket has not taken yet.
        self.rest: bytes | memoryview = b""
        #: The peer is gone.
        self.lost = False


class Channel:
    """The readers of one job in one form. Those on loan are all at `position`."""

    __slots__ = (
        "_ahead",
        "_caught_up",
        "_fetched",
        "_lines",
        "_live",
        "_loading",
        "_writer",
        "form",
        "job",
        "position",
        "rung",
        "streams",
        "wrote_at",
    )

    def __init__(self, writer: StreamWriter, job: str, form: Form, live: Live) -> None:
        self._writer = writer
        self.form = form
        self._live = live
        self._lines: set[Line] = set()
        #: Streams that wait for the lines on loan to reach their own position.
        self._ahead: set[Wakeable] = set()
        self._loading: Mutex | None = None
        self._fetched: Page | None = None
        #: Whether the last write has left nothing.
        self._caught_up = False
        self.job = job
        self.position = 0
        #: Time of the last write, on the monotonic clock.
        self.wrote_at = 0.0
        #: Streams that use the channel.
        self.streams = 0
        #: Whether it is among those that have news.
        self.rung = False

    def next(self, after: int) -> Chunk | None:
        """The chunk after position `after`, empty at the others' position; None: ask the cursor.

        For streams that catch up: it may wait for storage. Never goes past the lines on loan, or
        the reader would be ahead of them and could not join.
        """
        # A reader ahead of the log is the cursor's to handle: waiting would not help.
        if self._lines and self.position <= after <= self._live.row.seq:
            return Chunk(b"", after, 0, last=False)
        try:
            kept = self._kept(after)
            if kept is not None or self._live.row.seq == after:
                return kept or self._page_chunk(after)
            self._loading = self._loading or Mutex()
            with self._loading:  # one stream reads and encodes for all
                return self._kept(after) or self._page_chunk(after)
        except NotFound:
            return None

    def lend(self, line: Line, after: int) -> bool:
        """Take over a line whose reader is at `after`; False if the others are elsewhere.

        Its stream then waits, and takes the line back when woken, for whatever reason.
        """
        if not self._lines and not self._begin_at(after):
            return False
        if after != self.position:
            return False
        line.rest = b""
        self._lines.add(line)
        return True

    def _begin_at(self, after: int) -> bool:
        """Move the channel to a position if no line is on loan; False if the log is not there."""
        try:
            live = self._writer.log.live(self.job)  # a log that was set back has another one
        except (NotFound, Unavailable):
            return False
        if not self._lines:  # loading it may have taken a while
            self._live, self.position = live, after
            return live.watch(after, self)
        return True

    def await_others(self, after: int, stream: Wakeable) -> bool:
        """Wake a stream that is ahead of the lines on loan, once these have moved or are gone.

        False when it is not ahead of any.
        """
        if not self._lines or after <= self.position:
            return False
        self._ahead.add(stream)
        return True

    def take_back(self, line: Line) -> None:
        """End a loan; `position` and `rest` of the line say where its reader is."""
        if line in self._lines:
            self._lines.remove(line)
            line.position = self.position
            if not self._lines:
                self._live.unwatch(self)
                self._wake_ahead()

    def holds(self, line: Line) -> bool:
        """Whether the line is on loan."""
        return line in self._lines

    def wake(self) -> None:
        """The log has moved; called by whoever appends to it."""
        if not self.rung:
            self.rung = True
            self._writer.ring(self)

    def advance(self) -> None:
        """Write the next page to all lines."""
        self.rung = False
        if not self._lines:
            return
        rest_s = self._rest_s()
        if rest_s > 0:
            self.rung = True  # what is appended meanwhile goes with it
            self._writer.ring_later(self, rest_s)
            return
        page = self._next_page()
        if page is None:
            self._writer.spawn(self._fetch)
            return
        chunk = self._chunk(page, self.position)
        if chunk is None or not chunk.events:  # there is a gap, or the log has ended
            self._give_back(list(self._lines))
            return
        self._write(chunk)
        self._writer.wrote = self.form.transport, page.events[0]
        if chunk.last:
            self._give_back(list(self._lines))
        elif self._lines:
            self._caught_up = self._live.watch(self.position, self)
            if not self._caught_up:
                self.wake()

    def _rest_s(self) -> float:
        """Seconds until these readers may be given more, under pressure."""
        gap_s = FRAME_GAP_S[self._writer.level()]
        return self.wrote_at + gap_s - time.monotonic() if gap_s and self._caught_up else 0.0

    def _next_page(self) -> Page | None:
        """The page after `position` from memory; None when storage has to be asked."""
        fetched, limit = self._fetched, self._writer.write_events
        if fetched is not None and self._has(self.position, fetched.events[-1].seq):
            start = self.position + 1 - fetched.events[0].seq
            if 0 <= start < len(fetched.events):
                return fetched._replace(events=fetched.events[start : start + limit])
        self._fetched = None
        return self._live.page(self.position, limit)

    def _fetch(self) -> None:
        """Fetch a page from storage: all readers are behind what is in memory."""
        try:
            page = self._writer.log.page(self.job, self.position, PAGE_EVENTS)
        except (NotFound, Unavailable):
            page = None
        except Exception:  # the top of a greenlet; the streams find out for themselves
            logger.exception("reading on for the readers of job %s failed", self.job)
            page = None
        if page is None or not page.events:
            self._give_back(list(self._lines))
            return
        self._fetched = page
        self.wake()

    def _kept(self, after: int) -> Chunk | None:
        """A chunk that was made before, if the log still has its events."""
        chunk = self._writer.chunks.get(self, after, self._writer.level())
        return chunk if chunk is not None and self._has(after, chunk.end) else None

    def _has(self, after: int, end: int) -> bool:
        """Whether the log still has the events in between: it may be trimmed, or have lost some."""
        row = self._live.row
        return row.base <= after and end <= row.seq

    def _page_chunk(self, after: int) -> Chunk | None:
        """A chunk read from storage, at most up to the position of the lines on loan."""
        limit = self._writer.write_events
        if self._lines:
            limit = min(limit, self.position - after)
        return self._chunk(self._writer.log.page(self.job, after, max(1, limit)), after)

    def _chunk(self, page: Page, after: int) -> Chunk | None:
        if after > page.last or after < page.base or (page.closed and not page.events):
            return None
        if not page.events:
            return Chunk(b"", after, 0, last=False)
        events = page.events
        if len(events) > 1 and sum([len(event.json) for event in events]) > WRITE_BYTES:
            events = _cut(events)
        end = events[-1].seq
        last = page.closed and end == page.last
        level = self._writer.level()  # read once: it may change while the page is encoded
        chunk = Chunk(self._encode(events, after, level), end, len(events), last)
        if self.streams > 1:
            self._writer.chunks.keep(self, after, level, chunk)
        return chunk

    def _encode(self, events: Sequence[Event], after: int, level: int) -> bytes:
        """The page's bytes; under pressure, of fewer events that cover the same range."""
        if not level:
            return self.form.encode(events)
        kept = thin(self.form.passing(events), after, skip=level >= SKIP_LEVEL)
        return self.form.encode([_ranged(each) for each in kept])

    def _write(self, chunk: Chunk) -> None:
        data, size, behind = chunk.data, len(chunk.data), []
        if size:
            for line in self._lines:
                try:
                    sent = line.send(data)
                except BlockingIOError:
                    sent = 0
                except OSError:
                    line.lost = True
                    sent = 0
                if sent != size:
                    line.rest = memoryview(data)[sent:]
                    behind.append(line)
            lines = len(self._lines)
            self._writer.traffic.add(
                self.form.transport, "writer", size * lines, chunk.events * lines
            )
            self.wrote_at = time.monotonic()
        self.position = chunk.end
        if self._ahead:
            self._wake_ahead()
        if behind:
            self._give_back(behind)

    def _give_back(self, lines: Iterable[Line]) -> None:
        for line in lines:
            line.position = self.position
            self._lines.discard(line)
            line.stream.wake()
        if not self._lines:
            self._live.unwatch(self)
            self._wake_ahead()

    def _wake_ahead(self) -> None:
        streams, self._ahead = self._ahead, set()
        for stream in streams:
            stream.wake()


def _ranged(thinned: Thinned) -> Event:
    """The event with its `from`."""
    event = thinned.event
    return Event(event.job, event.seq, event.type, event_json(event, since=thinned.since))


def _cut(events: Iterable[Event]) -> list[Event]:
    """The first events: `WRITE_BYTES` at most, one at least."""
    found: list[Event] = []
    size = 0
    for event in events:
        size += len(event.json)
        if found and size > WRITE_BYTES:
            break
        found.append(event)
    return found
