"""The part of a job's state that lists show."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from streaming.events.event import Draft, dumps
from streaming.events.snapshot import public_summary
from streaming.events.summary import Summary, advance, blank
from streaming.storage.memory import MemoryStorage
from tests.jobs import (
    answered,
    artifact,
    asked_for,
    cancelled,
    completed,
    delta,
    failed,
    metric,
    new_job,
    progress,
    queued,
    reset,
    started,
    step,
)
from tests.logs import alert, cancel_requested, drafts, events, fold

AT = "2026-01-01T00:00:00.000Z"


def summary(*log: Draft) -> Summary:
    """After job.queued and what follows it, an event a second."""
    state = blank("write", AT)
    for second, draft in enumerate([queued(metadata={"a": 1}), *log]):
        state = advance(state, draft.type, draft.data, f"2026-01-01T00:00:{second:02}.000Z")
    return state


def test_a_new_job_is_queued_with_what_was_asked() -> None:
    state = summary()

    assert (state.status, state.attempt, state.started_at) == ("queued", 0, None)
    assert state.metadata == {"a": 1}
    assert state.options == {
        "on_disconnect": "continue", "disconnect_grace_s": 30.0, "timeout_s": 3600.0, "ttl_s": 60.0,
    }  # fmt: skip


def asked_with(**asked: Any) -> Summary:
    """The summary of a job that was asked for like this."""
    draft = queued(**asked)
    return advance(blank("write", AT), draft.type, draft.data, AT)


def test_the_title_is_the_submissions_and_else_the_tasks_name() -> None:
    assert public_summary(asked_with(title="Tides"))["title"] == "Tides"
    assert public_summary(asked_with())["title"] == "write"
    kept = asked_with().to_json()
    older = Summary.from_json({name: kept[name] for name in kept.keys() - {"title", "input"}})
    assert (public_summary(older)["title"], public_summary(older)["input"]) == ("write", {})


def test_what_was_asked_is_shown_and_a_member_over_4_kib_is_cut_and_says_so() -> None:
    long, table = "ä" * 4097, [[number, "x"] for number in range(2000)]
    given = {"prompt": "Tides", "n": 7, "long": long, "table": table, "fits": "a" * 4094}

    shown = asked_with(input=given).input

    assert (shown["prompt"], shown["n"], shown["fits"]) == ("Tides", 7, given["fits"])
    assert shown["long"] == "ä" * 2048 + "… [cut: 8194 bytes in all]"
    assert shown["table"].startswith('[[0,"x"],[1,"x"],')
    assert shown["table"].endswith(f"… [cut: {len(dumps(table))} bytes in all]")


def test_an_input_of_many_large_members_is_shown_within_bounds() -> None:
    shown = asked_with(input={f"part {number}": "x" * 9000 for number in range(100)}).input

    assert len(shown) == 100
    assert shown["part 0"].startswith("xxx")
    assert shown["part 99"] == "… [cut: 9000 bytes in all]"
    assert len(dumps(shown)) < 32_000


@pytest.mark.parametrize(
    ("log", "status"),
    [
        ([started()], "running"),
        ([started(), asked_for()], "waiting_for_input"),
        ([started(), asked_for(), answered(1)], "running"),
        ([cancel_requested()], "cancelling"),
        ([started(), completed()], "completed"),
        ([started(), failed()], "failed"),
        ([cancel_requested(), cancelled()], "cancelled"),
        ([started(), delta(), step("a", "running"), progress(5)], "running"),
    ],
)
def test_the_status_follows_the_events(log: list[Draft], status: str) -> None:
    assert summary(*log).status == status


@pytest.mark.parametrize("draft", [started(2), asked_for(), answered(1)], ids=lambda d: d.type)
def test_a_job_that_is_cancelling_stays_so_until_its_end(draft: Draft) -> None:
    assert summary(started(), cancel_requested(), draft).status == "cancelling"
    assert summary(started(), cancel_requested(), draft, completed()).status == "completed"


def test_a_job_starts_once_and_its_attempts_are_counted() -> None:
    state = summary(started(1), started(2))

    assert (state.started_at, state.attempt) == ("2026-01-01T00:00:01.000Z", 2)


def test_the_end_has_its_time_and_clears_what_is_open() -> None:
    state = summary(started(), asked_for(), failed())

    assert state.finished_at == "2026-01-01T00:00:03.000Z"
    assert (state.input_request, state.leases) == (None, [])
    assert state.error["code"] == "task_failed"


def test_a_completed_job_is_at_100_percent() -> None:
    assert summary(started(), progress(40)).progress["percent"] == 40
    assert summary(started(), progress(40), completed()).progress["percent"] == 100
    assert summary(started(), progress(40), failed()).progress["percent"] == 40


def test_what_was_asked_is_shown_until_it_is_answered() -> None:
    assert summary(started(), asked_for("job.1")).input_request["request"] == "job.1"
    assert summary(started(), asked_for("job.1"), answered(1)).input_request is None


def test_what_was_asked_by_a_lost_attempt_is_asked_no_more() -> None:
    assert summary(started(), asked_for("job.1"), started(2)).input_request is None


def test_feeding_a_job_changes_nothing_of_its_state() -> None:
    fed = answered({"some": "data"}, request=None)

    assert summary(fed).status == "queued"
    assert summary(started(), asked_for("job.1"), fed).input_request["request"] == "job.1"


def test_the_newest_of_each_name_counts() -> None:
    state = summary(
        metric("tokens", 1), metric("tokens", 2), metric("tokens", 3, city="Bern"),
        alert("high", "firing"), alert("high", "resolved"), artifact("a", 1), artifact("a", 2),
    )  # fmt: skip

    assert [each["value"] for each in state.metrics.values()] == [2, 3]
    assert [each["state"] for each in state.alerts.values()] == ["resolved"]
    assert [each["size"] for each in state.artifacts.values()] == [2]


def test_labels_in_another_order_are_the_same_labels() -> None:
    state = summary(metric("n", 1, a="1", b="2"), metric("n", 2, b="2", a="1"))

    assert [each["value"] for each in state.metrics.values()] == [2]


@pytest.mark.parametrize("draft", [delta(), reset(), step("a", "running")], ids=lambda d: d.type)
def test_text_and_steps_do_not_touch_the_summary(draft: Draft) -> None:
    before = summary(started())

    assert advance(before, draft.type, draft.data, AT) is before


def test_a_summary_is_never_changed_in_place() -> None:
    first = summary(started())
    kept = dumps(first.to_json())

    advance(first, "metric", metric("n", 1).data, AT)
    advance(first, "job.completed", completed().data, AT)

    assert dumps(first.to_json()) == kept


@given(drafts())
@settings(max_examples=60)
def test_the_row_of_a_log_is_always_its_fold(following: list[Draft]) -> None:
    storage = MemoryStorage()
    job = new_job(storage)

    for draft in following:
        storage.log.append(job, [draft])
        row = storage.index.get(job)
        folded = fold(list(storage.log.page(job, 0, 500).events))
        assert row is not None
        assert replace(row.summary, created_at="") == replace(folded.summary, created_at="")


@given(drafts())
def test_the_row_is_the_same_in_one_append_or_in_many(following: list[Draft]) -> None:
    storage = MemoryStorage()
    one, many = new_job(storage), new_job(storage)

    storage.log.append(one, following)
    for draft in following:
        storage.log.append(many, [draft])

    first, second = storage.index.get(one), storage.index.get(many)
    assert first is not None
    assert second is not None
    assert replace(first.summary, created_at="") == replace(second.summary, created_at="")
    assert first.seq == second.seq == len(events(*following))


@pytest.mark.parametrize("kept", [{}, [], 3, "x", {"task": "write", "status": "queued"}])
def test_what_is_no_summary_is_refused(kept: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        Summary.from_json(kept)


def test_a_summary_is_read_as_it_was_kept() -> None:
    kept = {**summary(started(), metric("n", 1)).to_json(), "future": [1]}

    assert Summary.from_json(kept).to_json() == kept
