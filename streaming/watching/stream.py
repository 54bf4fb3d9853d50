"""Open streams: their slots, viewers, heartbeats, rotation and drain, for every transport."""

from __future__ import annotations

import contextlib
import random
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from streaming.concurrency.platform import native_lock
from streaming.concurrency.waking import Waker, make_waker, wake_all
from streaming.errors import NotFound, Unavailable
from streaming.events.vocabulary import Json
from streaming.events.wire import Form
from streaming.storage.base import Storage
from streaming.watching.channel import Channel, Chunk, Line, StreamWriter
from streaming.watching.cursor import Cursor, Delivery
from streaming.watching.hangups import Hangups, client_socket, has_hung_up
from streaming.watching.pace import Pace, thinned
from streaming.watching.pressure import TOP, Pressure
from streaming.watching.traffic import Traffic
from streaming.watching.websocket import SEND_S, send_all

#: Seconds between looks for messages where nothing tells of them.
LISTEN_S = 0.05
#: Seconds after which a client is asked to come back; spread, so that they do not come together.
RETRY_S = (1.0, 3.0)

#: Why a stream ends whose ticket is over.
TICKET_EXPIRED = "ticket_expired"
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


@dataclass(frozen=True, slots=True)
class Reader:
    """Who opens a stream, and over which connection."""

    owner: str
    #: The WSGI environment of the request.
    environ: Mapping[str, Any]
    request_id: str = ""
    #: Epoch seconds at which the right to read ends.
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """There is no stream: `drain`, `overloaded`, `too_many_streams`, or the like."""

    why: str


def retry_s() -> float:
    """When to come back, jittered."""
    return round(random.uniform(*RETRY_S), 3)


