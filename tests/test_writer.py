"""The one writer: what it sends, to whom, and when it gives a line back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streaming.events.event import Event
from streaming.events.observer import Observer
from streaming.events.wire import Form
from streaming.storage.base import Storage
from streaming.storage.tail import TAIL_EVENTS
from streaming.watching.channel import WRITE_BYTES, Channel, Line
from streaming.watching.channels import Channels
from streaming.watching.chunks import CHUNK_BYTES
from streaming.watching.traffic import Traffic
from streaming.watching.writer import StreamWriter
from tests.jobs import completed, delta, events_of, new_job, progress
from tests.sse_parser import parse_sse
from tests.storage.conftest import SERVED

SSE = Form("sse")


class Peer:
    """A socket that takes so many bytes, and a stream that notes that it was woken."""

    def __init__(self, room: int = 1 << 30) -> None:
        self.room = room
        self.got = b""
        self.woken = 0
        self.line = Line(self.send, self)

    def send(self, data: bytes) -> int:
        if self.room == 0:
            raise BlockingIOError
        taken = data[: self.room]
        self.room -= len(taken)
        self.got += taken
        return len(taken)

    def wake(self) -> None:
        self.woken += 1

    def take_back(self, channel: Channel) -> int:
        """What a stream does when it was woken; where its reader is."""
        channel.take_back(self.line)
        self.got += self.line.rest
        return self.line.position

    @property
    def seqs(self) -> list[int]:
        return [int(event.id) for event in parse_sse(unchunked(self.got))]


def unchunked(data: bytes) -> bytes:
    body = b""
    while data:
        size, _, rest = data.partition(b"\r\n")
        body, data = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return body


class Loop:
    """The event loop's part: calls that were put off, run when the test says so."""

    def __init__(self) -> None:
        self.calls: deque[Callable[[], object]] = deque()
        #: Put off for so many seconds.
        self.later: list[tuple[float, Callable[[], object]]] = []

    def call_later(self, seconds: float, call: Callable[[], object]) -> None:
        self.later.append((seconds, call))

    def run_later(self) -> None:
        """What was put off for some time, as if it had passed."""
        later, self.later = self.later, []
        self.calls.extend(call for _, call in later)
        self.run()

    def run(self) -> None:
        while self.calls:
            self.calls.popleft()()


