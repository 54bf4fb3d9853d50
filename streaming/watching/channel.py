"""The one writer of a process: sends events straight to the sockets of readers that have caught up.

A stream lends it its socket and waits. There is no queue per reader: the readers of one job in
one form are at one position, and each commit is one page of the log, encoded once, and one `send`
to each of them. A socket that is full goes back to its stream with the rest of the bytes under
way; the stream catches up by itself. It runs in gevent's event loop and never blocks; where there
is no such loop, streams write everything themselves.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from streaming.concurrency.locks import Mutex
from streaming.concurrency.loop import call_later, call_soon, spawn_greenlet
from streaming.concurrency.waking import Wakeable
from streaming.errors import NotFound, Unavailable
from streaming.events.event import Event
from streaming.events.thinning import SKIP_LEVEL, Thinned, thin
from streaming.events.wire import Form, event_json
from streaming.storage.base import EventLog, Live
from streaming.storage.rows import Page
from streaming.watching.pressure import FRAME_GAP_S
from streaming.watching.traffic import Traffic

logger = logging.getLogger(__name__)

#: Seconds for which it writes before other greenlets get their turn.
SLICE_S = 0.005
#: Bytes of one write at the most, besides its first event: what a full socket leaves behind.
WRITE_BYTES = 1 << 16
#: Events that are read from storage in one go.
PAGE_EVENTS = 500
#: Bytes of encoded pages that are kept for readers who are a little behind the others.
KEPT_BYTES = 32 << 20
#: What a kept chunk costs besides its data, about.
CHUNK_BYTES = 500


class Chunk(NamedTuple):
    """A page of a log as the readers of a channel get it."""

    data: bytes
    #: The position behind it.
    end: int
    events: int
    #: Whether the log ends with it.
    last: bool


class Line:
    """One reader's end of a channel. Its stream and the writer use it by turns."""

    __slots__ = ("lost", "position", "rest", "send", "stream")

    def __init__(self, send: Callable[[bytes], int], stream: Wakeable) -> None:
        #: Sends what the socket takes at once.
        self.send = send
        #: Woken when the line is given back.
        self.stream = stream
        self.position = 0
        #: What the socket did not take of what is behind `position`.
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
        "kept",
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
        #: Streams that wait for those on loan to come where they are.
        self._ahead: set[Wakeable] = set()
        self._loading: Mutex | None = None
        self._fetched: Page | None = None
        #: Whether the last write has left nothing.
        self._caught_up = False
        self.job = job
        self.position = 0
        #: When something was written last, on the monotonic clock.
        self.wrote_at = 0.0
        #: Position and level of the chunks that are kept.
        self.kept: set[tuple[int, int]] = set()
        #: Streams that use the channel.
        self.streams = 0
        #: Whether it is among those that have news.
        self.rung = False

    def next(self, after: int) -> Chunk | None:
        """What is behind `after`; without data where the others are; None for the cursor to decide.

        For streams that catch up: it may wait for storage. Never goes on past those on loan, or
        the reader would be ahead of them and could not join.
        """
        # Ahead of the log is for the cursor to say, never to be waited for.
        if self._lines and self.position <= after <= self._live.row.seq:
            return Chunk(b"", after, 0, last=False)
        try:
            kept = self._writer.kept(self, after)
            if kept is not None or self._live.row.seq == after:
                return kept or self._page_chunk(after)
            self._loading = self._loading or Mutex()
            with self._loading:  # one reads and encodes for all
                return self._writer.kept(self, after) or self._page_chunk(after)
        except NotFound:
            return None

    def lend(self, line: Line, after: int) -> bool:
        """Take over a line whose reader is at `after`; False when it is not where the others are.

        The stream then waits, and takes the line back whatever has woken it.
        """
        if not self._lines and not self._begin_at(after):
            return False
        if after != self.position:
            return False
        line.rest = b""
        self._lines.add(line)
        return True

    def _begin_at(self, after: int) -> bool:
        """Have the channel at a position when nobody is on loan; False if the log is not there."""
        try:
            live = self._writer.log.live(self.job)  # a log that was set back has another one
        except (NotFound, Unavailable):
            return False
        if not self._lines:  # loading it may have taken a while
            self._live, self.position = live, after
            return live.watch(after, self)
        return True

    def await_others(self, after: int, stream: Wakeable) -> bool:
        """Have a stream woken that is ahead of those on loan, when they have moved or are gone.

        False when it is not ahead of anyone.
        """
        if not self._lines or after <= self.position:
            return False
        self._ahead.add(stream)
        return True

    def take_back(self, line: Line) -> None:
        """End a loan; `position` and `rest` of the line tell where its reader is."""
        if line in self._lines:
            self._lines.remove(line)
            line.position = self.position
            if not self._lines:
                self._live.unwatch(self)
                self._wake_ahead()

    def holds(self, line: Line) -> bool:
        """Whether the line is on loan."""
        return line in self._lines

    def has(self, after: int, end: int) -> bool:
        """Whether the log still has what lies between: it may be trimmed, or have lost events."""
        row = self._live.row
        return row.base <= after and end <= row.seq

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
            self.rung = True  # what comes meanwhile goes with it
            self._writer.ring_later(self, rest_s)
            return
        page = self._next_page()
        if page is None:
            self._writer.spawn(self._fetch)
            return
        chunk = self._chunk(page, self.position)
        if chunk is None or not chunk.events:  # there is a gap, or nothing more will come
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
        """What is behind `position`, in memory; None when storage has to be asked."""
        fetched, limit = self._fetched, self._writer.write_events
        if fetched is not None and self.has(self.position, fetched.events[-1].seq):
            start = self.position + 1 - fetched.events[0].seq
            if 0 <= start < len(fetched.events):
                return fetched._replace(events=fetched.events[start : start + limit])
        self._fetched = None
        return self._live.page(self.position, limit)

    def _fetch(self) -> None:
        """Have a page from storage: all its readers are behind what is in memory."""
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

    def _page_chunk(self, after: int) -> Chunk | None:
        """From storage; as far as those on loan are, where that is nearer."""
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
        level = self._writer.level()  # once: it may change while the page is encoded
        chunk = Chunk(self._encode(events, after, level), end, len(events), last)
        if self.streams > 1:
            self._writer.keep(self, after, level, chunk)
        return chunk

    def _encode(self, events: Sequence[Event], after: int, level: int) -> bytes:
        """The bytes; under pressure, of fewer events that cover the same range."""
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


