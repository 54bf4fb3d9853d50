"""What `EventLog.post` promises, for every storage."""

from __future__ import annotations

from pathlib import Path

import pytest

from streaming.concurrency.pending import Pending, settle
from streaming.errors import Fenced, LogClosed, Unavailable
from streaming.storage.base import Storage
from tests.disk import Disk
from tests.jobs import completed, delta, events_of, new_job, seqs, started
from tests.threads import eventually


def begun_job(storage: Storage) -> str:
    job = new_job(storage)
    storage.log.append(job, [started()], attempt=1)
    return job


def test_posts_are_committed_in_order_and_an_append_comes_behind_them(storage: Storage) -> None:
    job = begun_job(storage)
    last: Pending[object] | None = None

    for number in range(200):
        last = storage.log.post(job, [delta(f"{number} ")], attempt=1, after=last)
    storage.log.append(job, [completed()], attempt=1)

    events = events_of(storage, job)
    assert "".join(event.data.get("text", "") for event in events[2:-1]) == "".join(
        f"{number} " for number in range(200)
    )
    assert events[-1].type == "job.completed"
    assert seqs(events) == list(range(1, 204))


def test_a_post_is_committed_when_its_result_is_there(storage: Storage) -> None:
    job = begun_job(storage)

    post = storage.log.post(job, [delta()], attempt=1)

    post.result()
    assert (post.done, post.error) == (True, None)
    assert seqs(events_of(storage, job)) == [1, 2, 3]


def test_a_post_to_a_closed_log_fails_when_it_is_asked_for(storage: Storage) -> None:
    job = begun_job(storage)
    storage.log.append(job, [completed()], attempt=1)

    with pytest.raises(LogClosed):
        storage.log.post(job, [delta()], attempt=1).result()


def test_a_post_of_an_older_attempt_is_refused(storage: Storage) -> None:
    job = begun_job(storage)
    storage.log.append(job, [started(2)], attempt=2)

    with pytest.raises(Fenced):
        storage.log.post(job, [delta()], attempt=1).result()
    assert seqs(events_of(storage, job)) == [1, 2, 3]


def failed() -> Pending[object]:
    """A post that has failed, while the log is open."""
    post: Pending[object] = Pending()
    post.error = Unavailable("no room")
    settle([post])
    return post


def test_a_post_fails_with_the_one_before_it(storage: Storage) -> None:
    job = begun_job(storage)

    with pytest.raises(Unavailable):
        storage.log.post(job, [delta()], attempt=1, after=failed()).result()
    assert seqs(events_of(storage, job)) == [1, 2]


def test_what_waits_for_room_on_the_disk_keeps_its_order(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    job = begun_job(disk.storage)
    disk.fill()
    last: Pending[object] | None = None

    # The large ones do not fit, the small ones would.
    for number in range(20):
        text = f"{number} " + "x" * (100_000 if number % 5 == 0 else 0)
        last = disk.storage.log.post(job, [delta(text)], attempt=1, after=last)
    eventually(disk.storage.fault)
    disk.make_room()

    assert last is not None
    last.result()
    texts = [event.data["text"] for event in events_of(disk.storage, job)[2:]]
    assert [int(text.split()[0]) for text in texts] == list(range(20))
    disk.storage.close()


def test_the_end_of_a_job_does_not_overtake_what_it_has_said(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    job = begun_job(disk.storage)
    disk.fill()
    said = disk.storage.log.post(job, [delta("x" * 100_000)], attempt=1)
    eventually(disk.storage.fault)

    with pytest.raises(Unavailable):  # though it would fit
        disk.storage.log.append(job, [completed()], attempt=1, patient=False)
    disk.make_room()
    said.result()

    disk.storage.log.append(job, [completed()], attempt=1)
    assert [event.type for event in events_of(disk.storage, job)[2:]] == [
        "text.delta",
        "job.completed",
    ]
    disk.storage.close()


def test_what_gives_up_waiting_takes_all_behind_it_along(tmp_path: Path) -> None:
    disk = Disk(tmp_path, patience_s=0.05)
    job = begun_job(disk.storage)
    disk.fill()

    first = disk.storage.log.post(job, [delta("x" * 100_000)], attempt=1)
    second = disk.storage.log.post(job, [delta("small")], attempt=1, after=first)

    for post in (first, second):
        with pytest.raises(Unavailable):
            post.result()
    assert seqs(events_of(disk.storage, job)) == [1, 2]
    disk.storage.close()
