"""Steps: once over all attempts, with their text, results, checkpoints and durations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from streaming import JobContext, TaskError, task
from streaming.errors import Interrupted
from streaming.events.event import Draft
from streaming.running.attempt import Attempt
from streaming.storage.memory import MemoryLog, MemoryStorage
from streaming.storage.rows import JobRow
from tests.clocks import Clock
from tests.house import House
from tests.jobs import types


class Interrupting:
    """Stops the first attempt of a task at a place, as a shutdown does."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []

    def run(self, house: House, job: str) -> None:
        self.attempts.append(house.attempt(job))
        self.attempts[-1].run()

    def here(self) -> None:
        if len(self.attempts) == 1:
            self.attempts[0].ask_to_stop(Interrupted("the server is shutting down"))
            self.attempts[0].stop.check()


@pytest.fixture
def interrupting() -> Interrupting:
    return Interrupting()


def run_twice(house: House, job: str, interrupting: Interrupting) -> None:
    for _ in range(2):
        interrupting.run(house, job)


def test_a_step_is_shown_as_it_runs_and_ends() -> None:
    clock = Clock()

    @task("steps", steps=[("read", "Read it"), "write"])
    def steps(ctx: JobContext, input: Any) -> None:
        ctx.step("read", clock.advance, 2)

    house = House(steps, clock=clock)
    job = house.run(steps)

    shown = [(s["id"], s["index"], s["total"], s["title"], s["status"], s["duration_s"])
             for s in house.data(job, "step.updated")]  # fmt: skip
    assert shown == [
        ("read", 1, 2, "Read it", "pending", None),
        ("write", 2, 2, "Write", "pending", None),
        ("read", 1, 2, "Read it", "running", None),
        ("read", 1, 2, "Read it", "completed", 2),
        ("write", 2, 2, "Write", "skipped", None),
    ]


def test_the_text_of_a_step_is_an_item_of_its_own() -> None:
    @task("writes")
    def writes(ctx: JobContext, input: Any) -> Any:
        def write(what: str) -> Iterator[str]:
            yield what
            ctx.text("!")
            return what.upper()

        return [ctx.step(name, write, name) for name in ("one", "two")]

    house = House(writes)
    job = house.run(writes)

    assert house.state(job).texts == {"one": "one!", "two": "two!"}
    assert house.data(job, "job.completed")[0]["output"] == ["ONE", "TWO"]


def test_a_finished_step_is_not_run_again_and_gives_the_same_result(
    interrupting: Interrupting,
) -> None:
    runs: list[str] = []

    @task("twice", steps=["first", "second"])
    def twice(ctx: JobContext, input: Any) -> Any:
        first = ctx.step("first", lambda: (runs.append("first"), {"run": len(runs)})[1])
        ctx.step("second", lambda: (runs.append("second"), interrupting.here())[0])
        return first

    house = House(twice)
    job = house.store(twice)
    run_twice(house, job, interrupting)

    assert runs == ["first", "second", "second"]
    assert house.data(job, "job.completed")[0]["output"] == {"run": 1}


def test_a_result_is_the_same_json_in_every_attempt(interrupting: Interrupting) -> None:
    seen: list[Any] = []

    @task("tuples")
    def tuples(ctx: JobContext, input: Any) -> None:
        seen.append(ctx.step("a", lambda: {"pair": (1, 2), 3: None}))
        interrupting.here()

    house = House(tuples)
    job = house.store(tuples)
    run_twice(house, job, interrupting)

    assert seen == [{"pair": [1, 2], "3": None}] * 2


def test_the_text_of_an_unfinished_step_starts_over(interrupting: Interrupting) -> None:
    @task("texts")
    def texts(ctx: JobContext, input: Any) -> None:
        ctx.step("done", ctx.text, "kept ")
        ctx.text("loose ")
        ctx.step("cut", lambda: (ctx.text(f"try {ctx.attempt} "), interrupting.here())[0])

    house = House(texts)
    job = house.store(texts)
    run_twice(house, job, interrupting)

    assert house.state(job).texts == {"done": "kept ", "answer": "loose ", "cut": "try 2 "}
    resets = [each["item"] for each in house.data(job, "text.reset")]
    assert sorted(resets) == ["answer", "cut"]
    started = [n for n, kind in enumerate(types(house.events(job))) if kind == "job.started"]
    assert types(house.events(job))[started[1] + 1] == "text.reset"


def test_steps_that_had_not_completed_are_pending_in_the_next_attempt(
    interrupting: Interrupting,
) -> None:
    begun_with: list[list[str]] = []

    @task("three", steps=["a", "b", "c"])
    def three(ctx: JobContext, input: Any) -> None:
        steps = house.snapshots.public(ctx.job)["steps"]
        begun_with.append([step["status"] for step in steps])
        ctx.step("a", lambda: None)
        ctx.step("b", interrupting.here)

    house = House(three)
    run_twice(house, house.store(three), interrupting)

    assert begun_with == [["pending"] * 3, ["completed", "pending", "pending"]]


