"""`@task`, and the set of tasks that a server knows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel, Field, field_validator

from streaming import InvalidInput, InvalidSettings, JobContext, Task, TaskError, task
from streaming.running.task import TaskRegistry
from tests.house import House
from tests.jobs import types


class Order(BaseModel):
    """What to count."""

    upto: int = Field(ge=1)
    names: list[str] = []

    @field_validator("names")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        if "nobody" in names:
            raise ValueError("nobody is no name")
        return names


def nothing(ctx: JobContext, input: Any) -> None:
    """Do nothing at all,
    in two lines.

    And more about it.
    """


def test_a_task_is_described_by_its_function() -> None:
    made = task("do_nothing", steps=["first_step", ("b", "Another")], input=Order)(nothing)

    assert made.describe() == {
        "name": "do_nothing",
        "title": "Do nothing",
        "description": "Do nothing at all, in two lines.",
        "input_schema": Order.model_json_schema(),
        "steps": [{"id": "first_step", "title": "First step"}, {"id": "b", "title": "Another"}],
    }


def test_a_task_stays_a_function() -> None:
    made = task("add")(lambda ctx, input: input + 1)

    assert made(None, 2) == 3


@pytest.mark.parametrize("name", ["", "Upper", "1st", "a b", "a/b", "x" * 65, "ä"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="task name"):
        task(name)


def test_a_step_is_declared_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        task("x", steps=["a", ("a", "Again")])


def test_an_async_task_needs_a_thread() -> None:
    async def wait(ctx: JobContext, input: Any) -> None:
        await asyncio.sleep(0)

    with pytest.raises(ValueError, match="cooperative"):
        task("wait", cooperative=True)(wait)


def test_an_input_is_what_the_model_makes_of_it() -> None:
    made = task("count", input=Order)(nothing)

    assert made.validate({"upto": "3"}) == Order(upto=3)
    assert task("any")(nothing).validate({"any": ["thing"]}) == {"any": ["thing"]}


def test_each_bad_field_of_an_input_is_named() -> None:
    made = task("count", input=Order)(nothing)

    with pytest.raises(InvalidInput) as refused:
        made.validate({"upto": 0, "names": ["nobody"]})

    errors = refused.value.extra["errors"]
    assert [each["field"] for each in errors] == ["input.upto", "input.names"]
    assert errors[1]["message"] == "nobody is no name"


@pytest.mark.parametrize("data", [None, [], "text", 7])
def test_an_input_that_is_no_object_is_refused(data: Any) -> None:
    with pytest.raises(InvalidInput, match="input"):
        task("count", input=Order)(nothing).validate(data)


def test_a_validator_may_add_members_to_the_problem() -> None:
    class Csv(BaseModel):
        text: str

        @field_validator("text")
        @classmethod
        def _check(cls, text: str) -> str:
            error = ValueError("line 3 is short")
            error.extra = {"line": 3}  # type: ignore[attr-defined]
            raise error

    with pytest.raises(InvalidInput) as refused:
        task("csv", input=Csv)(nothing).validate({"text": "x"})

    assert refused.value.extra["line"] == 3


def test_two_tasks_of_one_name_are_refused() -> None:
    registry = TaskRegistry([task("same")(nothing)])

    with pytest.raises(InvalidSettings, match="'same'"):
        registry.add(task("same")(nothing))


def test_a_task_may_be_added_twice() -> None:
    made = task("same")(nothing)

    assert list(TaskRegistry([made, made])) == [made]


def test_an_unknown_task_is_refused_with_the_known_ones() -> None:
    hidden = replace(task("hidden")(nothing), hidden=True)
    registry = TaskRegistry([task("one")(nothing), task("two")(nothing), hidden])

    with pytest.raises(InvalidInput, match=r"'three'.*: one, two$") as refused:
        registry.get("three")

    assert refused.value.code == "unknown_task"
    assert refused.value.extra["errors"][0]["field"] == "task"
    assert registry.find("three") is None


def test_modules_bring_their_tasks() -> None:
    registry = TaskRegistry()

    registry.load(["tests.modules.good", "tests.modules.shared"])

    assert [each.name for each in registry] == ["count", "shared"]


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("tests.modules.missing", "missing"),
        ("tests.modules.broken", "a mistake in the module"),
        ("tests.modules.leaving", "SystemExit: 3"),
        ("tests.modules.without_tasks", "no @task"),
        ("no-module", "no-module"),
    ],
)
def test_a_module_that_brings_no_task_is_named(module: str, reason: str) -> None:
    with pytest.raises(InvalidSettings, match=f"STREAMING_TASKS.*{module}") as refused:
        TaskRegistry().load([module])

    assert reason in str(refused.value)


def test_modules_whose_tasks_clash_are_refused() -> None:
    with pytest.raises(InvalidSettings, match="'count'"):
        TaskRegistry().load(["tests.modules.good", "tests.modules.clashing"])


# Whatever a task's function is, its text and its output come out alike.


def plain(ctx: JobContext, input: Any) -> dict[str, int]:
    ctx.text("one ")
    ctx.text("two")
    return {"count": 2}


def generator(ctx: JobContext, input: Any) -> Iterator[str]:
    yield "one "
    yield "two"
    return {"count": 2}


async def coroutine(ctx: JobContext, input: Any) -> dict[str, int]:
    ctx.text("one ")
    await asyncio.sleep(0)
    ctx.text("two")
    return {"count": 2}


@pytest.mark.parametrize("function", [plain, generator, coroutine])
def test_text_and_output_come_from_every_kind_of_function(function: Callable[..., Any]) -> None:
    made = task("both")(function)
    house = House(made)

    job = house.run(made)

    assert house.state(job).text == "one two"
    assert house.data(job, "job.completed")[0]["output"] == {"count": 2}


def test_an_async_generator_has_text_and_no_output() -> None:
    @task("stream")
    async def stream(ctx: JobContext, input: Any) -> AsyncIterator[str]:
        yield "one "
        await asyncio.sleep(0)
        yield "two"

    house = House(stream)
    job = house.run(stream)

    assert house.state(job).text == "one two"
    assert house.data(job, "job.completed")[0]["output"] is None


def test_a_generator_is_closed_when_its_job_fails() -> None:
    closed = []

    @task("leaks")
    def leaks(ctx: JobContext, input: Any) -> Iterator[Any]:
        try:
            yield "text"
            yield 7
        finally:
            closed.append(True)

    house = House(leaks)
    job = house.run(leaks)

    assert house.data(job, "job.failed")[0]["error"]["code"] == "invalid_output"
    assert closed == [True]


@pytest.mark.parametrize(
    "error",
    [
        ValueError("broken"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(),
        asyncio.CancelledError(), RecursionError("deep"), StopIteration(7),
    ],
    ids=repr,
)  # fmt: skip
def test_whatever_a_task_raises_its_job_fails(error: BaseException) -> None:
    @task("raises")
    def raises(ctx: JobContext, input: Any) -> None:
        ctx.text("so far")
        raise error

    house = House(raises)
    job = house.run(raises)

    [failed] = house.data(job, "job.failed")
    assert failed["error"]["code"] == "task_failed"
    assert type(error).__name__ in failed["error"]["detail"]
    assert failed["partial"] == {"text": "so far", "cut": False}


def test_a_task_that_cancels_itself_fails() -> None:
    @task("cancels")
    async def cancels(ctx: JobContext, input: Any) -> None:
        current = asyncio.current_task()
        assert current is not None
        current.cancel()
        await asyncio.sleep(60)

    house = House(cancels)

    assert "cancelled itself" in house.data(house.run(cancels), "job.failed")[0]["error"]["detail"]


def test_a_task_fails_with_a_code_of_its_own() -> None:
    made = task("fails")(fails)
    house = House(made)

    job = house.run(made)

    [failed] = house.data(job, "job.failed")
    assert (failed["error"]["code"], failed["error"]["line"]) == ("bad_csv", 3)
    assert failed["error"]["retryable"] is True
    assert failed["error"]["instance"] == f"/v1/jobs/{job}"


def fails(ctx: JobContext, input: Any) -> None:
    raise TaskError("no column is numeric", code="bad_csv", retryable=True, line=3)


@pytest.mark.parametrize("kind", ["NotFound", "Unavailable", "Conflict", "TooMany", "InvalidInput"])
def test_an_error_of_ours_that_a_task_raises_fails_its_job(kind: str) -> None:
    import streaming

    @task("raises")
    def raises(ctx: JobContext, input: Any) -> None:
        raise getattr(streaming, kind)("the customer")

    house = House(raises)
    job = house.run(raises)

    assert types(house.events(job))[-1] == "job.failed"
    assert house.data(job, "job.failed")[0]["error"]["detail"] == "the customer"


def test_an_output_that_is_no_json_fails_the_job() -> None:
    made: Task = task("odd")(lambda ctx, input: {"file": object()})
    house = House(made)

    assert house.data(house.run(made), "job.failed")[0]["error"]["code"] == "invalid_output"
