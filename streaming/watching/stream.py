"""An open stream: what its reader gets and when, heartbeats included; for every transport."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from streaming.concurrency.waking import Waker, make_waker
from streaming.errors import NotFound, Unavailable
from streaming.events.wire import Form, http_chunk
from streaming.watching.client_end import ClientEnd
from streaming.watching.cursor import Cursor, Delivery
from streaming.watching.lifetime import Closing, Lifetime
from streaming.watching.loan import Loan
from streaming.watching.pace import Pace, thinned
from streaming.watching.server_end import ServerEnd

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

#: Seconds between checks for messages where nothing announces them.
LISTEN_S = 0.05
#: Seconds between attempts to read on while storage is away.
AWAY_S = 0.5


@dataclass(frozen=True, slots=True)
class Beat:
    """The stream was quiet for a while: a heartbeat is due."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Who opens a stream, and over which connection."""

    owner: str
    #: The WSGI environment of the request.
    environ: WSGIEnvironment
    request_id: str = ""
    #: Epoch seconds at which the right to read ends.
    expires_at: float | None = None


class Stream:
    """One reader's open stream. Used by one thread; any thread may `close` it, repeatedly."""

    __slots__ = (
        "_as_it_is",
        "_clock",
        "_client",
        "_closed",
        "_pace",
        "_told",
        "_quiet_since",
        "_form",
        "_loan",
        "_on_close",
        "_server",
        "_two_way",
        "_viewers",
        "cursor",
        "lifetime",
        "owner",
        "request_id",
        "stays",
        "transport",
        "waker",
    )

    def __init__(
        self,
        server: ServerEnd,
        transport: str,
        cursor: Cursor,
        reader: Reader,
        *,
        on_close: Callable[[Stream], None],
    ) -> None:
        """`on_close` frees the slot."""
        self._server = server
        self._on_close = on_close
        self._clock = clock = server.clock
        self.transport = transport
        self.cursor = cursor
        self.owner = reader.owner
        self.request_id = reader.request_id
        self.waker: Waker = make_waker()
        self._client = ClientEnd(reader.environ)
        #: Whether the server sends the stream's bytes unchanged, with nothing wrapped around it.
        self._as_it_is = False
        #: The form that events are to have on the socket, until it is known whether they can.
        self._form: Form | None = None
        self.lifetime = Lifetime(server)
        self.lifetime.end_by(reader.expires_at)
        self._quiet_since = clock()
        self._viewers: dict[str, str] = {}
        self._pace = Pace(server.pressure, clock=clock)
        #: Level and reason of the last `stream.degraded`.
        self._told = (0, "")
        #: The loan to the writer, which sends what others get as well; None where it does not.
        self._loan: Loan | None = None
        self._closed = False
        self._two_way = False
        #: Whether it stays open when its logs have ended: others may be followed later.
        self.stays = False
        for job in cursor.positions:
            self.enter(job)

    def enter(self, job: str) -> None:
        """Count as a viewer of a job."""
        if job not in self._viewers:
            self._viewers[job] = self._server.storage.viewers.enter(
                job, self.transport, partial(self.position, job)
            )

    def leave(self, job: str) -> None:
        """Stop counting as a viewer of a job."""
        viewer = self._viewers.pop(job, None)
        if viewer is not None:
            away = self.lifetime.sent_away
            self._server.storage.viewers.leave(job, viewer, sent_away=away)

    def position(self, job: str) -> int:
        """The reader's position in a job's log."""
        if self._loan is not None:
            return self._loan.position
        return self.cursor.positions.get(job, 0)

    def lend(self, form: Form) -> None:
        """Let the writer, if there is one, send events to the socket once the reader has caught up.

        Only for a reader of a single job that takes its events in `form`, after everything that
        precedes them was sent.
        """
        server = self._server
        channels, job = server.channels, self.cursor.only_job
        if channels is None or job is None or not self._client.is_plain:
            return
        if not self._as_it_is:
            self._form = form  # until it is known what the server sends
            return
        with contextlib.suppress(NotFound, Unavailable):
            self._loan = Loan(
                channels.join(job, form),
                self.cursor,
                self._client,
                self.waker,
                self._pace,
                traffic=server.traffic,
                clock=self._clock,
            )

    def sent_as_it_is(self) -> None:
        """Note that hooks and middleware pass the stream's bytes to the socket unchanged."""
        self._as_it_is = True
        if self._form is not None:
            self.lend(self._form)

    def send(self, data: bytes) -> bool:
        """Send data after the body's first piece straight to the socket, as one more HTTP chunk.

        False where the server has to send it, which may change it.
        """
        if self._server.channels is None or not (self._as_it_is and self._client.is_plain):
            return False
        self._client.send(http_chunk(data))
        return True

    @contextlib.contextmanager
    def set_up(self) -> Iterator[None]:
        """Within the block: close the stream on an error, as no response would do it yet."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def parts(self) -> Iterator[list[Delivery] | Beat | Closing]:
        """Yield all that the reader gets, until its logs end, it hangs up, or the server closes it.

        Except for what the writer, or the stream itself, sends straight to the socket.
        """
        self._quiet_since = self._clock()
        self.watch()
        while not self.hung_up():
            closing = self.lifetime.closing()
            if closing is not None:
                yield closing
                return
            told = self.degraded_news()
            if told is not None:
                yield [told]
            until_beat = self._quiet_since + self._server.heartbeat_s - self._clock()
            try:
                found = self._next(until_beat)
            except Unavailable:  # `degraded_news` reports it; the reader stays, and reads on later
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
            elif self._clock() - self._quiet_since >= self._server.heartbeat_s:
                yield Beat()
                self._quiet_since = self._clock()
        yield from self._what_is_there()  # it may have closed only its sending side

    def _what_is_there(self) -> Iterator[list[Delivery]]:
        """All that the logs have now, without waiting for more."""
        with contextlib.suppress(Unavailable):
            while not self._client.lost and (found := self.cursor.read(0, self.waker)):
                yield found

    def _measure_delay(self, first: Delivery) -> None:
        """Record the delay of an event that was appended since the stream was opened."""
        if first.event is not None:
            self._server.traffic.delayed(self.transport, first.event, self.lifetime.came_at)

    def count(self, size: int, events: int) -> None:
        """Count bytes and events that the stream itself has sent."""
        self._server.traffic.add(self.transport, "stream", size, events)

    def listen(self) -> None:
        """Yield at every wake-up, if only an empty list: for clients that send messages."""
        self._two_way = True

    def watch(self) -> None:
        """Have the stream woken when the client hangs up or sends something."""
        self._client.watch(self._server.hangups, self.waker, messages=self._two_way)

    # Few frames and locals between here and the wait: every waiting reader holds them.
    def _next(self, until_beat: float) -> list[Delivery]:
        """The next deliveries, except for what the writer or the stream has already sent."""
        if (
            self._loan is not None
            and not self._pace.is_slow  # what it gets then differs from what the others get
            and not self.cursor.ended
            and self._loan.read(self.patience(until_beat))
        ):
            self._quiet_since = max(self._quiet_since, self._loan.moved_at)
            return []
        return self._paced(until_beat)

    def _paced(self, until_beat: float) -> list[Delivery]:
        """The next deliveries, thinned if need be; none while the stream has to rest.

        Where the writer sends, the channel rests for all of its readers.
        """
        rest_s = self._pace.rest_s()
        if rest_s > 0 and not self.cursor.ended and self._loan is None:
            self.waker.wait(self.patience(min(rest_s, until_beat)))
            return []
        before = dict(self.cursor.positions)
        timeout = self.patience(until_beat)
        if self.cursor.ended:
            self.waker.wait(timeout if self.stays else 0)
        return thinned(self.cursor.read(timeout, self.waker), before, self._pace.level)

    def patience(self, seconds: float) -> float:
        """How long to wait at most, so that the stream ends in time."""
        if self._two_way and not self._server.hangups.works:
            seconds = min(seconds, LISTEN_S)
        return max(0.001, min(seconds, self.lifetime.ends_at - self._clock()))

    def hung_up(self) -> bool:
        return self._client.gone

    @property
    def taken_at(self) -> float:
        """When its client last took data that had been waiting for it; on `monotonic`."""
        return self._client.taken_at

    def take_state_as_known(self) -> None:
        """Report only changes from now on: for readers that reconnect again and again."""
        self._told = self._server.degraded()

    def degraded_news(self) -> Delivery | None:
        """`stream.degraded` if storage or the load has changed since the last check."""
        level, why = now = self._server.degraded()
        if now == self._told:
            return None
        self._told = now
        data = {"level": level, "why": why or "recovered"}
        return Delivery("", 0, kind="stream.degraded", data=data)

    def cut(self) -> None:
        """Cut the connection of a client that does not take its stream's end; from any thread."""
        self._client.cut()
        self.waker.wake()

    def close(self) -> None:
        """Free the slot, and all else that the stream holds."""
        if self._closed:
            return
        self._closed = True
        self._client.unwatch(self._server.hangups)
        for job in list(self._viewers):
            self.leave(job)
        if self._loan is not None and self._server.channels is not None:
            self._server.channels.leave(self._loan.channel)
        self._on_close(self)
        self._server.observer.stream_ended(
            self.transport,
            dict(self.cursor.positions),
            seconds=self.lifetime.age_s(),
            owner=self.owner,
            request_id=self.request_id,
        )
