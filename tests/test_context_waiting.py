"""A task that waits: for people, for time, for a child process; and how a stop reaches it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from streaming import Cancelled, JobContext, Task, task
from streaming.errors import Interrupted, Superseded
from streaming.running.attempt import Attempt
from tests import computing
from tests.clocks import Clock
from tests.house import House
from tests.jobs import answered, completed, started, types
from tests.threads import TIMEOUT_S, Background, eventually

LONG_S = 10 * TIMEOUT_S


class Answer(BaseModel):
    """What a person is asked for."""

    colour: str
    shade: int = 3


def begin(made: Task, house: House | None = None) -> tuple[House, str, Attempt, Background[None]]:
    """A job whose attempt runs in a thread of its own."""
    house = house or House(made)
    job = house.store(made)
    attempt = house.attempt(job)
    return house, job, attempt, Background(attempt.run)


def answer(house: House, job: str, data: Any, request: str | None = None) -> None:
    house.registry.answer(house.row(job), request, data)


def test_an_answer_comes_back_to_who_asked() -> None:
    made: Task = task("asks")(lambda ctx, input: ctx.ask("Which?"))
    house, job, _, running = begin(made)
    asked = house.until_type(job, "input.requested")
    assert asked.data == {"request": "1", "prompt": "Which?", "schema": None}
    assert house.row(job).status == "waiting_for_input"

    answer(house, job, ["any", "thing"])
    running.result()

    assert house.data(job, "job.completed")[0]["output"] == ["any", "thing"]


def test_an_answer_is_checked_and_made_into_its_model() -> None:
    made: Task = task("asks")(lambda ctx, input: ctx.ask("Which?", schema=Answer).shade)
    house, job, _, running = begin(made)

    shown = house.until_type(job, "input.requested").data["schema"]
    answer(house, job, {"colour": "blue"})
    running.result()

    assert shown == Answer.model_json_schema()
    assert house.data(job, "job.completed")[0]["output"] == 3


@pytest.mark.parametrize("schema", [{"type": "strin"}, {"properties": 7}, {"pattern": "("}])
def test_a_schema_that_is_none_fails_the_job_at_once(schema: dict[str, Any]) -> None:
    made: Task = task("asks")(lambda ctx, input: ctx.ask("Which?", schema=schema))
    house = House(made)
    job = house.run(made)

    assert house.data(job, "job.failed")[0]["error"]["code"] == "invalid_schema"
    assert house.data(job, "input.requested") == []


def test_questions_are_named_by_their_step_and_number() -> None:
    @task("asks")
    def asks(ctx: JobContext, input: Any) -> None:
        ctx.ask("a")
        ctx.step("pick", lambda: [ctx.ask("b"), ctx.ask("c")])
        ctx.ask("d")

    house, job, _, running = begin(asks)
    for name in ("1", "pick.1", "pick.2", "2"):
        house.until(job, lambda e, n=name: e.type == "input.requested" and e.data["request"] == n)
        answer(house, job, name, name)
    running.result()

    assert types(house.events(job))[-1] == "job.completed"


def test_a_question_that_was_answered_is_not_put_again() -> None:
    answers: list[Any] = []

    @task("asks")
    def asks(ctx: JobContext, input: Any) -> None:
        answers.append(ctx.ask("Which?"))
        if ctx.attempt == 1:
            attempt.ask_to_stop(Interrupted("the server is shutting down"))
            ctx.raise_if_cancelled()

    house, job, attempt, running = begin(asks)
    house.until_type(job, "input.requested")
    answer(house, job, "blue")
    running.result()

    house.attempt(job).run()

    assert answers == ["blue", "blue"]
    assert len(house.data(job, "input.requested")) == 1


def test_an_answer_that_came_while_nobody_ran_the_job_counts() -> None:
    made: Task = task("asks")(lambda ctx, input: ctx.ask("Which?"))
    house, job, attempt, running = begin(made)
    house.until_type(job, "input.requested")
    attempt.ask_to_stop(Interrupted("the server is shutting down"))
    running.result()

    answer(house, job, "late")
    house.attempt(job).run()

    assert house.data(job, "job.completed")[0]["output"] == "late"


def test_a_question_that_nobody_answers_in_time_ends_in_a_timeout() -> None:
    made: Task = task("asks")(lambda ctx, input: ctx.ask("Which?", timeout_s=0.01))
    house = House(made)

    job = house.run(made)

    assert "TimeoutError" in house.data(job, "job.failed")[0]["error"]["detail"]


def test_waiting_for_people_is_no_running_time() -> None:
    clock = Clock()

    @task("asks")
    def asks(ctx: JobContext, input: Any) -> None:
        ctx.ask("Which?")

    house, job, attempt, running = begin(asks, House(asks, clock=clock))
    house.until_type(job, "input.requested")
    eventually(lambda: (clock.advance(1), attempt.waited_s() > 0)[1])
    before = attempt.waited_s()
    clock.advance(10_000)
    assert not attempt.overdue()

    answer(house, job, "blue")
    running.result()

    assert attempt.waited_s() == before + 10_000


def test_what_clients_send_to_a_running_job_comes_in_order() -> None:
    @task("takes", takes_input=True)
    def takes(ctx: JobContext, input: Any) -> list[Any]:
        found = []
        for data in ctx.inputs():
            found.append(data)
            ctx.text(str(data))
            if data == "end":
                break
        return found

    house, job, _, running = begin(takes)
    for data in ("one", {"two": 2}, "end"):
        answer(house, job, data)
    running.result()

    assert house.data(job, "job.completed")[0]["output"] == ["one", {"two": 2}, "end"]


def test_inputs_end_after_a_time_of_quiet() -> None:
    @task("takes", takes_input=True)
    def takes(ctx: JobContext, input: Any) -> list[Any]:
        return list(ctx.inputs(timeout_s=0.05))

    house = House(takes)
    job = house.store(takes)
    answer(house, job, "before it began")

    house.attempt(job).run()

    assert house.data(job, "job.completed")[0]["output"] == ["before it began"]


@pytest.mark.parametrize(
    "wait",
    [
        lambda ctx: ctx.sleep(LONG_S),
        lambda ctx: ctx.ask("Which?"),
        lambda ctx: next(ctx.inputs()),
        lambda ctx: list(ctx.llm.stream("x", tokens_per_s=0.001)),
        lambda ctx: ctx.step("waits", ctx.sleep, LONG_S),
        lambda ctx: ctx.tool("waits", lambda: ctx.sleep(LONG_S)),
    ],
    ids=["sleep", "ask", "inputs", "model", "step", "tool"],
)
def test_a_cancel_ends_every_way_to_wait(wait: Callable[[JobContext], Any]) -> None:
    made: Task = task("waits", takes_input=True)(lambda ctx, input: wait(ctx))
    house, job, attempt, running = begin(made)
    house.until_type(job, "job.started")

    attempt.ask_to_stop(Cancelled("enough"))
    running.result()

    assert house.data(job, "job.cancelled")[0]["reason"] == "enough"


def test_a_cancel_reaches_code_that_awaits() -> None:
    import asyncio

    seen: list[str] = []

    @task("awaits")
    async def awaits(ctx: JobContext, input: Any) -> None:
        try:
            await asyncio.sleep(LONG_S)
        finally:
            seen.append("cleaned up")

    house, job, attempt, running = begin(awaits)
    house.until_type(job, "job.started")
    attempt.ask_to_stop(Cancelled())
    running.result()

    assert types(house.events(job))[-1] == "job.cancelled"
    assert seen == ["cleaned up"]


EVERYTHING: dict[str, Callable[[JobContext], Any]] = {
    "text": lambda ctx: ctx.text("x"),
    "reasoning": lambda ctx: ctx.reasoning("x"),
    "progress": lambda ctx: ctx.progress(1, 2),
    "metric": lambda ctx: ctx.metric("x", 1),
    "alert": lambda ctx: ctx.alert("x", "y"),
    "log": lambda ctx: ctx.log("x"),
    "artifact": lambda ctx: ctx.artifact("a", b"x", media_type="text/plain"),
    "step": lambda ctx: ctx.step("a", lambda: None),
    "tool": lambda ctx: ctx.tool("a", lambda: None),
    "ask": lambda ctx: ctx.ask("x"),
    "inputs": lambda ctx: next(ctx.inputs()),
    "checkpoint": lambda ctx: ctx.checkpoint(1),
    "compute": lambda ctx: ctx.compute(computing.divide, 1, by=1),
    "sleep": lambda ctx: ctx.sleep(0),
    "raise_if_cancelled": lambda ctx: ctx.raise_if_cancelled(),
    "llm": lambda ctx: next(ctx.llm.stream("x", tokens_per_s=0)),
}


@pytest.mark.parametrize("name", EVERYTHING)
def test_every_call_raises_the_stop_when_the_job_is_to_end(name: str) -> None:
    raised: list[BaseException] = []

    @task("goes_on")
    def goes_on(ctx: JobContext, input: Any) -> None:
        attempts[0].ask_to_stop(Cancelled())
        assert ctx.cancelled
        try:
            EVERYTHING[name](ctx)
        except Cancelled as stop:
            raised.append(stop)

    house = House(goes_on)
    job = house.store(goes_on)
    attempts = [house.attempt(job)]
    attempts[0].run()

    assert len(raised) == 1
    assert "artifact" not in types(house.events(job))


def test_a_job_that_was_ended_from_outside_stops_at_its_next_word() -> None:
    raised: list[BaseException] = []

    @task("zombie")
    def zombie(ctx: JobContext, input: Any) -> None:
        house.storage.log.append(ctx.job, [completed("by another")])
        try:
            ctx.text("too late")
        except Superseded as stop:
            raised.append(stop)
            raise

    house = House(zombie)
    job = house.run(zombie)

    assert len(raised) == 1
    assert types(house.events(job)) == ["job.queued", "job.started", "job.completed"]


def test_an_older_attempt_writes_nothing_more() -> None:
    @task("zombie")
    def zombie(ctx: JobContext, input: Any) -> None:
        house.storage.log.append(ctx.job, [started(2)], attempt=2)
        ctx.text("of the first attempt")

    house = House(zombie)
    job = house.run(zombie)

    assert types(house.events(job)) == ["job.queued", "job.started", "job.started"]


def test_a_deleted_job_stops_at_its_next_word() -> None:
    @task("deleted")
    def deleted(ctx: JobContext, input: Any) -> None:
        house.storage.index.remove(ctx.job, tombstone=False)
        ctx.text("of nobody")
        raise AssertionError("it went on")

    house = House(deleted)
    job = house.run(deleted)

    assert house.storage.index.get(job) is None


# Computing in a child process.


def test_computing_happens_in_another_process() -> None:
    made: Task = task("computes")(lambda ctx, input: ctx.compute(computing.divide, 7, by=2))
    house = House(made)
    job = house.run(made)

    [quotient, process] = house.data(job, "job.completed")[0]["output"]
    assert quotient == 3.5
    assert process != os.getpid()


def test_an_error_in_the_child_is_raised_in_the_task() -> None:
    made: Task = task("computes")(lambda ctx, input: ctx.compute(computing.fail))
    house = House(made)
    job = house.run(made)

    error = house.data(job, "job.failed")[0]["error"]
    assert (error["code"], error["line"]) == ("in_child", 3)


def test_a_child_that_dies_fails_the_job() -> None:
    made: Task = task("computes")(lambda ctx, input: ctx.compute(computing.die))
    house = House(made)
    job = house.run(made)

    assert house.data(job, "job.failed")[0]["error"]["code"] == "compute_lost"


def test_a_cancel_kills_the_computing_process(tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    made: Task = task("computes")(lambda ctx, input: ctx.compute(computing.hang, str(marker)))
    house, job, attempt, running = begin(made)
    process = int(eventually(lambda: marker.exists() and marker.read_text()))

    attempt.ask_to_stop(Cancelled())
    running.result()

    assert types(house.events(job))[-1] == "job.cancelled"
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_inputs_and_answers_do_not_take_each_others_data() -> None:
    @task("both", takes_input=True)
    def both(ctx: JobContext, input: Any) -> list[Any]:
        return [ctx.ask("Which?"), next(ctx.inputs())]

    house, job, _, running = begin(both)
    house.until_type(job, "input.requested")
    house.storage.log.append(job, [answered("fed", request=None)])
    answer(house, job, "answered", "1")
    running.result()

    assert house.data(job, "job.completed")[0]["output"] == ["answered", "fed"]
