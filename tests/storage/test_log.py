"""What `EventLog.append` promises, for every storage."""

from __future__ import annotations

import pytest

from streaming.errors import Fenced, LogClosed, NotFound, Unexpected
from streaming.events.event import Draft
from streaming.storage.base import Storage
from streaming.storage.rows import JobRow
from tests.jobs import (
    artifact,
    cancelled,
    completed,
    delta,
    events_of,
    failed,
    new_job,
    said,
    seqs,
    started,
    types,
)
from tests.threads import together


def test_numbers_start_at_one_and_have_no_holes(storage: Storage) -> None:
    job = new_job(storage)

    storage.log.append(job, [started()])
    storage.log.append(job, [delta("a"), delta("b"), delta("c")])

    assert seqs(events_of(storage, job)) == [1, 2, 3, 4, 5]


def test_an_append_returns_the_row_as_the_index_has_it(storage: Storage) -> None:
    job = new_job(storage)

    row = storage.log.append(job, [started(), delta()])

    assert (row.seq, row.status, row.attempt) == (3, "running", 1)
    assert storage.index.get(job) == row
    assert storage.index.list() == [row]


def test_what_was_appended_is_there_when_the_append_returns(storage: Storage) -> None:
    job = new_job(storage)

    for number in range(20):
        row = storage.log.append(job, [delta(str(number))])
        assert storage.log.page(job, row.seq - 1, 9).events[0].data["text"] == str(number)


def test_an_event_comes_back_as_it_was_given(storage: Storage) -> None:
    job = new_job(storage)
    hostile = 'CR\r LF\n NUL\0 quote" back\\slash LS\u2028 NEL\x85 BOM\ufeff 漢字 👩‍💻'

    storage.log.append(job, [Draft("text.delta", {"item": "a", "text": hostile}, at="then")])

    event = events_of(storage, job)[-1]
    assert event.envelope == {
        "seq": 2,
        "type": "text.delta",
        "job": job,
        "at": "then",
        "data": {"item": "a", "text": hostile},
    }


def test_an_event_of_megabytes_comes_back_whole(storage: Storage) -> None:
    job, text = new_job(storage), "漢x" * 1_000_000

    storage.log.append(job, [delta(text), delta("end")])

    assert [event.data.get("text") for event in events_of(storage, job)] == [None, text, "end"]


def test_an_append_of_nothing_leaves_the_log_as_it_is(storage: Storage) -> None:
    job = new_job(storage)

    assert storage.log.append(job, []).seq == 1

    assert len(events_of(storage, job)) == 1


@pytest.mark.parametrize("end", [completed(), failed(), cancelled()], ids=lambda end: end.type)
def test_nothing_follows_a_terminal_event(storage: Storage, end: Draft) -> None:
    job = new_job(storage)
    row = storage.log.append(job, [end])

    with pytest.raises(LogClosed):
        storage.log.append(job, [delta()])

    assert row.closed
    assert types(events_of(storage, job)) == ["job.queued", end.type]


def test_an_append_that_goes_on_after_its_own_terminal_event_adds_nothing(storage: Storage) -> None:
    job = new_job(storage)

    with pytest.raises(LogClosed):
        storage.log.append(job, [delta(), completed(), delta()])

    assert types(events_of(storage, job)) == ["job.queued"]
    assert storage.log.append(job, [delta()]).seq == 2


def test_an_older_attempt_is_refused(storage: Storage) -> None:
    job = new_job(storage)
    storage.log.append(job, [started(2)], attempt=2)

    with pytest.raises(Fenced):
        storage.log.append(job, [delta("a zombie's")], attempt=1)

    assert types(events_of(storage, job)) == ["job.queued", "job.started"]


def test_the_present_attempt_and_those_outside_of_any_may_append(storage: Storage) -> None:
    job = new_job(storage)

    storage.log.append(job, [started(1)], attempt=1)
    storage.log.append(job, [delta()], attempt=1)
    storage.log.append(job, [Draft("job.cancel_requested", {"reason": None})])

    assert len(events_of(storage, job)) == 4


def test_one_of_many_claims_of_an_attempt_wins(storage: Storage) -> None:
    job = new_job(storage)

    def claim() -> JobRow:
        return storage.log.append(job, [started(1)], attempt=1, expect={"attempt": [0]})

    results = together([claim] * 8)

    assert sorted(type(each).__name__ for each in results) == ["JobRow"] + ["Unexpected"] * 7
    assert types(events_of(storage, job)) == ["job.queued", "job.started"]


def test_one_of_many_terminal_events_wins(storage: Storage) -> None:
    job = new_job(storage)

    results = together([lambda: storage.log.append(job, [delta(), completed()])] * 8)

    assert sum(isinstance(each, JobRow) for each in results) == 1
    assert sum(isinstance(each, LogClosed) for each in results) == 7
    assert types(events_of(storage, job)) == ["job.queued", "text.delta", "job.completed"]


