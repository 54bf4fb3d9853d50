"""The open streams of a process: their slots, and the drain."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from streaming.concurrency.platform import native_lock
from streaming.concurrency.waking import make_waker, wake_all
from streaming.watching.cursor import Cursor
from streaming.watching.pressure import TOP
from streaming.watching.server_end import ServerEnd
from streaming.watching.stream import Reader, Stream


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a stream is refused: `drain`, `overloaded`, `too_many_streams`, or the like."""

    why: str


class Streams:
    """The open streams of a process. At the limit new ones are refused; old ones stay."""

    def __init__(
        self,
        server: ServerEnd,
        *,
        limit: int,
        owner_limit: int | None = None,
    ) -> None:
        self.server = server
        self._limit = limit
        self._lock = native_lock()
        self._open: set[Stream] = set()
        self._slots = 0
        self._owner_limit = owner_limit
        self._owners: Counter[str] = Counter()

    def start(self) -> None:
        self.server.hangups.start()

    def stop(self) -> None:
        """Stop watching the clients."""
        self.server.hangups.stop()

    def open(self, transport: str, cursor: Cursor, reader: Reader) -> Stream | Refusal:
        """Open a request's stream, which its owner closes; a `Refusal` when there is no room."""
        with self._lock:
            why = self._full(reader.owner)
            if why is None:
                self._slots += 1
                self._owners[reader.owner] += 1
            else:
                self.server.observer.refused(why)
                return Refusal(why)
        stream = Stream(self.server, transport, cursor, reader, on_close=self._closed)
        with self._lock:
            self._open.add(stream)
        return stream

    def refuse(self, why: str) -> Refusal:
        """Refuse a stream for a reason of the caller's."""
        self.server.observer.refused(why)
        return Refusal(why)

    def _full(self, owner: str) -> str | None:
        """Why there is no room for another stream."""
        if self.server.draining:
            return "drain"
        if self.server.pressure.level >= TOP:
            return "overloaded"
        if self._slots >= self._limit:
            return "too_many_streams"
        if self._owner_limit is not None and self._owners[owner] >= self._owner_limit:
            return "too_many_streams_of_owner"
        return None

    def _closed(self, stream: Stream) -> None:
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

    def fullness(self) -> float:
        """The share of the slots that is taken."""
        with self._lock:
            return self._slots / self._limit

    def wake(self) -> None:
        """Wake every stream: something other than its logs has changed."""
        with self._lock:
            wakers = [stream.waker for stream in self._open]
        wake_all(wakers)

    def drain(self) -> None:
        """Refuse new streams, and have the open ones close."""
        with self._lock:
            self.server.draining = True
        self.wake()

    def cut(self) -> None:
        """End the connections of the streams that are still open."""
        with self._lock:
            streams = list(self._open)
        for stream in streams:
            stream.cut()

    def wait_until_closed(self, timeout_s: float) -> bool:
        """Wait for all streams to close; whether they did in time."""
        until, waker = self.server.clock() + timeout_s, make_waker()
        while self.count() and self.server.clock() < until:
            waker.wait(0.05)
        return not self.count()
