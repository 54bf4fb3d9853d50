"""What `JobIndex` promises, for every storage."""

from __future__ import annotations

import math
import time

import pytest

from streaming.errors import Conflict, NotFound
from streaming.storage.base import Storage
from streaming.storage.rows import JobRow
from tests.jobs import completed, delta, ended_job, events_of, new_job, started, submission, types
from tests.threads import together


def ids(rows: list[JobRow]) -> list[str]:
    return [row.id for row in rows]


def test_a_new_job_is_there_with_its_first_event(storage: Storage) -> None:
    asked = submission(owner="ann", task="write", metadata={"a": [1]})

    row, new = storage.index.submit(asked)

    assert new
    assert (row.id, row.owner, row.task, row.status, row.seq) == (
        asked.id, "ann", "write", "queued", 1,
    )  # fmt: skip
    assert row.summary.metadata == {"a": [1]}
    assert storage.index.get(row.id) == row
    assert types(events_of(storage, row.id)) == ["job.queued"]


def test_there_is_no_row_of_an_unknown_job(storage: Storage) -> None:
    assert storage.index.get("job_unknown") is None


def test_the_same_key_and_digest_find_the_same_job(storage: Storage) -> None:
    first, _ = storage.index.submit(submission(key="k", digest="d"))
    storage.log.append(first.id, [started(), completed()])

    again, new = storage.index.submit(submission(key="k", digest="d"))

    assert not new
    assert (again.id, again.status) == (first.id, "completed")
    assert ids(storage.index.list()) == [first.id]


def test_the_same_key_with_another_digest_is_a_conflict(storage: Storage) -> None:
    storage.index.submit(submission(key="k", digest="d"))

    with pytest.raises(Conflict) as refused:
        storage.index.submit(submission(key="k", digest="another"))

    assert refused.value.code == "idempotency_conflict"
    assert len(storage.index.list()) == 1


def test_private_records_are_committed_with_the_job(storage: Storage) -> None:
    kept = {"origin": b'{"version": 1}', "other": b"\x00\xff"}

    row, _ = storage.index.submit(submission(key="k", digest="d", records=kept))
    again, new = storage.index.submit(submission(key="k", digest="d", records={"origin": b"no"}))
    storage.log.append(row.id, [started()], attempt=1, records={"step:a": b"1"})

    assert (again.id, new) == (row.id, False)
    assert dict(storage.log.records(row.id)) == {**kept, "step:a": b"1"}


def test_a_key_belongs_to_its_owner(storage: Storage) -> None:
    ann, _ = storage.index.submit(submission(owner="ann", key="k", digest="d"))
    bob, new = storage.index.submit(submission(owner="bob", key="k", digest="d"))

    assert new
    assert ann.id != bob.id


def test_jobs_without_a_key_are_all_new(storage: Storage) -> None:
    assert all(storage.index.submit(submission(digest="d"))[1] for _ in range(3))


def test_a_submission_may_ask_for_known_jobs_only(storage: Storage) -> None:
    with pytest.raises(NotFound):
        storage.index.submit(submission(key="k", digest="d"), only_known=True)
    assert storage.index.list() == []

    first, _ = storage.index.submit(submission(key="k", digest="d"))

    again, new = storage.index.submit(submission(key="k", digest="d"), only_known=True)
    assert (again.id, new) == (first.id, False)


@pytest.mark.parametrize("tombstone", [True, False], ids=["expired", "deleted"])
def test_a_key_lasts_as_long_as_its_job(storage: Storage, tombstone: bool) -> None:
    first, _ = storage.index.submit(submission(key="k", digest="d"))
    storage.index.remove(first.id, tombstone=tombstone)

    second, new = storage.index.submit(submission(key="k", digest="d"))

    assert new
    assert second.id != first.id


def test_many_threads_with_one_key_make_one_job(storage: Storage) -> None:
    calls = [lambda: storage.index.submit(submission(key="k", digest="d"))] * 12

    results = [each for each in together(calls) if not isinstance(each, Exception)]

    assert len(results) == 12
    assert [new for _, new in results].count(True) == 1
    assert len({row.id for row, _ in results}) == 1
    assert all(row.seq == 1 for row, _ in results)
    assert ids(storage.index.list()) == [results[0][0].id]


def test_of_many_threads_with_one_key_and_different_requests_one_wins(storage: Storage) -> None:
    results = together(
        [lambda n=n: storage.index.submit(submission(key="k", digest=str(n))) for n in range(8)]
    )

    assert sum(isinstance(each, Conflict) for each in results) == 7
    assert len(storage.index.list()) == 1


def test_a_list_is_newest_first(storage: Storage) -> None:
    jobs = [new_job(storage) for _ in range(5)]

    assert ids(storage.index.list()) == jobs[::-1]


def test_a_list_is_as_new_as_the_logs(storage: Storage) -> None:
    job = new_job(storage)

    row = storage.log.append(job, [started(), delta(), completed()])

    assert storage.index.list() == [row]
    assert (row.status, row.seq, row.summary.progress["percent"]) == ("completed", 4, 100)


