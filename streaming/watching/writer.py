"""The one writer of a process: sends events straight to the sockets of readers that have caught up.

A stream lends its socket to a channel and waits. There is no queue per reader: the readers of one
job in one form share a channel, and the writer serves the channels in turn. It runs in gevent's
event loop and never blocks; without such a loop, streams write everything themselves.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from streaming.concurrency.loop import call_later, call_soon, spawn_greenlet
from streaming.events.event import Event
from streaming.storage.base import EventLog
from streaming.watching.chunks import Chunks
from streaming.watching.traffic import Traffic

#: Seconds for which it writes before other greenlets get a turn.
SLICE_S = 0.005


class HasNews(Protocol):
    """What the writer needs of a channel."""

    def advance(self) -> None:
        """Write what is new to the lines on loan."""


class StreamWriter:
    """Serves channels in turn. Used in the event loop's thread only, `ring` aside."""

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
        """`write_events`: maximum events in one write; `level`: the pressure level.

        The others schedule calls in the event loop.
        """
        self.traffic = traffic
        self.spawn = spawn
        self.level = level
        self._call_soon = call_soon
        self._call_later = call_later
        self.write_events = write_events
        self.log = log
        self.chunks = Chunks()
        self._news: deque[HasNews] = deque()
        #: Transport and first event of this turn's last write.
        self.wrote: tuple[str, Event] | None = None
        self._called = False

    def ring(self, channel: HasNews) -> None:
        """A channel has news; from any thread."""
        self._news.append(channel)
        if not self._called:
            self._called = True
            self._call_soon(self._run)

    def ring_later(self, channel: HasNews, seconds: float) -> None:
        """Like `ring`, after some seconds; from the loop's thread."""
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
        if self.wrote is not None:  # of the turn's last write: those before it have waited less
            self.traffic.delayed(*self.wrote, 0.0)
            self.wrote = None
