"""An open stream: its viewers, heartbeats, rotation and end, for every transport."""

from __future__ import annotations

import contextlib
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from streaming.concurrency.waking import Waker, make_waker
from streaming.errors import NotFound, Unavailable
from streaming.events.vocabulary import Json
from streaming.events.wire import Form
from streaming.watching.channel import Channel, Chunk, Line
from streaming.watching.client_end import ClientEnd
from streaming.watching.cursor import Cursor, Delivery
from streaming.watching.pace import Pace, thinned

if TYPE_CHECKING:
    from streaming.watching.streams import Streams

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


def retry_s() -> float:
    """When to come back, jittered."""
    return round(random.uniform(*RETRY_S), 3)


class Stream:
    """One reader's open stream. Used by one thread; `close` may come from another, and twice."""

    __slots__ = (
        "_as_it_is",
        "_came_at",
        "_clock",
        "_client",
        "_closed",
        "_pace",
        "_sent_away",
        "_told",
        "_quiet_since",
        "_ends_at",
        "_form",
        "_shared",
        "_streams",
        "_two_way",
        "_viewers",
        "_why",
        "cursor",
        "owner",
        "request_id",
        "stays",
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
        self._client = ClientEnd(reader.environ)
        #: Whether the server sends what the stream gives, and nothing wraps it.
        self._as_it_is = False
        #: How events are to look on the socket, until that is known.
        self._form: Form | None = None
        self._ends_at = clock() + streams.rotate_s * random.uniform(0.9, 1.1)
        self._why = "rotation"
        self._came_at = time.time()
        self._quiet_since = clock()
        self._viewers: dict[str, str] = {}
        self._pace = Pace(streams.pressure, clock=clock)
        #: Level and reason of the last `stream.degraded`.
        self._told = (0, "")
        #: Where the writer sends what others get as well; None where it does not.
        self._shared: tuple[Channel, Line] | None = None
        #: It is the server that ends it: the reader has not hung up.
        self._sent_away = False
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
            away = self._sent_away
            self._streams.storage.viewers.leave(job, viewer, sent_away=away)

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
        if writer is None or job is None or not self._client.is_plain:
            return
        if not self._as_it_is:
            self._form = form  # until it is known what the server sends
            return
        line = Line(self._client.send_now, self.waker)
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
            while not self._client.lost and (found := self.cursor.read(0, self.waker)):
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
        self._client.watch(self._streams.hangups, self.waker, messages=self._two_way)

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
        self._client.send(chunk.data)
        self._pace.sent(began=began, caught_up=False)
        self.count(len(chunk.data), chunk.events)
        self._moved(channel.job, chunk.end, self._clock() if chunk.data else 0.0)

    def _take_rest(self, line: Line) -> None:
        """Send what the writer's last write has left."""
        if line.lost:
            self._client.lose()
        began = self._clock()
        if line.rest:
            self._client.send(line.rest)
        self._pace.sent(began=began, caught_up=not line.rest)
        line.rest = b""

    def _moved(self, job: str, position: int, at: float) -> None:
        if position != self.cursor.positions[job]:
            self.cursor.move(job, position)
            self._quiet_since = max(self._quiet_since, at)

    def patience(self, seconds: float) -> float:
        """How long to wait at the most, so that the stream's end comes in time."""
        if self._two_way and not self._streams.hangups.works:
            seconds = min(seconds, LISTEN_S)
        return max(0.001, min(seconds, self._ends_at - self._clock()))

    def hung_up(self) -> bool:
        return self._client.gone

    @property
    def taken_at(self) -> float:
        """When its client was last seen to take what it had to be waited for; on `monotonic`."""
        return self._client.taken_at

    def closing(self) -> Closing | None:
        """Why the server closes the stream now, if it does."""
        if self._streams.draining:
            self._sent_away = True
            return Closing("drain", retry_s())
        if self._clock() >= self._ends_at:
            self._sent_away = True
            return Closing(self._why, retry_s())
        return None

    def stay_open(self) -> None:
        """Be spared the rotation: for clients that do not come back by themselves."""
        if self._why != TICKET_EXPIRED:
            self._ends_at = math.inf

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

    def cut(self) -> None:
        """End the connection of a client that does not take its end; from any thread."""
        self._client.cut()
        self.waker.wake()

    def close(self) -> None:
        """Give back the slot and all else that the stream holds."""
        if self._closed:
            return
        self._closed = True
        self._client.unwatch(self._streams.hangups, self.waker)
        for job in list(self._viewers):
            self.leave(job)
        if self._shared is not None and self._streams.writer is not None:
            self._streams.writer.leave(self._shared[0])
        self._streams.closed(self)
        self._streams.observer.stream_ended(
            self.transport,
            dict(self.cursor.positions),
            seconds=self.age_s(),
            owner=self.owner,
            request_id=self.request_id,
        )