def test_a_list_is_of_one_owner(storage: Storage) -> None:
    mine = [new_job(storage, owner="ann") for _ in range(2)]
    new_job(storage, owner="bob")

    assert ids(storage.index.list(owner="ann")) == mine[::-1]
    assert storage.index.list(owner="nobody") == []


def test_a_list_is_of_some_states(storage: Storage) -> None:
    waits, runs, done = new_job(storage), new_job(storage), ended_job(storage)
    storage.log.append(runs, [started()])

    assert ids(storage.index.list(statuses=["running"])) == [runs]
    assert ids(storage.index.list(statuses=["queued", "completed"])) == [done, waits]
    assert storage.index.list(statuses=["failed"]) == []


def test_a_list_is_of_one_task(storage: Storage) -> None:
    found = new_job(storage, task="report")
    new_job(storage, task="write")

    assert ids(storage.index.list(task="report")) == [found]


def test_filters_of_a_list_add_up(storage: Storage) -> None:
    wanted = ended_job(storage, owner="ann", task="report")
    ended_job(storage, owner="bob", task="report")
    ended_job(storage, owner="ann", task="write")
    new_job(storage, owner="ann", task="report")

    found = storage.index.list(owner="ann", task="report", statuses=["completed"])

    assert ids(found) == [wanted]


def test_pages_of_a_list_have_each_job_once_while_others_come(storage: Storage) -> None:
    jobs = [new_job(storage) for _ in range(7)]

    found: list[str] = []
    while page := storage.index.list(before=found[-1] if found else None, limit=3):
        assert len(page) <= 3
        found += ids(page)
        new_job(storage)

    assert found == jobs[::-1]


def test_a_removed_job_is_gone_with_all_that_it_had(storage: Storage) -> None:
    job = new_job(storage)
    storage.log.append(job, [delta()], records={"step:a": b"1"})
    storage.log.trim(job, 1, b"{}")

    storage.index.remove(job, tombstone=False)

    assert storage.index.get(job) is None
    assert storage.index.list() == []
    assert storage.log.base(job) is None
    assert storage.log.records(job) == {}
    assert storage.size() == 0
    with pytest.raises(NotFound):
        storage.log.page(job, 0, 10)


def test_a_tombstone_is_all_that_is_left_of_an_expired_job(storage: Storage) -> None:
    job = ended_job(storage, owner="ann")

    storage.index.remove(job, tombstone=True)

    row = storage.index.get(job)
    assert row is not None
    assert (row.owner, row.expired, row.size) == ("ann", True, 0)
    assert storage.index.list() == []
    assert storage.log.records(job) == {}
    assert storage.size() == 0
    with pytest.raises(NotFound):
        storage.log.page(job, 0, 10)


def test_a_tombstone_is_removed_like_a_job(storage: Storage) -> None:
    job = ended_job(storage)
    storage.index.remove(job, tombstone=True)

    storage.index.remove(job, tombstone=False)

    assert storage.index.get(job) is None
    assert list(storage.index.due(math.inf)) == []


def test_removing_what_is_not_there_does_nothing(storage: Storage) -> None:
    job = new_job(storage)

    storage.index.remove("job_unknown", tombstone=True)
    storage.index.remove("job_unknown", tombstone=False)

    assert ids(storage.index.list()) == [job]


def test_a_job_that_was_removed_among_appends_leaves_nothing_to_the_next(storage: Storage) -> None:
    for _ in range(10):
        job = new_job(storage)
        write = [lambda job=job: storage.log.append(job, [delta(), delta()])] * 3
        together([*write, lambda job=job: storage.index.remove(job, tombstone=False)])

        assert types(events_of(storage, new_job(storage))) == ["job.queued"]


def test_ended_jobs_are_due_when_their_time_is_over_the_earliest_first(storage: Storage) -> None:
    now = time.time()
    late, soon = ended_job(storage, ttl_s=200), ended_job(storage, ttl_s=100)
    new_job(storage)

    assert list(storage.index.due(now + 50)) == []
    assert list(storage.index.due(now + 150)) == [soon]
    assert list(storage.index.due(now + 250)) == [soon, late]


def test_tombstones_are_due_when_they_have_lasted(storage: Storage) -> None:
    job = ended_job(storage, ttl_s=0)
    storage.index.remove(job, tombstone=True)

    assert list(storage.index.due(time.time() + 60)) == []
    assert list(storage.index.due(time.time() + 90_000)) == [job]


def test_long_logs_are_those_that_keep_more_events_than_so_many(storage: Storage) -> None:
    long, short, old = new_job(storage), new_job(storage), new_job(storage)
    for job in (long, old):
        storage.log.append(job, [delta() for _ in range(10)])
    storage.index.remove(old, tombstone=True)

    assert ids(list(storage.index.long(5))) == [long]
    storage.log.trim(long, 6, b"{}")
    assert list(storage.index.long(5)) == []
    assert sorted(ids(list(storage.index.long(0)))) == [long, short]
