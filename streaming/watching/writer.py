"""The one writer of a process: sends events straight to the sockets of readers that have caught up.

A stream lends it its socket and waits. There is no queue per reader: those of one job in one form
share a channel. It runs in gevent's event loop and never blocks; where there is no such loop,
streams write everything themselves.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable

from streaming.concurrency.loop import call_later, call_soon, spawn_greenlet
from streaming.events.event import Event
from streaming.events.wire import Form
from streaming.storage.base import EventLog
from streaming.watching.channel import Channel, Chunk
from streaming.watching.traffic import Traffic

#: Seconds for which it writes before other greenlets get their turn.
SLICE_S = 0.005
#: Bytes of encoded pages that are kept for readers who are a little behind the others.
KEPT_BYTES = 32 << 20
#: What a kept chunk costs besides its data, about.
CHUNK_BYTES = 500


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
