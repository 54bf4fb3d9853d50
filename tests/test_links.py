"""A link whose other end goes away, and what only a link does."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from streaming.concurrency.sockets import native_pair
from streaming.concurrency.waking import make_waker
from streaming.errors import InvalidInput, NotFound, Unavailable
from streaming.storage.link import LinkSnapshots, Peer
from streaming.storage.link.peer import GATHER_S
from streaming.storage.link.wire import pack_error, unpack_error
from streaming.storage.memory import MemoryStorage
from tests.jobs import completed, delta, events_of, new_job, seqs, started
from tests.links import LinkedStorage
from tests.storage.conftest import make_sqlite
from tests.threads import Background, eventually


@pytest.fixture
def linked() -> Iterator[LinkedStorage]:
    made = LinkedStorage(MemoryStorage(resources={"gpu": 1}))
    made.open(timeout=1)
    yield made
    made.close()


def test_what_is_asked_of_a_link_that_is_over_is_unavailable(linked: LinkedStorage) -> None:
    job = new_job(linked)
    linked.break_off()

    for ask in (
        lambda: linked.index.get(job),
        lambda: linked.log.append(job, [delta()]),
        lambda: linked.log.post(job, [delta()], attempt=1).result(),
        lambda: linked.log.read(job, 1, timeout=10),
    ):
        with pytest.raises(Unavailable):
            ask()


def test_who_waits_when_the_link_ends_waits_no_longer(linked: LinkedStorage) -> None:
    job = new_job(linked)
    waiting = Background(lambda: linked.log.read(job, 1, timeout=60))
    assert not waiting.ends_within(0.1)

    linked.break_off()

    with pytest.raises(Unavailable):
        waiting.result()


def test_the_leases_of_the_other_end_are_free_when_it_is_gone(linked: LinkedStorage) -> None:
    linked.leases.request("job_1", {"gpu": 1})

    linked.peer.close()

    eventually(lambda: linked.served.leases.pools()["gpu"].taken == 0)


def test_posts_behind_one_that_was_refused_are_refused_though_it_was_told_before(
    tmp_path: Path,
) -> None:
    linked = LinkedStorage(make_sqlite(tmp_path))
    linked.open(timeout=1)
    job = new_job(linked)
    linked.log.append(job, [started()], attempt=1)
    first = linked.log.post(job, [delta()], attempt=1)
    refused = linked.log.post(job, [delta()], attempt=0, after=first)
    chained = linked.log.post(job, [delta()], attempt=1, after=refused)

    for post in (refused, chained):
        with pytest.raises(Exception, match="was followed by attempt 1"):
            post.result()
    first.result()
    assert seqs(events_of(linked, job)) == [1, 2, 3]
    linked.close()


def test_a_frame_that_comes_in_pieces_and_many_that_come_at_once_are_all_handled(
    linked: LinkedStorage,
) -> None:
    job = new_job(linked)
    linked.log.append(job, [started()], attempt=1)

    large = linked.log.post(job, [delta("x" * 3_000_000)], attempt=1)
    posts = [linked.log.post(job, [delta()], attempt=1) for _ in range(3000)]

    for post in [large, *posts]:
        post.result()
    assert seqs(events_of(linked, job)) == list(range(1, 3004))


def test_an_error_comes_over_with_all_that_it_says() -> None:
    error = InvalidInput.of([("input.word", "too long")], code="odd")

    got = unpack_error(pack_error(error))

    assert type(got) is InvalidInput
    assert (got.detail, got.code, got.extra) == (error.detail, "odd", error.extra)


def test_what_an_attempt_begins_with_comes_over_in_one_piece(linked: LinkedStorage) -> None:
    snapshots = LinkSnapshots(linked, linked.peer)
    job = new_job(linked, input={"prompt": "Tides"})
    linked.log.append(job, [started(), delta("so far")], attempt=1, records={"step:one": b"1"})

    found = snapshots.standing(job)

    assert found is not None
    assert (found.row, found.records) == (linked.index.get(job), linked.log.records(job))
    assert found.state.public() == snapshots.state(job).public()
    assert (found.state.text, found.records["step:one"]) == ("so far", b"1")
    linked.log.append(job, [completed()], attempt=1)
    assert snapshots.standing(job) is None
    assert snapshots.standing("job_unknown") is None


def test_posts_gather_to_frames_as_far_apart_as_commits_that_nobody_waits_for() -> None:
    ours, theirs = native_pair()
    frames: list[Sequence[int]] = []
    sender = Peer(ours, name="sender", inline=True)
    taker = Peer(theirs, name="taker", notes={"posts": frames.append})
    for peer in (sender, taker):
        peer.start()
    began = time.monotonic()

    for number in range(100):
        sender.share("posts", number)
        time.sleep(0.001)
    took_s = time.monotonic() - began

    eventually(lambda: sum(len(posts) for posts in frames) == 100)
    assert len(frames) <= took_s / GATHER_S + 2
    for peer in (sender, taker):
        peer.close()


def test_a_look_that_blocks_does_not_hold_up_the_others(linked: LinkedStorage) -> None:
    linked.leases.request("job_1", {"gpu": 1})
    linked.leases.request("job_2", {"gpu": 1})
    waiting = Background(lambda: linked.leases.wait("job_2", 1, 60, make_waker()))

    with pytest.raises(NotFound):
        linked.leases.position("job_3")

    linked.leases.release("job_1")
    waiting.result()
    assert linked.leases.position("job_2") == 0
