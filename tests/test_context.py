"""What a task may say, and what becomes of it in the log."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from streaming import JobContext, Task, TaskError, task
from tests.clocks import Clock
from tests.house import MAX_EVENT_BYTES, House
from tests.jobs import types


def does(function: Callable[[JobContext], Any]) -> tuple[House, str]:
    """A house, and a job in it that has run a task of this function."""
    made = task("does")(lambda ctx, input: function(ctx))
    house = House(made, clock=Clock())
    return house, house.run(made)


def data(function: Callable[[JobContext], Any], kind: str) -> list[dict[str, Any]]:
    """The data of the events of a type that a task emits."""
    house, job = does(function)
    return house.data(job, kind)


def failure(function: Callable[[JobContext], Any]) -> dict[str, Any]:
    """The problem object that the job fails with."""
    [failed] = data(function, "job.failed")
    error: dict[str, Any] = failed["error"]
    return error


def test_a_context_knows_its_job_and_attempt() -> None:
    known: list[Any] = []

    house, job = does(lambda ctx: known.extend([ctx.job, ctx.attempt, ctx.cancelled]))

    assert known == [job, 1, False]
    assert types(house.events(job)) == ["job.queued", "job.started", "job.completed"]


def test_text_goes_to_the_answer_or_to_the_item_that_is_named() -> None:
    def write(ctx: JobContext) -> None:
        ctx.text("one ")
        ctx.text("other", item="turn 2")
        ctx.text("")
        ctx.text("two")

    house, job = does(write)

    assert house.state(job).texts == {"answer": "one two", "turn 2": "other"}
    assert len(house.data(job, "text.delta")) == 3


def test_reasoning_is_apart_from_the_answer() -> None:
    house, job = does(lambda ctx: (ctx.reasoning("hm"), ctx.reasoning(""), None)[-1])

    assert house.data(job, "reasoning.delta") == [{"item": "answer", "text": "hm"}]
    assert house.state(job).text == ""


def test_progress_is_told_in_percent() -> None:
    shown = data(lambda ctx: ctx.progress(1, 4, "reading"), "job.progress")

    assert shown == [{"percent": 25, "eta_s": 0, "basis": "measured", "message": "reading"}]


def test_a_metric_has_name_value_unit_and_labels() -> None:
    shown = data(lambda ctx: ctx.metric("rate", 2.5, unit="1/s", labels={"gpu": "0"}), "metric")

    assert shown == [{"name": "rate", "value": 2.5, "unit": "1/s", "labels": {"gpu": "0"}}]


def test_numbers_of_numpy_are_numbers() -> None:
    def train(ctx: JobContext) -> None:
        ctx.metric("loss", np.float32(0.5))
        ctx.metric("step", np.int64(7))
        ctx.metric("rate", np.array(2.5))  # as a tensor of one number is
        ctx.progress(np.float32(1), np.int32(4))

    house, job = does(train)

    assert [each["value"] for each in house.data(job, "metric")] == [0.5, 7, 2.5]
    assert house.data(job, "job.progress")[0]["percent"] == 25.0


def test_an_alert_fires_and_is_resolved() -> None:
    def warn(ctx: JobContext) -> None:
        ctx.alert("hot", "it is hot", severity="critical", value=99)
        ctx.alert("hot", "it was hot", state="resolved")

    house, job = does(warn)

    assert [each["state"] for each in house.data(job, "alert")] == ["firing", "resolved"]
    assert house.data(job, "alert")[0] == {
        "severity": "critical", "rule": "hot", "message": "it is hot", "value": 99,
        "state": "firing",
    }  # fmt: skip


def test_a_line_is_logged() -> None:
    assert data(lambda ctx: ctx.log("so it is", level="debug"), "log") == [
        {"level": "debug", "message": "so it is"}
    ]


@pytest.mark.parametrize("content", [b"abc", "abc", [b"a", b"bc"]], ids=["bytes", "text", "chunks"])
def test_an_artifact_is_stored_and_told(content: Any) -> None:
    house, job = does(lambda ctx: ctx.artifact("a.bin", content, media_type="application/x-a"))

    href = f"/v1/jobs/{job}/artifacts/a.bin"
    assert house.data(job, "artifact") == [
        {"name": "a.bin", "media_type": "application/x-a", "size": 3, "href": href}
    ]
    assert house.data(job, "job.completed")[0]["output"] == href
    assert house.storage.blobs.open(f"{job}/a.bin").read() == b"abc"


@pytest.mark.parametrize(
    ("content", "given", "told"),
    [
        ("漢", "text/csv", "text/csv; charset=utf-8"),
        ("漢", "text/csv; charset=utf-8", "text/csv; charset=utf-8"),
        ("{}", "application/json", "application/json"),
        (b"\xff", "text/csv", "text/csv"),
    ],
)
def test_text_of_ours_says_how_it_is_encoded(content: Any, given: str, told: str) -> None:
    [shown] = data(lambda ctx: ctx.artifact("a", content, media_type=given), "artifact")

    assert shown["media_type"] == told


@pytest.mark.parametrize(
    "name", ["", ".hidden", "a/b", "../a", "a b", "é", "x" * 101, "a\n", "a\0", "٣"]
)
def test_a_name_that_no_artifact_may_have_fails_the_job(name: str) -> None:
    error = failure(lambda ctx: ctx.artifact(name, b"x", media_type="text/plain"))

    assert error["code"] == "invalid_artifact_name"


@pytest.mark.parametrize("name", ["a", "A-b_c.9", "x" * 100, "a.", "-"])
def test_a_good_name_names_an_artifact(name: str) -> None:
    [shown] = data(lambda ctx: ctx.artifact(name, b"x", media_type="image/png"), "artifact")

    assert shown["name"] == name


def test_an_artifact_made_again_is_the_newest() -> None:
    def make(ctx: JobContext) -> None:
        ctx.artifact("a", "first one", media_type="image/png")
        ctx.artifact("a", "second", media_type="image/png")

    house, job = does(make)

    [shown] = house.snapshots.public(job)["artifacts"]
    assert shown["size"] == 6
    assert house.storage.blobs.open(f"{job}/a").read() == b"second"


@pytest.mark.parametrize(
    "say",
    [
        lambda ctx: ctx.log("x" * MAX_EVENT_BYTES),
        lambda ctx: ctx.tool("t", print, x="x" * MAX_EVENT_BYTES),
        lambda ctx: "x" * MAX_EVENT_BYTES,
    ],
    ids=["log", "tool", "output"],
)
def test_an_event_over_the_limit_fails_the_job(say: Callable[[JobContext], Any]) -> None:
    error = failure(say)

    assert error["code"] == "output_too_large"
    assert str(MAX_EVENT_BYTES) in error["detail"]


def test_what_a_job_fails_with_always_fits() -> None:
    def fail(ctx: JobContext) -> None:
        for _ in range(4):
            ctx.text("漢" * (MAX_EVENT_BYTES // 4))
        raise TaskError("why " * MAX_EVENT_BYTES, code="so")

    house, job = does(fail)

    [failed] = house.data(job, "job.failed")
    assert failed["error"]["code"] == "so"
    assert failed["partial"]["cut"]
    assert len(house.events(job)[-1].json) < MAX_EVENT_BYTES


@pytest.mark.parametrize(
    "say",
    [
        lambda ctx: ctx.text(b"bytes"),  # type: ignore[arg-type]
        lambda ctx: ctx.metric("x", float("nan")),
        lambda ctx: ctx.log(object()),
        lambda ctx: ctx.tool("t", lambda: object()),
        lambda ctx: ctx.step("a", object),
        lambda ctx: ctx.checkpoint(float("inf")),
        lambda ctx: ctx.artifact("a", "\udfff", media_type="text/plain"),
    ],
    ids=["text", "metric", "log", "tool", "step", "checkpoint", "artifact"],
)
def test_what_json_cannot_carry_fails_the_job(say: Callable[[JobContext], Any]) -> None:
    assert failure(say)["code"] == "invalid_output"


def test_hostile_text_goes_through_unchanged() -> None:
    text = "CR\r LF\n NUL\0 LS\u2028 BOM\ufeff </script> 漢 👩‍💻"

    house, job = does(lambda ctx: ctx.text(text))

    assert house.state(job).text == text


def test_a_tool_is_called_and_its_result_is_told() -> None:
    clock = Clock()

    def add(a: int, b: int) -> int:
        clock.advance(1.5)
        return a + b

    made: Task = task("uses")(lambda ctx, input: ctx.tool("add", add, a=2, b=3))
    house = House(made, clock=clock)
    job = house.run(made)

    assert house.data(job, "tool.call") == [
        {"id": "call_1", "name": "add", "arguments": {"a": 2, "b": 3}}
    ]
    assert house.data(job, "tool.result") == [{"id": "call_1", "output": 5, "duration_s": 1.5}]
    assert house.data(job, "job.completed")[0]["output"] == 5


def test_an_error_of_a_tool_is_told_and_raised_again() -> None:
    def use(ctx: JobContext) -> str:
        try:
            ctx.tool("divide", lambda: 1 / 0)
        except ZeroDivisionError:
            return "seen"
        return "not seen"

    house, job = does(use)

    assert house.data(job, "tool.result")[0]["error"] == "division by zero"
    assert house.data(job, "job.completed")[0]["output"] == "seen"


def test_calls_of_tools_are_told_apart() -> None:
    calls = data(lambda ctx: [ctx.tool("t", int) for _ in range(3)], "tool.call")

    assert [each["id"] for each in calls] == ["call_1", "call_2", "call_3"]


def test_usage_of_a_model_is_counted_and_told_at_the_end() -> None:
    def write(ctx: JobContext) -> Iterator[str]:
        yield from ctx.llm.stream("about cats", max_tokens=7, tokens_per_s=0)
        yield from ctx.llm.stream("about dogs", max_tokens=5, tokens_per_s=0)

    made: Task = task("writes")(lambda ctx, input: write(ctx))
    house = House(made)
    job = house.run(made)

    [completed] = house.data(job, "job.completed")
    assert completed["usage"]["completion_tokens"] == 12
    assert completed["usage"]["prompt_tokens"] >= 2
    assert len(house.data(job, "text.delta")) == 12


def test_an_upload_is_open_to_its_owner_only() -> None:
    made: Task = task("reads")(lambda ctx, input: ctx.open_file(input["file"]).read().decode())
    house = House(made)
    for owner in ("somebody", "another"):
        house.storage.blobs.put(f"file_{owner}/meta.json", [json.dumps({"owner": owner}).encode()])
        house.storage.blobs.put(f"file_{owner}/content", [b"a,b"])

    mine = house.run(made, {"file": "file_somebody"})
    others = house.run(made, {"file": "file_another"})
    nobodys = house.run(made, {"file": "file_unknown"})

    assert house.data(mine, "job.completed")[0]["output"] == "a,b"
    for job in (others, nobodys):
        assert house.data(job, "job.failed")[0]["error"]["code"] == "file_not_found"


def test_a_long_text_is_told_in_pieces() -> None:
    text = "0123456789" * MAX_EVENT_BYTES

    house, job = does(lambda ctx: ctx.text(text))

    assert house.state(job).text == text
    assert max(len(event.json) for event in house.events(job)) < 1 << 16
