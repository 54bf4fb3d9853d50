"""A stream's loan of its socket to the writer: how it catches up, lends, and takes back."""

from __future__ import annotations

from collections.abc import Callable

from streaming.concurrency.waking import Waker
from streaming.watching.channel import Channel, Line
from streaming.watching.chunks import Chunk
from streaming.watching.client_end import ClientEnd
from streaming.watching.cursor import Cursor
from streaming.watching.pace import Pace
from streaming.watching.traffic import Traffic


class Loan:
    """The reader of one job as one of its channel's readers. Used by the stream's thread."""

    __slots__ = (
        "_client",
        "_clock",
        "_cursor",
        "_line",
        "_pace",
        "_traffic",
        "_waker",
        "channel",
        "moved_at",
    )

    def __init__(
        self,
        channel: Channel,
        cursor: Cursor,
        client: ClientEnd,
        waker: Waker,
        pace: Pace,
        *,
        traffic: Traffic,
        clock: Callable[[], float],
    ) -> None:
        self.channel = channel
        self._cursor = cursor
        self._client = client
        self._waker = waker
        self._pace = pace
        self._traffic = traffic
        self._clock = clock
        self._line = Line(client.send_now, waker)
        #: When the reader was last sent events, on the clock.
        self.moved_at = 0.0

    @property
    def position(self) -> int:
        """The reader's position in the job's log."""
        channel = self.channel
        if channel.holds(self._line):
            return channel.position
        return self._cursor.positions.get(channel.job, 0)

    # Few frames and locals between here and the wait: every waiting reader holds them.
    def read(self, timeout: float) -> bool:
        """Send what the channel has, or lend it the line; False when the cursor has to decide."""
        channel, line = self.channel, self._line
        after = self._cursor.positions[channel.job]
        chunk = channel.next(after)
        if chunk is None:
            return False
        if chunk.events:
            self._catch_up(chunk)
            return True
        del chunk
        if channel.lend(line, after):
            self._pace.sent(began=self._clock(), caught_up=True)
            try:
                self._waker.wait(timeout)
            finally:
                channel.take_back(line)
                self._moved(line.position, channel.wrote_at)
            self._take_rest(line)
        elif channel.await_others(after, self._waker):
            self._waker.wait(timeout)
        else:  # polling would keep the writer from its turn
            return False
        return True

    def _catch_up(self, chunk: Chunk) -> None:
        began = self._clock()
        self._client.send(chunk.data)
        self._pace.sent(began=began, caught_up=False)
        self._traffic.add(self.channel.form.transport, "stream", len(chunk.data), chunk.events)
        self._moved(chunk.end, self._clock() if chunk.data else 0.0)

    def _take_rest(self, line: Line) -> None:
        """Send what the writer's last write left unsent."""
        if line.lost:
            self._client.lose()
        began = self._clock()
        if line.rest:
            self._client.send(line.rest)
        self._pace.sent(began=began, caught_up=not line.rest)
        line.rest = b""

    def _moved(self, position: int, at: float) -> None:
        job = self.channel.job
        if position != self._cursor.positions[job]:
            self._cursor.move(job, position)
            self.moved_at = at