class Deliveries(Observer):
    """Notes what it is told of deliveries."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, float]] = []

    def delivered(self, transport: str, event: Event, since: float) -> None:
        self.told.append((transport, event.seq, since))


class Desk:
    """A writer on a storage, with one job."""

    def __init__(self, storage: Storage, *, write_events: int = 500) -> None:
        self.storage = storage
        self.loop = Loop()
        self.level = 0
        self.observer = Deliveries()
        self.traffic = Traffic(self.observer)
        put_off = self.loop.calls.append
        self.writer = StreamWriter(
            storage.log,
            self.traffic,
            write_events=write_events,
            level=lambda: self.level,
            call_soon=put_off,
            call_later=self.loop.call_later,
            spawn=put_off,
        )
        self.channels = Channels(self.writer)
        self.job = new_job(storage)

    def append(self, *texts: str) -> None:
        self.storage.log.append(self.job, [delta(text) for text in texts])

    def lent(self, *peers: Peer, form: Form = SSE, after: int = 1) -> Channel:
        channels = [self.channels.join(self.job, form) for _ in peers]
        assert all(channels[0].lend(peer.line, after) for peer in peers)
        return channels[0]


@pytest.fixture(params=SERVED.values(), ids=SERVED.keys())
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    opened: Storage = request.param(tmp_path)
    opened.open(timeout=1)
    yield opened
    opened.close()


@pytest.fixture
def desk(storage: Storage) -> Desk:
    return Desk(storage)


def test_all_who_are_at_the_head_get_what_is_appended(desk: Desk) -> None:
    peers = [Peer(), Peer(), Peer()]
    channel = desk.lent(*peers)

    desk.append("a", "b")
    desk.loop.run()
    desk.append("c")
    desk.loop.run()

    assert [peer.seqs for peer in peers] == [[2, 3, 4]] * 3
    assert channel.position == 4
    assert all(peer.woken == 0 for peer in peers)


def test_several_appends_before_its_turn_are_one_write(desk: Desk) -> None:
    peer = Peer()
    desk.lent(peer)

    for text in "abc":
        desk.append(text)
    desk.loop.run()

    assert len(list(desk.traffic.sent())) == 1
    assert peer.got.count(b"data: ") == 3
    assert peer.got.startswith(b"%x\r\n" % (len(peer.got) - len(b"xxx\r\n") - 2))


def test_a_line_is_lent_only_where_the_others_are(desk: Desk) -> None:
    desk.lent(Peer())
    desk.append("a")
    desk.loop.run()
    late = Peer()

    channel = desk.channels.join(desk.job, SSE)

    assert not channel.lend(late.line, 1)
    assert channel.lend(late.line, 2)


def test_a_line_is_not_lent_behind_the_log(desk: Desk) -> None:
    desk.append("a")

    assert not desk.channels.join(desk.job, SSE).lend(Peer().line, 1)


def test_a_full_socket_goes_back_with_the_rest_and_the_others_go_on(desk: Desk) -> None:
    slow, full, quick = Peer(room=10), Peer(room=0), Peer()
    channel = desk.lent(slow, full, quick)

    desk.append("a")
    desk.loop.run()
    desk.append("b")
    desk.loop.run()

    assert (slow.woken, full.woken, quick.woken) == (1, 1, 0)
    assert [peer.take_back(channel) for peer in (slow, full)] == [2, 2]
    assert (slow.seqs, full.seqs, quick.seqs) == ([2], [2], [2, 3])


def test_who_has_gone_is_given_back_as_lost(desk: Desk) -> None:
    gone, there = Peer(), Peer()
    desk.lent(gone, there)

    def fail(_: bytes) -> int:
        raise ConnectionResetError

    gone.line.send = fail
    desk.append("a")
    desk.loop.run()

    assert (gone.line.lost, gone.woken) == (True, 1)
    assert there.seqs == [2]


def test_who_is_behind_gets_the_chunks_that_the_others_got(desk: Desk) -> None:
    peers = [Peer(), Peer()]
    channel = desk.lent(*peers)
    desk.append("a", "b")
    desk.loop.run()

    first = channel.next(1)

    assert first is not None
    assert (first.data, first.end) == (peers[0].got, 3)
    assert channel.next(3) == (b"", 3, 0, False)


def test_the_end_of_the_log_gives_every_line_back(desk: Desk) -> None:
    peers = [Peer(), Peer()]
    channel = desk.lent(*peers)

    desk.storage.log.append(desk.job, [completed()])
    desk.loop.run()

    assert [peer.woken for peer in peers] == [1, 1]
    assert [peer.take_back(channel) for peer in peers] == [2, 2]
    assert channel.next(2) is None


def test_a_removed_job_gives_every_line_back(desk: Desk) -> None:
    peer = Peer()
    channel = desk.lent(peer)

    desk.storage.index.remove(desk.job, tombstone=False)
    desk.loop.run()

    assert peer.woken == 1
    assert channel.next(1) is None


def test_a_gap_is_for_the_cursor(desk: Desk) -> None:
    desk.append(*"abcdef")
    desk.storage.log.trim(desk.job, 4, b"fold")

    channel = desk.channels.join(desk.job, SSE)

    assert channel.next(2) is None
    assert channel.next(99) is None
    assert channel.next(4) is not None


@pytest.mark.parametrize("write_events", [1, 7, 500])
def test_readers_far_behind_what_is_in_memory_get_everything_once(
    storage: Storage, write_events: int
) -> None:
    desk = Desk(storage, write_events=write_events)
    peers = [Peer(), Peer()]
    channel = desk.lent(*peers)

    for _ in range(4):
        desk.append(*["x" * 50] * TAIL_EVENTS)
    desk.loop.run()

    last = 1 + 4 * TAIL_EVENTS
    assert [peer.seqs for peer in peers] == [list(range(2, last + 1))] * 2
    assert channel.position == last


def test_a_write_is_bounded(desk: Desk) -> None:
    sizes: list[int] = []
    peer = Peer()
    peer.line.send = lambda data: sizes.append(len(data)) or len(data)  # type: ignore[func-returns-value]
    desk.lent(peer)

    desk.append(*["x" * 9_000] * 30)
    desk.append("x" * (3 * WRITE_BYTES))
    desk.loop.run()

    assert max(sizes[:-1]) < WRITE_BYTES + 2_000
    assert sizes[-1] > 3 * WRITE_BYTES  # one event is never cut


def test_each_form_has_readers_of_its_own(desk: Desk) -> None:
    forms = SSE, Form("sse", named=True), Form("websocket"), Form("sse", types=frozenset({"log"}))
    peers = [Peer() for _ in forms]
    for peer, form in zip(peers, forms, strict=True):
        desk.lent(peer, form=form)

    desk.append("a")
    desk.loop.run()

    plain, named, frames, filtered = (peer.got for peer in peers)
    [event] = events_of(desk.storage, desk.job, after=1)
    assert b"event: text.delta\n" in named
    assert b"event:" not in plain
    assert frames == bytes([0x81, 0x7E]) + len(event.json).to_bytes(2) + event.json
    assert filtered == b""


def test_a_line_that_was_taken_back_gets_nothing_more(desk: Desk) -> None:
    peer, other = Peer(), Peer()
    channel = desk.lent(peer, other)
    desk.append("a")

    position = peer.take_back(channel)
    desk.loop.run()

    assert (position, peer.got) == (1, b"")
    assert other.seqs == [2]


def test_traffic_tells_what_went_this_way(desk: Desk) -> None:
    peers = [Peer(), Peer()]
    desk.lent(*peers)

    desk.append("a", "b")
    desk.loop.run()

    size = len(peers[0].got) + len(peers[1].got)
    assert list(desk.traffic.sent()) == [("sse", "writer", size, 4)]


def test_the_oldest_event_of_the_last_write_of_each_turn_is_told_as_delivered(desk: Desk) -> None:
    channel = desk.lent(Peer(), Peer())

    desk.append("a", "b")
    desk.append("c")
    desk.loop.run()
    assert desk.observer.told == [("sse", 2, 0.0)]

    desk.append("d")
    desk.loop.run()
    desk.writer.ring(channel)  # a turn without news
    desk.loop.run()
    assert desk.observer.told == [("sse", 2, 0.0), ("sse", 5, 0.0)]


def test_under_pressure_frames_are_apart_and_merged(desk: Desk) -> None:
    peer, filtered = Peer(), Peer()
    desk.level = 1
    channels = [
        desk.lent(peer),
        desk.lent(filtered, form=Form("sse", types=frozenset({"text.delta"}))),
    ]

    for text in "abcd":
        desk.append(text)
        desk.loop.run()
        if text == "a":
            continue
        assert [round(seconds, 1) for seconds, _ in desk.loop.later] == [0.1, 0.1]
    assert peer.seqs == [2]
    for channel in channels:
        channel.wrote_at = 0  # long ago
    desk.loop.run_later()

    for each in (peer, filtered):
        assert each.seqs == [2, 5]
        assert each.got.count(b'"from":3') == 1
        assert b'"text":"bcd"' in each.got


def test_superseded_events_are_skipped_from_level_2_on(desk: Desk) -> None:
    peer = Peer()
    desk.level = 2
    desk.lent(peer)

    desk.storage.log.append(desk.job, [progress(1), delta("a"), progress(2), progress(3)])
    desk.loop.run()

    assert peer.seqs == [3, 5]
    assert peer.got.count(b'"from":2') == peer.got.count(b'"from":4') == 1


def test_a_replay_at_level_0_is_whole_also_when_others_were_thinned(desk: Desk) -> None:
    desk.append("a", "b", "c")
    desk.level = 1
    channel = desk.channels.join(desk.job, SSE)
    desk.channels.join(desk.job, SSE)
    thinned = channel.next(1)
    desk.level = 0

    whole = channel.next(1)

    assert thinned is not None
    assert whole is not None
    assert (thinned.data.count(b"data: "), whole.data.count(b"data: ")) == (1, 3)
    assert thinned.end == whole.end == 4


def test_what_is_left_after_a_write_does_not_wait_for_the_next_frame(storage: Storage) -> None:
    desk, peer = Desk(storage, write_events=2), Peer()
    desk.level = 1
    desk.lent(peer)

    desk.append(*"abcde")
    desk.loop.run()

    assert peer.seqs[-1] == 6
    assert desk.loop.later == []


def test_a_reader_who_is_ahead_of_the_others_waits_for_them(desk: Desk) -> None:
    peer, waiting = Peer(), Peer()
    channel = desk.lent(peer)
    desk.append("a")  # the writer has not had its turn

    chunk = channel.next(2)

    assert chunk is not None
    assert not chunk.events
    assert not channel.lend(waiting.line, 2)
    assert channel.await_others(2, waiting)
    assert waiting.woken == 0
    desk.loop.run()
    assert waiting.woken == 1
    assert channel.lend(waiting.line, 2)


def test_a_reader_who_is_ahead_is_woken_when_the_others_have_gone(desk: Desk) -> None:
    peer, waiting = Peer(), Peer()
    channel = desk.lent(peer)
    desk.append("a")
    assert channel.await_others(2, waiting)

    channel.take_back(peer.line)

    assert waiting.woken == 1
    assert not channel.await_others(2, waiting)
    assert channel.lend(waiting.line, 2)


def test_a_reader_who_catches_up_goes_no_further_than_the_others_are(desk: Desk) -> None:
    desk.append("a", "b")
    peer = Peer()
    channel = desk.lent(peer, after=3)
    desk.append("c", "d")

    chunk = channel.next(1)

    assert chunk is not None
    assert chunk.end == 3
    assert channel.lend(Peer().line, 3)


def test_who_is_ahead_of_the_log_is_left_to_the_cursor_while_others_watch(desk: Desk) -> None:
    channel = desk.lent(Peer(), Peer())

    assert channel.next(99) is None
    assert not channel.lend(Peer().line, 99)


def test_chunks_are_kept_no_longer_than_their_channel_and_count_when_empty(desk: Desk) -> None:
    form = Form("sse", types=frozenset({"metric"}))
    channels = [desk.channels.join(desk.job, form) for _ in range(2)]
    channels[0].lend(Peer().line, 1)
    for _ in range(20):
        desk.append("not a metric")
        desk.loop.run()
    assert len(desk.writer.chunks) == 20
    assert desk.writer.chunks.bytes == 20 * CHUNK_BYTES

    for channel in channels:
        desk.channels.leave(channel)

    assert (len(desk.writer.chunks), desk.writer.chunks.bytes) == (0, 0)


def test_a_page_that_is_thinned_meanwhile_is_not_kept_as_whole(desk: Desk) -> None:
    channels = [desk.channels.join(desk.job, SSE) for _ in range(2)]
    desk.append("a", "b")

    desk.writer.level = iter([0, 1, 0, 0, 0]).__next__
    channels[0].next(1)

    made = [desk.writer.chunks.get(channels[0], 1, level) for level in (0, 1)]
    assert len(desk.writer.chunks) == 1
    [(level, chunk)] = [(level, chunk) for level, chunk in enumerate(made) if chunk is not None]
    assert (level == 1) == (b'"from"' in chunk.data)