class StreamWriter:
    """The channels of a process. Used in the event loop's thread alone, `ring` aside."""

    def __init__(
        self,
        log: EventLog,
        traffic: Traffic,
        *,
        write_events: int,
        level: Callable[[], int] = lambda: 0,
        call_soon: Callable[[Callable[[], object]], object] = call_soon,
        call_later: Callable[[float, Callable[[], object]], object] = call_later,
        spawn: Callable[[Callable[[], object]], object] = spawn_greenlet,
    ) -> None:
        """`write_events`: events in one write at the most; `level`: the pressure level.

        The others run calls in the loop.
        """
        self.traffic = traffic
        self.spawn = spawn
        self.level = level
        self._call_soon = call_soon
        self._call_later = call_later
        self.write_events = write_events
        self.log = log
        self._channels: dict[tuple[str, Form], Channel] = {}
        self._kept: OrderedDict[tuple[Channel, int, int], Chunk] = OrderedDict()
        self._kept_bytes = 0
        self._news: deque[Channel] = deque()
        #: Transport and first event of this turn's last write.
        self.wrote: tuple[str, Event] | None = None
        self._called = False

    def join(self, job: str, form: Form) -> Channel:
        """The channel of a job's readers of one form; `NotFound` without such a job."""
        live = self.log.live(job)
        channel = self._channels.get((job, form))
        if channel is None:
            channel = self._channels[job, form] = Channel(self, job, form, live)
        channel.streams += 1
        return channel

    def leave(self, channel: Channel) -> None:
        """A stream has ended."""
        channel.streams -= 1
        if not channel.streams:
            del self._channels[channel.job, channel.form]
            for after, level in channel.kept:
                self._drop((channel, after, level))

    def kept(self, channel: Channel, after: int) -> Chunk | None:
        """A chunk that was made before, if the log still has what is in it."""
        chunk = self._kept.get((channel, after, self.level()))
        return chunk if chunk is not None and channel.has(after, chunk.end) else None

    def keep(self, channel: Channel, after: int, level: int, chunk: Chunk) -> None:
        """Keep a chunk for those who are behind, as long as the channel has streams."""
        key = (channel, after, level)
        if key not in self._kept:
            self._kept[key] = chunk
            channel.kept.add((after, level))
            self._kept_bytes += len(chunk.data) + CHUNK_BYTES
            while self._kept_bytes > KEPT_BYTES:
                oldest = next(iter(self._kept))
                oldest[0].kept.discard(oldest[1:])
                self._drop(oldest)

    def _drop(self, key: tuple[Channel, int, int]) -> None:
        self._kept_bytes -= len(self._kept.pop(key).data) + CHUNK_BYTES

    def ring(self, channel: Channel) -> None:
        """A channel has news; from any thread."""
        self._news.append(channel)
        if not self._called:
            self._called = True
            self._call_soon(self._run)

    def ring_later(self, channel: Channel, seconds: float) -> None:
        """The same after some seconds; from the loop's thread."""
        self._call_later(seconds, lambda: self.ring(channel))

    def _run(self) -> None:
        self._called = False
        until = time.monotonic() + SLICE_S
        while self._news:
            self._news.popleft().advance()
            if time.monotonic() > until:
                break
        if self._news and not self._called:
            self._called = True
            self._call_soon(self._run)
        if self.wrote is not None:  # of the turn's last: what came before it waited less
            self.traffic.delayed(*self.wrote, 0.0)
            self.wrote = None


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
