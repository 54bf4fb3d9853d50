"""One attempt: its running time, and what is told of one that does not begin or is over."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, field_validator

from streaming import JobContext, Task, task
from streaming.errors import (
    Cancelled,
    Conflict,
    Interrupted,
    StreamingError,
    TaskError,
    Unavailable,
)
from streaming.events.event import Draft, rfc3339
from streaming.events.snapshot import Snapshot
from streaming.storage.snapshots import Snapshots
from tests.clocks import Clock
from tests.disk import Disk
from tests.gate import Gate
from tests.house import MAX_EVENT_BYTES, House
from tests.jobs import completed, delta, started, step, types
from tests.threads import TIMEOUT_S, Background, eventually


def at(seconds: float, draft: Draft) -> Draft:
    """The same event, of that epoch second."""
    return Draft(draft.type, draft.data, at=rfc3339(seconds))


@pytest.mark.parametrize(("ran_s", "left_s"), [(40, 60), (100, 0), (150, 0)])
def test_a_later_attempt_has_the_time_that_earlier_ones_have_left(
    gate: Gate, held: Task, ran_s: int, left_s: int
) -> None:
    clock = Clock()
    house = House(held, clock=clock)
    job = house.store(held, timeout_s=100)
    house.storage.log.append(job, [at(0, started()), at(ran_s, delta())])
    attempt = house.attempt(job)
    assert not attempt.overdue()

    running = Background(attempt.run)
    eventually(lambda: gate.inside)

    clock.advance(left_s)
    assert not attempt.overdue()
    clock.advance(0.5)
    assert attempt.overdue()
    gate.open()
    running.result()


class Counted(Snapshots):
    """Folds that know how often they were asked for."""

    looks = 0

    def state(self, job: str) -> Snapshot:
        self.looks += 1
        return super().state(job)


@pytest.mark.parametrize("earlier", [(), (started(), delta("so far"))], ids=["first", "second"])
def test_an_attempt_asks_for_the_fold_of_its_job_once(earlier: tuple[Draft, ...]) -> None:
    @task("two", steps=["one", "two"])
    def two(ctx: JobContext, input: Any) -> None:
        ctx.step("one", ctx.text, "text")

    house = House(two)
    job = house.store(two)
    if earlier:
        house.storage.log.append(job, earlier, attempt=1)
    snapshots = Counted(house.storage.log, house.storage.index)

    house.attempt(job, snapshots=snapshots).run()

    assert snapshots.looks == 1
    assert house.state(job).text == "text"
    statuses = {id: step["status"] for id, step in house.state(job).steps.items()}
    assert statuses == {"one": "completed", "two": "skipped"}


def test_behind_an_answer_the_running_time_goes_on_where_it_stood(gate: Gate) -> None:
    @task("asks")
    def asks(ctx: JobContext, input: Any) -> None:
        ctx.ask("Which?")
        gate.wait()

    clock = Clock()
    began = clock.now
    house = House(asks, clock=clock)
    job = house.store(asks, timeout_s=100_000)
    attempt = house.attempt(job)
    running = Background(attempt.run)
    house.until_type(job, "input.requested")
    eventually(lambda: (clock.advance(1), attempt.waited_s() > 0)[1])

    clock.advance(1_000_000)
    assert not attempt.overdue()
    house.registry.answer(house.row(job), None, "blue")
    eventually(lambda: gate.inside)

    ran_s = clock.now - began - attempt.waited_s()
    clock.advance(100_000 - ran_s)
    assert not attempt.overdue()
    clock.advance(0.5)
    assert attempt.overdue()
    gate.open()
    running.result()


def test_an_input_whose_validation_raises_ends_the_job_and_is_named_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Odd(BaseModel):
        name: str

        @field_validator("name")
        @classmethod
        def look_up(cls, name: str) -> str:
            raise KeyError(name)

    odd = task("odd", input=Odd)(lambda ctx, input: None)
    house = House(odd)
    job = house.store(odd, {"name": "x"})

    with caplog.at_level(logging.ERROR):
        house.attempt(job).run()

    [record] = caplog.records
    assert record.getMessage() == f"job {job} cannot begin"
    assert record.exc_info is not None
    assert record.exc_info[0] is KeyError
    assert house.end(job).type == "job.failed"


@pytest.mark.parametrize("raised", [TaskError("sold out", code="sold_out"), Conflict("taken")])
def test_an_input_that_is_refused_with_an_error_of_ours_ends_the_job(
    raised: StreamingError,
) -> None:
    class Order(BaseModel):
        name: str

        @field_validator("name")
        @classmethod
        def look_up(cls, name: str) -> str:
            raise raised

    order = task("order", input=Order)(lambda ctx, input: None)
    house = House(order)
    job = house.store(order, {"name": "x"})

    house.attempt(job).run()

    end = house.end(job)
    assert (end.type, end.data["error"]["detail"]) == ("job.failed", raised.detail)


def test_an_end_is_told_with_the_seconds_since_the_first_start() -> None:
    quick: Task = task("quick")(lambda ctx, input: "done")
    told: list[tuple[str, str, float]] = []
    house = House(quick)
    house.dependencies = replace(house.dependencies, ended=lambda *end: told.append(end))
    again = house.store(quick)
    house.storage.log.append(again, [at(time.time() - 100, started())])

    house.attempt(again).run()

    [(name, status, seconds)] = told
    assert (name, status) == ("quick", "completed")
    assert 99 < seconds < 100 + TIMEOUT_S


def test_the_end_of_a_job_that_was_never_started_is_told_with_no_seconds() -> None:
    told: list[tuple[str, str, float]] = []
    house = House()
    house.dependencies = replace(house.dependencies, ended=lambda *end: told.append(end))
    job = house.store(task("gone")(lambda ctx, input: None))

    house.attempt(job).run()

    assert told == [("gone", "failed", 0.0)]


def test_an_attempt_that_is_interrupted_before_it_has_begun_is_handed_over(
    held: Task, caplog: pytest.LogCaptureFixture
) -> None:
    house = House(held)
    job = house.store(held)
    attempt = house.attempt(job)
    attempt.ask_to_stop(Interrupted("the server is shutting down"))

    attempt.end()

    assert types(house.events(job)) == ["job.queued", "log"]
    assert house.data(job, "log")[0]["handed_over"]
    assert caplog.records == []  # it has not come often


class Away(Snapshots):
    """Folds of a storage that does not answer."""

    def state(self, job: str) -> Snapshot:
        raise Unavailable("Redis does not answer")


def test_a_job_whose_storage_is_away_is_left_to_a_later_attempt(
    caplog: pytest.LogCaptureFixture,
) -> None:
    quick: Task = task("quick")(lambda ctx, input: "done")
    house = House(quick)
    job = house.store(quick)
    attempt = house.attempt(job, snapshots=Away(house.storage.log, house.storage.index))

    attempt.run()

    assert attempt.left
    assert [record.getMessage() for record in caplog.records] == [
        f"job {job} is left to a later attempt: Redis does not answer"
    ]
    assert types(house.events(job)) == ["job.queued"]


@pytest.mark.parametrize("limit", ["max_job_events", "max_job_bytes"])
def test_a_later_attempt_may_write_what_earlier_ones_have_left(limit: str) -> None:
    @task("says")
    def says(ctx: JobContext, input: Any) -> None:
        while True:
            ctx.text("x" * 1000)

    house = House(says)
    job = house.store(says)
    house.storage.log.append(job, [started(), *[delta("y" * 1000)] * 4])
    written = house.row(job).seq if limit == "max_job_events" else house.row(job).size
    each = written // 4 if limit == "max_job_bytes" else 1
    house.dependencies = replace(house.dependencies, **{limit: written + 3 * each})

    house.attempt(job).run()

    assert house.end(job).data["error"]["code"] == "job_too_large"
    said = [text for text in house.data(job, "text.delta") if text["text"][0] == "x"]
    assert len(said) == 3


@pytest.mark.parametrize(("on_break", "kept"), [("continue", True), ("restart", False)])
def test_a_later_attempt_goes_on_with_an_answer_where_its_job_says_so(
    on_break: str, kept: bool
) -> None:
    @task("answers")
    def answers(ctx: JobContext, input: Any) -> Iterator[str]:
        yield from ctx.llm.stream("Why?", script="The moon pulls the sea.", tokens_per_s=0)

    house = House(answers)
    job = house.store(answers, on_break=on_break)
    house.storage.log.append(job, [started(), delta("So far: ")])

    house.attempt(job).run()

    assert house.state(job).text.startswith("So far: ") is kept
    assert house.state(job).text.endswith("sea.")


def test_an_end_over_the_head_of_a_task_does_not_wait_for_room(tmp_path: Path, held: Task) -> None:
    disk = Disk(tmp_path)
    house = House(held, storage=disk.storage)
    job = house.store(held)
    disk.storage.log.append(job, [started(), delta("x" * 20_000)])  # its end will hold a part
    attempt = house.attempt(job)
    attempt.ask_to_stop(Cancelled())
    disk.fill()

    with pytest.raises(Unavailable):
        attempt.end()

    disk.storage.close()


@pytest.mark.parametrize(
    ("before", "pending"),
    [
        ([], ["one", "two"]),
        ([started()], ["one", "two"]),
        ([started(), step("one", "completed")], ["two"]),
        ([started(), step("one", "failed")], ["one", "two"]),
    ],
    ids=["first", "later", "later, behind a step", "later, behind a failure"],
)
def test_an_attempt_lists_each_step_that_has_not_completed_once(
    before: list[Draft], pending: list[str]
) -> None:
    two: Task = task("two", steps=["one", "two"])(lambda ctx, input: None)
    house = House(two)
    job = house.store(two)
    house.storage.log.append(job, before)

    house.attempt(job).run()

    shown = house.data(job, "step.updated")
    assert [each["id"] for each in shown if each["status"] == "pending"] == pending


def test_only_an_attempt_on_trial_says_so(held: Task, gate: Gate) -> None:
    gate.open()
    house = House(held)
    for on_trial in (False, True):
        house.attempt(house.store(held), on_trial).run()

    jobs = sorted(row.id for row in house.storage.index.list())
    told = [house.data(job, "job.started")[0].get("on_trial", False) for job in jobs]
    assert told == [False, True]


@pytest.mark.parametrize("more", [0, 1])
def test_the_text_in_an_end_is_cut_where_an_end_may_carry_no_more(more: int) -> None:
    room = MAX_EVENT_BYTES // 8
    house = House()
    job = house.store(task("gone")(lambda ctx, input: None))
    house.storage.log.append(job, [started(), delta("x" * (room + more))])

    house.attempt(job).run()

    assert house.end(job).data["partial"] == {"text": "x" * room, "cut": more > 0}


def test_there_is_no_attempt_at_a_job_that_is_unknown_or_has_ended(held: Task) -> None:
    house = House(held)
    ended = house.store(held)
    house.storage.log.append(ended, [completed()])

    for job in (ended, "job_unknown"):
        attempt = house.attempt(job)
        attempt.run()
        assert not attempt.left

    assert types(house.events(ended)) == ["job.queued", "job.completed"]


def test_the_end_of_a_task_waits_for_room(tmp_path: Path, gate: Gate) -> None:
    @task("says")
    def says(ctx: JobContext, input: Any) -> str:
        gate.wait()
        return "x" * 20_000

    disk = Disk(tmp_path)
    house = House(says, storage=disk.storage)
    job = house.store(says)
    running = Background(house.attempt(job).run)
    eventually(lambda: gate.inside)
    disk.fill()
    gate.open()
    eventually(disk.storage.fault)

    disk.make_room()

    running.result()
    assert house.end(job).type == "job.completed"
    disk.storage.close()