class Stream:
    """One reader's open stream. Used by one thread; `close` may come from another, and twice."""

    __slots__ = (
        "_as_it_is",
        "_came_at",
        "_clock",
        "_closed",
        "_pace",
        "_plain",
        "_told",
        "_lost",
        "_quiet_since",
        "_ends_at",
        "_form",
        "_shared",
        "_socket",
        "_streams",
        "_two_way",
        "_viewers",
        "_watched",
        "_why",
        "cursor",
        "owner",
        "request_id",
        "stays",
        "taken_at",
        "transport",
        "waker",
    )

    def __init__(
        self,
        streams: Streams,
        transport: str,
        cursor: Cursor,
        reader: Reader,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._streams = streams
        self._clock = clock
        self.transport = transport
        self.cursor = cursor
        self.owner = reader.owner
        self.request_id = reader.request_id
        self.waker: Waker = make_waker()
        self._socket = client_socket(reader.environ)
        self._plain = _is_plain(reader.environ)
        #: Whether the server sends what the stream gives, and nothing wraps it.
        self._as_it_is = False
        #: When its client was last seen to take what it had to be waited for; on `monotonic`.
        self.taken_at = 0.0
        #: How events are to look on the socket, until that is known.
        self._form: Form | None = None
        _drop_when_stalled(self._socket)
        self._ends_at = clock() + streams.rotate_s * random.uniform(0.9, 1.1)
        self._why = "rotation"
        self._came_at = time.time()
        self._quiet_since = clock()
        self._watched: int | None = None
        self._viewers: dict[str, str] = {}
        self._pace = Pace(streams.pressure, clock=clock)
        #: Level and reason of the last `stream.degraded`.
        self._told = (0, "")
        #: Where the writer sends what others get as well; None where it does not.
        self._shared: tuple[Channel, Line] | None = None
        self._lost = False
        self._closed = False
        self._two_way = False
        #: Goes on when its logs have ended: others may be followed later.
        self.stays = False
        for job in cursor.positions:
            self.enter(job)

    def enter(self, job: str) -> None:
        """Count as a viewer of a job."""
        if job not in self._viewers:
            self._viewers[job] = self._streams.storage.viewers.enter(
                job, self.transport, partial(self.position, job)
            )

    def leave(self, job: str) -> None:
        """Be no viewer of a job any more."""
        viewer = self._viewers.pop(job, None)
        if viewer is not None:
            self._streams.storage.viewers.leave(job, viewer)

    def position(self, job: str) -> int:
        """How far the reader is in a job's log."""
        shared = self._shared
        if shared is not None and shared[0].holds(shared[1]):
            return shared[0].position
        return self.cursor.positions.get(job, 0)

    def share(self, form: Form) -> None:
        """Have the writer send events to the socket, where there is one, once it is caught up.

        Only for a reader of one job whose events on the socket are to be as `form` says, and
        that has sent what comes before them.
        """
        writer, job = self._streams.writer, self.cursor.only_job
        if writer is None or job is None or self._socket is None:
            return
        if not self._plain:
            return
        if not self._as_it_is:
            self._form = form  # until it is known what the server sends
            return
        line = Line(self._socket.send, self.waker)
        with contextlib.suppress(NotFound, Unavailable):
            self._shared = (writer.join(job, form), line)

    def sent_as_it_is(self) -> None:
        """Nothing stands between the stream and its socket: hooks and middleware let it pass."""
        self._as_it_is = True
        if self._form is not None:
            self.share(self._form)

    @contextlib.contextmanager
    def set_up(self) -> Iterator[None]:
        """Where something fails before a response has the stream, nobody else would close it."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def parts(self) -> Iterator[list[Delivery] | Beat | Closing]:
        """All that the reader gets, until its logs end, it hangs up, or the server closes it.

        What the writer or the stream itself has sent straight to the socket is not among it.
        """
        self._quiet_since = self._clock()
        self.watch()
        while not self.hung_up():
            closing = self.closing()
            if closing is not None:
                yield closing
                return
            told = self.degraded_news()
            if told is not None:
                yield [told]
            until_beat = self._quiet_since + self._streams.heartbeat_s - self._clock()
            try:
                found = self._next(until_beat)
            except Unavailable:  # `degraded_news` tells of it; the reader stays, and reads on later
                self.waker.wait(self.patience(min(until_beat, AWAY_S)))
                found = []
            began = self._clock()
            if found or self._two_way:
                yield found
            if self._two_way:
                self.watch()
            if found:
                self._measure_delay(found[0])
                self._pace.sent(began=began, caught_up=self.cursor.caught_up)
                self._quiet_since = self._clock()
            elif self.cursor.ended and not self.stays:
                return
            elif self._clock() - self._quiet_since >= self._streams.heartbeat_s:
                yield Beat()
                self._quiet_since = self._clock()
        yield from self._what_is_there()  # it may have closed its sending half only

    def _what_is_there(self) -> Iterator[list[Delivery]]:
        """All that the logs have now, without waiting for more."""
        with contextlib.suppress(Unavailable):
            while not self._lost and (found := self.cursor.read(0, self.waker)):
                yield found

    def _measure_delay(self, first: Delivery) -> None:
        """Of what was appended since the reader came: what it catches up with is no news."""
        if first.event is not None:
            self._streams.traffic.delayed(self.transport, first.event, self._came_at)

    def count(self, size: int, events: int) -> None:
        """So many bytes and events were sent by the stream itself."""
        self._streams.traffic.add(self.transport, "stream", size, events)

    def listen(self) -> None:
        """Tell of whatever wakes it, if only by an empty list: its client sends messages."""
        self._two_way = True

    def watch(self) -> None:
        """Wake when the client hangs up, or sends something."""
        self._watched = self._streams.hangups.watch(
            self._socket, self.waker, messages=self._two_way
        )

    # Between here and the wait, few frames and locals: each waiting reader holds them.
    def _next(self, until_beat: float) -> list[Delivery]:
        """What comes next, unless the writer or the stream itself has sent it already."""
        if (
            self._shared is not None
            and not self._pace.is_slow  # what it gets then is not what the others get
            and not self.cursor.ended
            and self._read_shared(self.patience(until_beat), *self._shared)
        ):
            return []
        return self._paced(until_beat)

    def _paced(self, until_beat: float) -> list[Delivery]:
        """What comes next, thinned where it must be; nothing while it has to rest.

        Where the writer sends, it rests for all readers of a channel.
        """
        rest_s = self._pace.rest_s()
        if rest_s > 0 and not self.cursor.ended and self._shared is None:
            self.waker.wait(self.patience(min(rest_s, until_beat)))
            return []
        before = dict(self.cursor.positions)
        timeout = self.patience(until_beat)
        if self.cursor.ended:
            self.waker.wait(timeout if self.stays else 0)
        return thinned(self.cursor.read(timeout, self.waker), before, self._pace.level)

    def _read_shared(self, timeout: float, channel: Channel, line: Line) -> bool:
        """Send what the channel has, or lend it the line; False when the cursor has to decide."""
        after = self.cursor.positions[channel.job]
        chunk = channel.next(after)
        if chunk is None:
            return False
        if chunk.events:
            self._catch_up(channel, chunk)
            return True
        del chunk
        if channel.lend(line, after):
            self._pace.sent(began=self._clock(), caught_up=True)
            try:
                self.waker.wait(timeout)
            finally:
                channel.take_back(line)
                self._moved(channel.job, line.position, channel.wrote_at)
            self._take_rest(line)
        elif channel.await_others(after, self.waker):
            self.waker.wait(timeout)
        else:  # to look again and again would keep the writer from its turn
            return False
        return True

    def _catch_up(self, channel: Channel, chunk: Chunk) -> None:
        began = self._clock()
        self._send(chunk.data)
        self._pace.sent(began=began, caught_up=False)
        self.count(len(chunk.data), chunk.events)
        self._moved(channel.job, chunk.end, self._clock() if chunk.data else 0.0)

    def _take_rest(self, line: Line) -> None:
        """Send what the writer's last write has left."""
        self._lost = self._lost or line.lost
        began = self._clock()
        if line.rest:
            self._send(line.rest)
        self._pace.sent(began=began, caught_up=not line.rest)
        line.rest = b""

    def _moved(self, job: str, position: int, at: float) -> None:
        if position != self.cursor.positions[job]:
            self.cursor.move(job, position)
            self._quiet_since = max(self._quiet_since, at)

    def _send(self, data: bytes | memoryview) -> None:
        """Send it whole; a peer that does not take it in time is gone."""
        assert self._socket is not None
        try:
            if send_all(self._socket, data, time.monotonic() + SEND_S):
                self.taken_at = time.monotonic()
        except OSError:
            self._lost = True
            with contextlib.suppress(OSError):  # whatever comes behind a torn frame must not
                self._socket.shutdown(socket.SHUT_RDWR)

    def patience(self, seconds: float) -> float:
        """How long to wait at the most, so that the stream's end comes in time."""
        if self._two_way and not self._streams.hangups.works:
            seconds = min(seconds, LISTEN_S)
        return max(0.001, min(seconds, self._ends_at - self._clock()))

    def hung_up(self) -> bool:
        return self._lost or has_hung_up(self._socket)

    def closing(self) -> Closing | None:
        """Why the server closes the stream now, if it does."""
        if self._streams.draining:
            return Closing("drain", retry_s())
        if self._clock() >= self._ends_at:
            return Closing(self._why, retry_s())
        return None

    def age_s(self) -> float:
        """Seconds since it was opened."""
        return time.time() - self._came_at

    def end_by(self, expires_at: float | None) -> None:
        """Close it at an epoch second, when the ticket that let it in is over."""
        if expires_at is not None:
            ends_at = self._clock() + expires_at - time.time()
            if ends_at < self._ends_at:
                self._ends_at, self._why = ends_at, TICKET_EXPIRED

    def take_state_as_known(self) -> None:
        """Tell only of changes from now on: for readers that come again and again."""
        self._told = self._streams.degraded()

    def degraded_news(self) -> Delivery | None:
        """`stream.degraded` when storage or the load has changed since the last look."""
        level, why = now = self._streams.degraded()
        if now == self._told:
            return None
        self._told = now
        data = {"level": level, "why": why or "recovered"}
        return Delivery("", 0, kind="stream.degraded", data=data)

    def close(self) -> None:
        """Give back the slot and all else that the stream holds."""
        if self._closed:
            return
        self._closed = True
        self._streams.hangups.unwatch(self._watched, self.waker)
        for job in list(self._viewers):
            self.leave(job)
        if self._shared is not None and self._streams.writer is not None:
            self._streams.writer.leave(self._shared[0])
        self._streams.closed(self)
        self._streams.ended(self)


def _drop_when_stalled(sock: socket.socket | None) -> None:
    """Have the kernel end the connection of a peer that takes nothing of what was sent.

    Where it can (Linux): it finds also those whom no write of ours would wait for.
    """
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if sock is not None and option is not None:
        with contextlib.suppress(OSError):  # no TCP: a Unix socket behind a proxy
            sock.setsockopt(socket.IPPROTO_TCP, option, int(SEND_S * 1000))


def _is_plain(environ: Mapping[str, Any]) -> bool:
    """Whether what is written to the socket is what the client reads: no TLS, HTTP/1.1."""
    real = environ.get("gunicorn.socket")
    return environ["SERVER_PROTOCOL"] == "HTTP/1.1" and not isinstance(real, ssl.SSLSocket)


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
        refused: Callable[[str], object] = lambda _: None,
        ended: Callable[[Stream], object] = lambda _: None,
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
        self._refused = refused
        #: Hears of each stream that has been closed.
        self.ended = ended

    def start(self) -> None:
        self.hangups.start()

    def open(self, transport: str, cursor: Cursor, reader: Reader) -> Stream | Refusal:
        """A stream of a request, closed by its owner; why not when there is no room."""
        with self._lock:
            why = self._full(reader.owner)
            if why is None:
                self._slots += 1
                self._owners[reader.owner] += 1
            else:
                self._refused(why)
                return Refusal(why)
        stream = Stream(self, transport, cursor, reader, clock=self._clock)
        stream.end_by(reader.expires_at)
        with self._lock:
            self._open.add(stream)
        return stream

    def refuse(self, why: str) -> Refusal:
        """Turn a stream away for a reason of the caller's."""
        self._refused(why)
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

    def wait_until_closed(self, timeout_s: float) -> bool:
        """Whether all streams have closed in time."""
        until, waker = self._clock() + timeout_s, make_waker()
        while self.count() and self._clock() < until:
            waker.wait(0.05)
        return not self.count()
