"""The disk is full, and there is room again: nothing acknowledged is lost, and all goes on."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streaming.errors import LogClosed, Unavailable
from streaming.storage.sqlite import SqliteStorage
from tests.disk import Disk
from tests.jobs import completed, delta, ended_job, events_of, new_job, seqs, submission
from tests.storage.test_sqlite import held_up, waiting_commands
from tests.threads import TIMEOUT_S, Background, eventually, together

#: More than is free within the file's pages.
LARGE = "x" * 100_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path)
    yield made
    made.make_room()
    made.storage.close()


@pytest.fixture
def storage(disk: Disk) -> SqliteStorage:
    return disk.storage


def test_a_submission_is_refused_at_once_and_leaves_nothing(
    disk: Disk, storage: SqliteStorage
) -> None:
    disk.fill()

    with pytest.raises(Unavailable) as refused:
        storage.index.submit(submission(key="k", digest="d", input={"text": LARGE}))

    assert (refused.value.code, refused.value.retryable) == ("storage_away", True)
    assert storage.index.list() == []
    disk.make_room()
    assert storage.index.submit(submission(key="k", digest="d", input={"text": LARGE}))[1]


def test_an_append_waits_and_goes_on_when_there_is_room(disk: Disk, storage: SqliteStorage) -> None:
    job = new_job(storage)
    disk.fill()
    append = Background(storage.log.append, job, [delta(LARGE)])
    eventually(storage.fault)
    assert not append.ends_within(0.02)

    disk.make_room()

    assert append.result().seq == 2
    assert [event.data.get("text") for event in events_of(storage, job)] == [None, LARGE]


def test_an_append_gives_up_when_its_patience_is_over(tmp_path: Path) -> None:
    disk = Disk(tmp_path, patience_s=0.05)
    job = new_job(disk.storage)
    disk.fill()

    with pytest.raises(Unavailable):
        disk.storage.log.append(job, [delta(LARGE)], records={"step:a": b"1"})

    assert seqs(events_of(disk.storage, job)) == [1]
    assert disk.storage.log.records(job) == {}
    disk.storage.close()


def test_an_append_that_is_not_patient_is_refused_at_once(
    disk: Disk, storage: SqliteStorage
) -> None:
    job = new_job(storage)
    disk.fill()

    with pytest.raises(Unavailable):
        storage.log.append(job, [delta(LARGE)], patient=False)

    assert seqs(events_of(storage, job)) == [1]


def test_nothing_acknowledged_is_lost_and_nothing_is_written_twice(
    disk: Disk, storage: SqliteStorage
) -> None:
    jobs = [new_job(storage) for _ in range(4)]
    disk.fill()

    def write(job: str) -> list[int]:
        return [storage.log.append(job, [delta(LARGE[:9000])]).seq for _ in range(8)]

    writers = [Background(write, job) for job in jobs]
    eventually(storage.fault)
    disk.make_room()

    assert [writer.result() for writer in writers] == [list(range(2, 10))] * 4
    assert all(seqs(events_of(storage, job)) == list(range(1, 10)) for job in jobs)


def test_the_fault_names_the_file_until_there_is_room(disk: Disk, storage: SqliteStorage) -> None:
    assert storage.fault() is None
    disk.fill()

    with pytest.raises(Unavailable):
        new_job(storage, input={"text": LARGE})
    assert "streaming.db" in str(storage.fault())

    disk.make_room()
    eventually(lambda: storage.fault() is None)  # though nobody writes


def test_the_fault_is_over_with_the_first_write_that_gets_through(
    disk: Disk, storage: SqliteStorage
) -> None:
    job = new_job(storage)
    disk.fill()
    append = Background(storage.log.append, job, [delta(LARGE)])
    eventually(storage.fault)

    disk.make_room()
    append.result()

    assert storage.fault() is None


def test_who_does_not_wait_behind_others_of_its_job_is_told_what_they_wait_for(
    disk: Disk, storage: SqliteStorage
) -> None:
    job = new_job(storage)
    disk.fill()
    storage.log.post(job, [delta(LARGE)], attempt=0)
    eventually(storage.fault)

    with pytest.raises(Unavailable, match=r"streaming\.db.*full") as refused:
        storage.log.append(job, [delta()], patient=False)

    assert refused.value.code == "storage_away"


def test_a_refusal_while_the_disk_is_full_does_not_hide_the_fault(
    disk: Disk, storage: SqliteStorage
) -> None:
    job = ended_job(storage)
    disk.fill()
    with pytest.raises(Unavailable):
        new_job(storage, input={"text": LARGE})

    with pytest.raises(LogClosed):
        storage.log.append(job, [delta()])

    assert storage.fault() is not None


def test_everything_can_be_read_while_the_disk_is_full(disk: Disk, storage: SqliteStorage) -> None:
    job = new_job(storage)
    storage.log.append(job, [delta(str(n)) for n in range(500)])
    disk.fill()
    waiting = Background(storage.log.append, job, [delta(LARGE)])
    eventually(storage.fault)

    assert seqs(events_of(storage, job)) == list(range(1, 502))
    assert [row.id for row in storage.index.list()] == [job]
    disk.make_room()
    waiting.result()


def test_a_job_can_end_when_there_is_room_again(disk: Disk, storage: SqliteStorage) -> None:
    jobs = [new_job(storage) for _ in range(5)]
    disk.fill()
    ends = [Background(storage.log.append, job, [completed(LARGE)]) for job in jobs]
    eventually(storage.fault)

    disk.make_room()

    assert all(end.result().status == "completed" for end in ends)


def test_closing_answers_those_who_wait_for_room(disk: Disk, storage: SqliteStorage) -> None:
    job = new_job(storage)
    disk.fill()
    append = Background(storage.log.append, job, [delta(LARGE)])
    eventually(storage.fault)

    storage.close()

    with pytest.raises(Unavailable):
        append.result()


def test_closing_tries_once_more_what_waits_for_room(disk: Disk, storage: SqliteStorage) -> None:
    job = new_job(storage)
    disk.fill()
    append = Background(storage.log.append, job, [delta(LARGE)])
    eventually(storage.fault)

    disk.make_room()
    storage.close()

    assert append.result().seq == 2


def test_within_a_batch_a_small_append_does_not_overtake_a_large_one_of_its_job(
    disk: Disk, storage: SqliteStorage
) -> None:
    job, other = new_job(storage), new_job(storage)
    disk.fill()
    go_on = held_up(storage)
    appends = []
    for whose, text in [(job, LARGE), (job, "small"), (other, "small")]:
        appends.append(Background(storage.log.append, whose, [delta(text)]))
        eventually(lambda: waiting_commands(storage) == len(appends))
    go_on.set()
    large, small, elsewhere = appends

    assert elsewhere.result().seq == 2
    assert not small.ends_within(0.02)
    disk.make_room()

    assert (large.result().seq, small.result().seq) == (2, 3)


def test_removing_jobs_makes_room_too(disk: Disk, storage: SqliteStorage) -> None:
    old = [ended_job(storage, input={"text": LARGE}) for _ in range(4)]
    disk.fill()
    append = Background(storage.log.append, new_job(storage), [delta(LARGE)])
    eventually(storage.fault)

    together([lambda job=job: storage.index.remove(job, tombstone=True) for job in old])

    assert append.result().seq == 2


def test_nobody_waits_behind_the_patient_commands_of_many_jobs(
    disk: Disk, storage: SqliteStorage
) -> None:
    jobs = [new_job(storage) for _ in range(30)]
    disk.fill()
    posts = []
    for job in jobs:  # more than fit into one batch, and each too large for what is free
        before = None
        for _ in range(50):
            before = storage.log.post(job, [delta(LARGE[:700])], attempt=0, after=before)
        posts.append(before)
    eventually(storage.fault)

    began = time.monotonic()
    with pytest.raises(Unavailable):
        new_job(storage, input={"text": LARGE})
    with pytest.raises(Unavailable):
        storage.log.append(jobs[0], [delta(LARGE)], patient=False)
    assert time.monotonic() - began < 2 * TIMEOUT_S / 5

    disk.make_room()
    assert [post.result().seq for post in posts if post is not None] == [51] * 30
    assert all(seqs(events_of(storage, job)) == list(range(1, 52)) for job in jobs)


def test_who_asks_again_and_again_does_not_put_off_those_who_wait(
    disk: Disk, storage: SqliteStorage
) -> None:
    job = new_job(storage)
    disk.fill()
    post = storage.log.post(job, [delta(LARGE)], attempt=0)
    eventually(storage.fault)

    disk.make_room()
    until = time.monotonic() + TIMEOUT_S
    while not post.done and time.monotonic() < until:
        with contextlib.suppress(Unavailable):
            storage.log.append(job, [delta("more")], patient=False)

    assert post.done
    assert post.result().seq == 2