def test_progress_of_a_later_attempt_starts_with_what_is_done(interrupting: Interrupting) -> None:
    @task("two", steps=["a", "b"])
    def two(ctx: JobContext, input: Any) -> None:
        ctx.step("a", lambda: None)
        interrupting.here()
        ctx.progress(1, 2)

    house = House(two)
    job = house.store(two)
    run_twice(house, job, interrupting)

    assert [each["percent"] for each in house.data(job, "job.progress")] == [50, 75]


def test_a_step_that_fails_is_shown_as_failed_and_fails_the_job() -> None:
    @task("fails")
    def fails(ctx: JobContext, input: Any) -> None:
        def fail() -> None:
            raise TaskError("no such column", code="bad_csv")

        ctx.step("read", fail)

    house = House(fails)
    job = house.run(fails)

    last = house.data(job, "step.updated")[-1]
    assert (last["status"], last["detail"]) == ("failed", "no such column")
    assert house.data(job, "job.failed")[0]["error"]["code"] == "bad_csv"


def test_a_failed_step_may_be_tried_again_in_the_same_attempt() -> None:
    @task("stubborn")
    def stubborn(ctx: JobContext, input: Any) -> Any:
        for number in range(3):
            try:
                return ctx.step("try", lambda n=number: [n][2 - n])
            except IndexError:
                continue
        return None

    house = House(stubborn)
    job = house.run(stubborn)

    assert house.data(job, "job.completed")[0]["output"] == 2
    statuses = [each["status"] for each in house.data(job, "step.updated")]
    assert statuses == ["running", "failed", "running", "failed", "running", "completed"]


def test_steps_may_turn_up_while_the_task_runs() -> None:
    @task("grows", steps=["a"])
    def grows(ctx: JobContext, input: Any) -> None:
        ctx.step("a", lambda: None)
        ctx.step("later_on", lambda: None)

    house = House(grows)
    job = house.run(grows)

    last = house.snapshots.public(job)["steps"][-1]
    assert (last["id"], last["title"], last["index"], last["total"]) == (
        "later_on", "Later on", 2, 2,
    )  # fmt: skip


def test_what_an_outer_step_says_behind_an_inner_one_is_its_own() -> None:
    @task("nested")
    def nested(ctx: JobContext, input: Any) -> None:
        def outer() -> None:
            ctx.text("before ")
            ctx.step("inner", ctx.text, "within")
            ctx.text("behind")
            ctx.checkpoint("of the outer")

        ctx.step("outer", outer)

    house = House(nested)
    job = house.run(nested)

    assert house.state(job).texts == {"outer": "before behind", "inner": "within"}
    assert "checkpoint:outer" in house.storage.log.records(job)
    assert house.state(job).unfinished_items() == []


def test_a_checkpoint_is_there_for_the_next_attempt_of_its_step(interrupting: Interrupting) -> None:
    seen: list[Any] = []

    @task("checks")
    def checks(ctx: JobContext, input: Any) -> None:
        def count() -> None:
            seen.append(ctx.restore(default=0))
            ctx.checkpoint(seen[-1] + 5)
            interrupting.here()

        ctx.checkpoint({"of": "the job"})
        ctx.step("count", count)
        seen.append(ctx.restore())

    house = House(checks)
    job = house.store(checks)
    run_twice(house, job, interrupting)

    assert seen == [0, 5, {"of": "the job"}]


def test_a_checkpoint_is_no_event() -> None:
    @task("quiet")
    def quiet(ctx: JobContext, input: Any) -> Any:
        ctx.checkpoint([1])
        return ctx.restore()

    house = House(quiet)
    job = house.run(quiet)

    assert types(house.events(job)) == ["job.queued", "job.started", "job.completed"]
    assert house.data(job, "job.completed")[0]["output"] == [1]


def test_a_step_and_its_result_are_committed_together(interrupting: Interrupting) -> None:
    @task("records")
    def records(ctx: JobContext, input: Any) -> None:
        ctx.step("a", lambda: "result")
        interrupting.here()

    house = House(records)
    job = house.store(records)
    interrupting.run(house, job)

    assert house.storage.log.records(job) == {"step:a": b'"result"'}


class Noting(MemoryLog):
    """Knows which events were appended together."""

    def __init__(self, log: MemoryLog) -> None:
        vars(self).update(vars(log))  # the same log
        self.appends: list[list[str]] = []

    def append(self, job: str, drafts: Sequence[Draft], **more: Any) -> JobRow:
        self.appends.append([draft.type for draft in drafts])
        return super().append(job, drafts, **more)


def test_the_end_of_a_step_and_the_progress_that_it_makes_share_a_commit() -> None:
    @task("two", steps=["a", "b"])
    def two(ctx: JobContext, input: Any) -> None:
        ctx.step("a", lambda: "result")

    storage = MemoryStorage()
    storage.log = log = Noting(storage.log)
    House(two, storage=storage).run(two)

    assert ["step.updated", "job.progress"] in log.appends
    assert ["job.progress"] not in log.appends
