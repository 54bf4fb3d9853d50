"""The fold: a job's present state, from the whole log or from a base and the rest."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from streaming.errors import Damaged, NotFound
from streaming.events.event import Draft, Event, dumps
from streaming.events.snapshot import Snapshot
from streaming.storage.memory import MemoryStorage
from streaming.storage.snapshots import CACHED_FOLDS, CACHED_TEXT, Snapshots
from tests.jobs import (
    answered,
    artifact,
    asked_for,
    completed,
    delta,
    metric,
    new_job,
    reset,
    started,
    step,
)
from tests.logs import cancel_requested, drafts, empty, events, fold, handed_over
from tests.storage.formats.write_base import JOB, folded
from tests.threads import together

#: What versions of this program have kept (formats/write_base.py).
BASES = sorted((Path(__file__).parent / "storage/formats").glob("*.base"))


def timed(*following: tuple[float, Draft]) -> list[Event]:
    """A log whose events come at the given seconds."""
    log = events()
    for seq, (second, draft) in enumerate(following, start=2):
        at = f"2026-01-01T00:{int(second) // 60:02}:{second % 60:06.3f}Z"
        log.append(Event.of("job_a", seq, Draft(draft.type, draft.data, at=at)))
    return log


def test_a_snapshot_has_the_members_of_the_contract() -> None:
    shown = fold(events(started(), completed())).public()

    expected = (
        "id task title input status created_at started_at finished_at attempt progress steps texts "
        "text metrics alerts leases input_request output error usage artifacts metadata seq "
        "degraded finish_reason cut simulated"
    )
    assert set(shown) == set(expected.split())


def test_texts_are_in_order_of_their_first_appearance() -> None:
    shown = fold(
        events(delta("b1", "b"), delta("a1", "a"), delta("b2", "b"), reset("b"), delta("b3", "b"))
    ).public()

    assert shown["texts"] == [{"item": "b", "text": "b3"}, {"item": "a", "text": "a1"}]
    assert shown["text"] == "b3a1"


def test_steps_are_shown_with_their_newest_state() -> None:
    log = events(step("a", "pending", 1, 2), step("b", "pending", 2, 2), step("a", "running", 1, 2))

    assert fold(log).public()["steps"] == [
        {"id": "a", "index": 1, "total": 2, "title": "a", "status": "running", "duration_s": None},
        {"id": "b", "index": 2, "total": 2, "title": "b", "status": "pending", "duration_s": None},
    ]


def test_output_metrics_and_artifacts_are_shown() -> None:
    log = events(started(), metric("n", 3), artifact("a.txt", 4), completed({"text": "x"}))

    shown = fold(log).public()

    assert shown["output"] == {"text": "x"}
    assert [each["value"] for each in shown["metrics"]] == [3]
    assert [each["name"] for each in shown["artifacts"]] == ["a.txt"]


@given(st.lists(st.builds(delta, st.text(st.characters(exclude_categories=["Cs"])))))
def test_the_text_is_what_the_deltas_say_byte_for_byte(deltas: list[Draft]) -> None:
    state = fold(events(*deltas))

    assert state.text == "".join(draft.data["text"] for draft in deltas)
    assert state.text_size == len(state.text)


@given(drafts(), st.data())
@settings(max_examples=80)
def test_a_base_and_the_rest_are_the_whole(following: list[Draft], data: st.DataObject) -> None:
    log = events(*following)
    split = data.draw(st.integers(0, len(log)))

    base = Snapshot.load(fold(log[:split]).dump())

    assert fold(log[split:], onto=base).dump() == fold(log).dump()


@pytest.mark.parametrize("path", BASES, ids=lambda path: path.stem)
def test_a_fold_that_an_older_version_has_kept_is_read_whole(path: Path) -> None:
    state = Snapshot.load(path.read_bytes())

    shown = state.public()
    assert (shown["id"], shown["seq"], shown["status"]) == (JOB, 17, "cancelling")
    assert state.texts == {"one": "grüß Gott 🚀", "two": "half a"}
    assert state.text_size == len(state.text)
    assert [each["status"] for each in shown["steps"]] == ["completed", "running"]
    assert [each["name"] for each in shown["artifacts"]] == ["a.txt"]
    assert state.unfinished_items() == ["two"]
    recovery = state.recovery
    assert recovery.asked["input"] == {"path": "/tmp/diary"}
    assert (recovery.answers, recovery.unanswered) == ({"job.1": {"a": [1]}}, ["job.2"])
    assert (recovery.cancel_reason, recovery.basic) == ("enough", True)
    assert (recovery.lost_attempts, recovery.lost_trials) == (2, 2)
    assert (recovery.running_s, recovery.running_steps) == (6.0, ["two"])
    assert recovery.ran_s(datetime(2026, 1, 1, 0, 0, 14, tzinfo=UTC).timestamp()) == 8.0


@pytest.mark.parametrize("path", BASES, ids=lambda path: path.stem)
def test_an_older_version_can_read_what_is_kept_today(path: Path) -> None:
    older, kept = json.loads(path.read_bytes()), json.loads(folded().dump())

    assert kept == {**older, **{name: kept[name] for name in kept.keys() - older.keys()}}


def test_what_a_newer_version_has_kept_besides_stays(memory: MemoryStorage) -> None:
    kept = {**json.loads(empty().dump()), "future": {"of": ["a"]}}

    copied = Snapshot.load(json.dumps(kept).encode()).copy()

    assert json.loads(copied.dump()) == kept


@pytest.mark.parametrize(
    "kept", [b"", b"[]", b"{}", b'{"form": 2}', b'{"form": "x"}'], ids=lambda kept: kept.decode()
)
def test_a_fold_that_cannot_be_read_counts_as_damaged(kept: bytes) -> None:
    with pytest.raises(Damaged):
        Snapshot.load(kept)


def test_what_clients_are_shown_says_nothing_of_recovery() -> None:
    log = events(started(1), step("a", "running"), started(2))

    assert not fold(log).public().keys() & json.loads(dumps(fold(log).recovery.to_json())).keys()


@given(drafts())
def test_a_copy_goes_its_own_way(following: list[Draft]) -> None:
    state = fold(events(*following))
    before = state.dump()

    copy = state.copy()
    copy.apply(Event.of("job_a", state.seq + 1, delta("more", "new item")))

    assert state.dump() == before
    assert copy.text_of("new item") == "more"


def test_items_of_steps_that_have_not_completed_are_unfinished() -> None:
    log = events(
        started(),
        step("a", "running"), delta("x", "a"), step("a", "completed"),
        step("b", "running"), delta("x", "b"), delta("y", "other"), step("b", "failed"),
        delta("of no step", "answer"), delta("x", "gone"), reset("gone"),
    )  # fmt: skip

    assert fold(log).unfinished_items() == ["b", "other", "answer"]


def test_text_behind_an_inner_step_belongs_to_the_outer_one() -> None:
    log = events(
        started(),
        step("outer", "running"), step("inner", "running"), delta("x", "inner"),
        step("inner", "completed"), delta("x", "outer"), step("outer", "completed"),
    )  # fmt: skip

    assert fold(log).unfinished_items() == []


def test_attempts_that_end_without_a_word_are_counted_as_lost() -> None:
    assert fold(events(started(1), started(2))).recovery.lost_attempts == 2
    assert fold(events(started(1), step("a", "completed"), started(2))).recovery.lost_attempts == 1
    assert fold(events(started(1), handed_over(), started(2))).recovery.lost_attempts == 1


def test_answers_and_the_reason_of_a_cancel_are_kept() -> None:
    log = events(
        started(), asked_for("job.1"), answered({"a": 1}, "job.1"), answered("fed", None),
        cancel_requested("enough"),
    )  # fmt: skip
    state = fold(log)

    assert state.recovery.answers == {"job.1": {"a": 1}}
    assert state.recovery.cancel_reason == "enough"


def test_running_time_is_that_of_all_attempts_before() -> None:
    log = timed(
        (10, started(1)), (14, delta()), (100, started(2)), (103, delta()), (200, started(3))
    )

    assert fold(log).recovery.running_s == 7  # 10 to 14, 100 to 103: what came then is not known


def test_waiting_for_people_is_no_running_time() -> None:
    log = timed(
        (0, started(1)), (5, asked_for()), (500, answered("x")), (502, delta()), (600, started(2))
    )

    assert fold(log).recovery.running_s == 7


def test_the_present_state_is_that_of_the_log(memory: MemoryStorage, snapshots: Snapshots) -> None:
    job = new_job(memory)

    for number in range(5):
        memory.log.append(job, [delta(str(number)) for _ in range(300)])
        shown = snapshots.public(job)
        assert shown["seq"] == 300 * (number + 1) + 1
        assert len(shown["text"]) == 300 * (number + 1)


def test_a_state_is_the_callers_own(memory: MemoryStorage, snapshots: Snapshots) -> None:
    job = new_job(memory)

    snapshots.state(job).apply(Event.of(job, 2, delta("of the caller")))

    assert snapshots.public(job)["text"] == ""


def test_the_fold_of_a_trimmed_log_goes_on_from_its_base(memory: MemoryStorage) -> None:
    job = new_job(memory)
    memory.log.append(job, [delta(str(n)) for n in range(10)])
    before = Snapshots(memory.log, memory.index).public(job)

    base = Snapshots(memory.log, memory.index).state_at(job, 7)
    memory.log.trim(job, 7, base.dump())

    assert Snapshots(memory.log, memory.index).public(job) == before


def test_a_fold_that_was_overtaken_by_a_trim_goes_on(
    memory: MemoryStorage, snapshots: Snapshots
) -> None:
    job = new_job(memory)
    snapshots.public(job)
    memory.log.append(job, [delta(str(n)) for n in range(10)])

    memory.log.trim(job, 8, snapshots.state_at(job, 8).dump())

    assert snapshots.public(job)["text"] == "0123456789"


def test_a_state_in_the_past_is_that_of_its_events(
    memory: MemoryStorage, snapshots: Snapshots
) -> None:
    job = new_job(memory)
    memory.log.append(job, [delta(str(n)) for n in range(9)])

    assert [snapshots.state_at(job, seq).text for seq in (1, 4, 10)] == ["", "012", "012345678"]


def test_there_is_no_state_of_a_job_that_is_not_there(
    memory: MemoryStorage, snapshots: Snapshots
) -> None:
    job = new_job(memory)
    snapshots.public(job)
    memory.index.remove(job, tombstone=True)

    for unknown in ("job_unknown", job):
        with pytest.raises(NotFound):
            snapshots.public(unknown)
        with pytest.raises(NotFound):
            snapshots.state(unknown)


def test_a_bounded_number_of_folds_is_kept(memory: MemoryStorage, snapshots: Snapshots) -> None:
    jobs = [new_job(memory) for _ in range(CACHED_FOLDS + 50)]

    shown = [snapshots.public(job) for job in jobs]

    assert snapshots.cached[0] == CACHED_FOLDS
    assert [snapshots.public(job) for job in jobs] == shown


def test_folds_of_a_bounded_size_are_kept(memory: MemoryStorage, snapshots: Snapshots) -> None:
    jobs = [new_job(memory) for _ in range(6)]
    for job in jobs:
        memory.log.append(job, [delta("x" * (CACHED_TEXT // 4))])
        snapshots.public(job)

    folds, size = snapshots.cached
    assert folds >= 3
    assert CACHED_TEXT // 2 < size <= CACHED_TEXT


def test_a_dropped_fold_is_kept_no_more(memory: MemoryStorage, snapshots: Snapshots) -> None:
    job = new_job(memory)
    snapshots.public(job)

    snapshots.drop(job)
    snapshots.drop("job_unknown")

    assert snapshots.cached == (0, 0)


def test_many_readers_of_one_fold_see_whole_states(
    memory: MemoryStorage, snapshots: Snapshots
) -> None:
    job = new_job(memory)

    def write() -> None:
        for _ in range(100):
            memory.log.append(job, [delta("ab", "one"), delta("cd", "two")])

    def read() -> None:
        for _ in range(100):
            shown = snapshots.public(job)
            assert len(shown["text"]) == 2 * (shown["seq"] - 1)

    assert [each for each in together([write, read, read, read]) if each] == []


def test_an_empty_fold_is_a_queued_job() -> None:
    assert (empty().public()["status"], empty().seq) == ("queued", 0)