def test_an_append_expects_what_the_row_must_have(storage: Storage) -> None:
    job = new_job(storage)

    storage.log.append(job, [said()], expect={"status": ("running", "queued")})
    with pytest.raises(Unexpected):
        storage.log.append(job, [said()], expect={"status": ("running",)})

    assert storage.log.append(job, []).seq == 2


def test_an_append_may_expect_a_member_of_a_member(storage: Storage) -> None:
    job = new_job(storage)
    asked = {"request": "step.1", "prompt": "Which?", "schema": None}
    with pytest.raises(Unexpected):  # not asked yet: the member is null
        storage.log.append(job, [said()], expect={"input_request.request": ("step.1",)})

    storage.log.append(job, [Draft("input.requested", asked)])

    assert storage.log.append(job, [said()], expect={"input_request.request": ("step.1",)}).seq == 3


def test_records_are_kept_beside_the_log_the_newest_of_each_name(storage: Storage) -> None:
    job, other = new_job(storage), new_job(storage)

    storage.log.append(job, [said()], records={"step:a": b"1", "checkpoint:": b"\0\xff"})
    storage.log.append(job, [], records={"step:a": b"2"})
    storage.log.append(other, [], records={"step:a": b"another job's"})

    assert dict(storage.log.records(job)) == {"step:a": b"2", "checkpoint:": b"\0\xff"}


def test_a_refused_append_leaves_no_record(storage: Storage) -> None:
    job = new_job(storage)
    storage.log.append(job, [started(2)], attempt=2)

    with pytest.raises(Fenced):
        storage.log.append(job, [said()], attempt=1, records={"step:a": b"1"})

    assert storage.log.records(job) == {}


def test_records_of_a_submission_and_of_appends_are_told_together(storage: Storage) -> None:
    job = new_job(storage, records={"origin": b"{}"})
    assert dict(storage.log.records(job)) == {"origin": b"{}"}

    storage.log.append(job, [said()], records={"step:a": b"1"})

    assert dict(storage.log.records(job)) == {"origin": b"{}", "step:a": b"1"}


def test_a_job_without_records_has_none(storage: Storage) -> None:
    assert storage.log.records(new_job(storage)) == {}


@pytest.mark.parametrize("tombstone", [True, False], ids=["expired", "deleted"])
def test_a_removed_job_takes_no_append(storage: Storage, tombstone: bool) -> None:
    job = new_job(storage)
    storage.index.remove(job, tombstone=tombstone)

    with pytest.raises(NotFound):
        storage.log.append(job, [delta()])


def test_an_unknown_job_takes_no_append(storage: Storage) -> None:
    with pytest.raises(NotFound):
        storage.log.append("job_unknown", [delta()])


def test_appends_of_many_threads_make_one_log_without_holes_or_doubles(storage: Storage) -> None:
    job = new_job(storage)

    def write(name: int) -> list[int]:
        return [storage.log.append(job, [delta(f"{name}.{n}")]).seq for n in range(40)]

    given = together([lambda name=name: write(name) for name in range(8)])

    events = events_of(storage, job)
    assert seqs(events) == list(range(1, 322))
    texts = {event.seq: event.data.get("text") for event in events}
    for name, found in enumerate(given):  # each thread was told the numbers of its own events
        assert [texts[seq] for seq in found] == [f"{name}.{n}" for n in range(40)]


def test_drafts_of_one_append_stay_together_among_many_threads(storage: Storage) -> None:
    job = new_job(storage)

    def write(name: str) -> None:
        for _ in range(20):
            storage.log.append(job, [delta(name), delta(name), delta(name)])

    together([lambda name=name: write(name) for name in "abcdef"])

    texts = [event.data["text"] for event in events_of(storage, job, after=1)]
    triples = [texts[start : start + 3] for start in range(0, len(texts), 3)]
    assert all(len(set(triple)) == 1 for triple in triples)


def test_jobs_are_numbered_each_for_itself(storage: Storage) -> None:
    jobs = [new_job(storage) for _ in range(6)]

    together(
        [lambda job=job: [storage.log.append(job, [delta()]) for _ in range(30)] for job in jobs]
    )

    assert all(seqs(events_of(storage, job)) == list(range(1, 32)) for job in jobs)


def test_a_row_counts_the_bytes_of_its_events_and_artifacts(storage: Storage) -> None:
    job = new_job(storage)

    row = storage.log.append(job, [delta("漢字"), artifact("a.txt", size=1000)])

    assert row.size == sum(len(event.json) for event in events_of(storage, job)) + 1000


def test_a_storage_is_as_large_as_its_jobs(storage: Storage) -> None:
    empty = storage.size()
    for _ in range(3):
        storage.log.append(new_job(storage), [delta("some text")])

    assert empty == 0
    assert storage.size() == sum(row.size for row in storage.index.list()) > 0
