"""Open streams: their slots, viewers, heartbeats, rotation and drain, for every transport."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from flask import request

from streaming.concurrency import Waker, make_waker, native_lock, wake_all
from streaming.cursor import Cursor, Delivery
from streaming.errors import Unavailable
from streaming.events import Json
from streaming.storage.base import Storage
from streaming.web.hangups import Hangups, client_socket, has_hung_up

#: Seconds after which a client is asked to come back; spread, so that they do not come together.
RETRY_S = (1.0, 3.0)

#: Seconds between tries to read on while storage is away.
AWAY_S = 0.5


@dataclass(frozen=True, slots=True)
class Beat:
    """A quiet time has passed."""


@dataclass(frozen=True, slots=True)
class Closing:
    """The server ends the stream; the client may come back."""

    reason: str
    retry_s: float

    @property
    def data(self) -> dict[str, Json]:
        return {"reason": self.reason, "retry_s": self.retry_s}


def retry_s() -> float:
    """When to come back, jittered."""
    return round(random.uniform(*RETRY_S), 3)


class Stream:
    """One reader's open stream. Used by one thread; `close` may come from another, and twice."""

    def __init__(
        self, streams: Streams, transport: str, cursor: Cursor, *, clock: Callable[[], float]
    ) -> None:
        self._streams = streams
        self._clock = clock
        self.transport = transport
        self.cursor = cursor
        self.waker: Waker = make_waker()
        self._socket = client_socket(request.environ)
        self._rotates_at = clock() + streams.rotate_s * random.uniform(0.9, 1.1)
        self._watched: int | None = None
        self._viewers: dict[str, str] = {}
        self._fault_told = False
        self._closed = False
        #: Whatever wakes it is told, if only by an empty list: its client sends messages.
        self.two_way = False
        #: Goes on when its logs have ended: others may be followed later.
        self.stays = False
        for job in cursor.positions:
            self.enter(job)

    def enter(self, job: str) -> None:
        """Count as a viewer of a job."""
        if job not in self._viewers:
            position = self.cursor.positions[job]
            self._viewers[job] = self._streams.storage.viewers.enter(job, self.transport, position)

    def leave(self, job: str) -> None:
        """Be no viewer of a job any more."""
        viewer = self._viewers.pop(job, None)
        if viewer is not None:
            self._streams.storage.viewers.leave(job, viewer)

    def parts(self) -> Iterator[list[Delivery] | Beat | Closing]:
        """All that the reader gets, until its logs end, it hangs up, or the server closes it."""
        quiet_since = self._clock()
        self.watch()
        while not self.hung_up():
            closing = self.closing()
            if closing is not None:
                yield closing
                return
            told = self.fault_news()
            if told is not None:
                yield [told]
            until_beat = quiet_since + self._streams.heartbeat_s - self._clock()
            found = self._read(self._patience(until_beat))
            if found or self.two_way:
                yield found
            if found:
                self.moved()
                quiet_since = self._clock()
            elif self.cursor.ended and not self.stays:
                return
            elif self._clock() - quiet_since >= self._streams.heartbeat_s:
                yield Beat()
                quiet_since = self._clock()

    def watch(self) -> None:
        """Wake when the client hangs up."""
        self._watched = self._streams.hangups.watch(self._socket, self.waker)

    def _read(self, timeout: float) -> list[Delivery]:
        if self.cursor.ended:
            self.waker.wait(timeout if self.stays else 0)
        try:
            return self.cursor.read(timeout, self.waker)
        except Unavailable:  # `fault_news` tells of it; the reader stays, and reads on later
            self.waker.wait(min(timeout, AWAY_S))
            return []

    def _patience(self, seconds: float) -> float:
        """How long to wait at the most, so that rotation comes in time."""
        return max(0.001, min(seconds, self._rotates_at - self._clock()))

    def hung_up(self) -> bool:
        return has_hung_up(self._socket)

    def closing(self) -> Closing | None:
        """Why the server closes the stream now, if it does."""
        if self._streams.draining:
            return Closing("drain", retry_s())
        if self._clock() >= self._rotates_at:
            return Closing("rotation", retry_s())
        return None

    def take_fault_as_known(self) -> None:
        """Tell only of changes from now on: for readers that come again and again."""
        self._fault_told = self._streams.storage.fault() is not None

    def fault_news(self) -> Delivery | None:
        """`stream.degraded` when storage has gone away or come back since the last look."""
        fault = self._streams.storage.fault()
        if (fault is not None) == self._fault_told:
            return None
        self._fault_told = fault is not None
        data = {"level": 3, "why": "storage_away"} if fault else {"level": 0, "why": "recovered"}
        return Delivery("", 0, kind="stream.degraded", data=data)

    def moved(self) -> None:
        """Show other people how far this viewer is."""
        for job, viewer in self._viewers.items():
            position = self.cursor.positions.get(job)
            if position is not None:
                self._streams.storage.viewers.move(job, viewer, position)

    def close(self) -> None:
        """Give back the slot and all else that the stream holds."""
        if self._closed:
            return
        self._closed = True
        self._streams.hangups.unwatch(self._watched, self.waker)
        for job in list(self._viewers):
            self.leave(job)
        self._streams.closed(self)


class Streams:
    """The open streams of a process. At the limit new ones are turned away; old ones stay."""

    def __init__(
        self,
        storage: Storage,
        *,
        limit: int,
        heartbeat_s: float,
        rotate_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.storage = storage
        self.heartbeat_s = heartbeat_s
        self.rotate_s = rotate_s
        self.hangups = Hangups()
        self.draining = False
        self._limit = limit
        self._clock = clock
        self._lock = native_lock()
        self._open: set[Stream] = set()
        self._slots = 0

    def start(self) -> None:
        self.hangups.start()

    def open(self, transport: str, cursor: Cursor) -> Stream | None:
        """A stream of the present request, closed by its owner; None when there is no room."""
        with self._lock:
            if self.draining or self._slots >= self._limit:
                return None
            self._slots += 1
        stream = Stream(self, transport, cursor, clock=self._clock)
        with self._lock:
            self._open.add(stream)
        return stream

    def closed(self, stream: Stream) -> None:
        with self._lock:
            self._open.discard(stream)
            self._slots -= 1

    def count(self) -> dict[str, int]:
        """Open streams by transport."""
        with self._lock:
            transports = [stream.transport for stream in self._open]
        return {name: transports.count(name) for name in sorted(set(transports))}

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

    def wait_until_closed(self, timeout_s: float) -> bool:
        """Whether all streams have closed in time."""
        until, waker = self._clock() + timeout_s, make_waker()
        while self.count() and self._clock() < until:
            waker.wait(0.05)
        return not self.count()
