"""The open streams of a process: their slots, and the drain."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from streaming.concurrency.platform import native_lock
from streaming.concurrency.waking import make_waker, wake_all
from streaming.events.observer import Observer
from streaming.storage.base import Storage
from streaming.watching.cursor import Cursor
from streaming.watching.hangups import Hangups
from streaming.watching.pressure import TOP, Pressure
from streaming.watching.stream import Reader, Stream
from streaming.watching.traffic import Traffic
from streaming.watching.writer import StreamWriter


@dataclass(frozen=True, slots=True)
class Refusal:
    """There is no stream: `drain`, `overloaded`, `too_many_streams`, or the like."""

    why: str


class Streams:
    """The open streams of a process. At the limit new ones are turned away; old ones stay."""

    def __init__(
        self,
        storage: Storage,
        *,
        limit: int,
        owner_limit: int | None = None,
        heartbeat_s: float,
        rotate_s: float,
        pressure: Pressure | None = None,
        traffic: Traffic,
        writer: StreamWriter | None = None,
        observer: Observer | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.storage = storage
        self.pressure = pressure or Pressure(clock=clock)
        self.heartbeat_s = heartbeat_s
        self.rotate_s = rotate_s
        self.traffic = traffic
        self.writer = writer
        self.hangups = Hangups()
        self.draining = False
        self._limit = limit
        self._clock = clock
        self._lock = native_lock()
        self._open: set[Stream] = set()
        self._slots = 0
        self._owner_limit = owner_limit
        self._owners: Counter[str] = Counter()
        #: Hears of streams that are refused, and of those that have been closed.
        self.observer = observer or Observer()

    def start(self) -> None:
        self.hangups.start()

    def stop(self) -> None:
        """Watch the clients no longer."""
        self.hangups.stop()

    def open(self, transport: str, cursor: Cursor, reader: Reader) -> Stream | Refusal:
        """A stream of a request, closed by its owner; why not when there is no room."""
        with self._lock:
            why = self._full(reader.owner)
            if why is None:
                self._slots += 1
                self._owners[reader.owner] += 1
            else:
                self.observer.refused(why)
                return Refusal(why)
        stream = Stream(self, transport, cursor, reader, clock=self._clock)
        stream.end_by(reader.expires_at)
        with self._lock:
            self._open.add(stream)
        return stream

    def refuse(self, why: str) -> Refusal:
        """Turn a stream away for a reason of the caller's."""
        self.observer.refused(why)
        return Refusal(why)

    def _full(self, owner: str) -> str | None:
        """Why there is no room for another stream."""
        if self.draining:
            return "drain"
        if self.pressure.level >= TOP:
            return "overloaded"
        if self._slots >= self._limit:
            return "too_many_streams"
        if self._owner_limit is not None and self._owners[owner] >= self._owner_limit:
            return "too_many_streams_of_owner"
        return None

    def closed(self, stream: Stream) -> None:
        with self._lock:
            self._open.discard(stream)
            self._slots -= 1
            self._owners[stream.owner] -= 1
            if not self._owners[stream.owner]:
                del self._owners[stream.owner]

    def count(self) -> dict[str, int]:
        """Open streams by transport."""
        with self._lock:
            transports = [stream.transport for stream in self._open]
        return {name: transports.count(name) for name in sorted(set(transports))}

    def degraded(self) -> tuple[int, str]:
        """The level by which all readers get less, and why; ("" at 0)."""
        if self.storage.fault() is not None:
            return TOP, "storage_away"
        return self.pressure.level, self.pressure.why

    def fullness(self) -> float:
        """The share of the slots that are taken."""
        with self._lock:
            return self._slots / self._limit

    def wake(self) -> None:
        """Have every stream look around: something but its logs has changed."""
        with self._lock:
            wakers = [stream.waker for stream in self._open]
        wake_all(wakers)

    def drain(self) -> None:
        """Turn away new streams, and have the open ones close."""
        with self._lock:
            self.draining = True
        self.wake()

    def cut(self) -> None:
        """End the connections of the streams that are still open."""
        with self._lock:
            streams = list(self._open)
        for stream in streams:
            stream.cut()

    def wait_until_closed(self, timeout_s: float) -> bool:
        """Whether all streams have closed in time."""
        until, waker = self._clock() + timeout_s, make_waker()
        while self.count() and self._clock() < until:
            waker.wait(0.05)
        return not self.count()
