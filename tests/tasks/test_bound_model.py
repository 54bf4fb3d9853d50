"""The model as a job has it: what is kept of its answers, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from streaming.concurrency.stop_signal import StopSignal
from streaming.errors import TaskError
from streaming.llm.base import Ending, Model, Piece, Prompt, ToolCall, ToolCallPart, Usage
from streaming.llm.openai import OpenAIModel
from streaming.llm.simulated import SimulatedModel
from streaming.running.context import JobContext
from streaming.running.task import task
from streaming.tasks.completion import completion
from streaming.tasks.generate import generate
from tests.tasks.conftest import Bench

Make = Callable[..., Bench]


class Saying(Model):
    """Gives these pieces."""

    name = "saying"

    def __init__(self, *pieces: Piece) -> None:
        self.pieces = pieces

    def stream(self, prompt: Prompt, stop: StopSignal) -> Iterator[Piece]:
        yield from self.pieces

    def count(self, text: str) -> int:
        return len(text)


class Nothing(BaseModel):
    """No input."""


@task("passing", "Pass on", input=Nothing)
def passing(ctx: JobContext, input: Nothing) -> list[Any]:
    """Every piece of an answer."""
    return [type(piece).__name__ for piece in ctx.llm.pieces(Prompt("x"))]


def test_the_simulated_model_is_marked_and_its_counts_are_its_own(bench: Make) -> None:
    job = bench(generate, prompt="Tides", max_tokens=5, tokens_per_s=0)

    job.run()

    assert job.context.llm.told == {"simulated": True, "finish_reason": "stop"}
    assert "estimated" not in job.context.usage


def test_a_real_model_is_asked_for_no_length_that_nobody_has_named(bench: Make) -> None:
    asked: list[Prompt] = []

    class Asked(Saying):
        def stream(self, prompt: Prompt, stop: StopSignal) -> Iterator[Piece]:
            asked.append(prompt)
            yield "so"

    bench(generate, prompt="x").run(model=Asked())
    bench(generate, prompt="x", max_tokens=120, seed=0).run(model=Asked())

    assert [(prompt.max_tokens, prompt.seed) for prompt in asked] == [(None, None), (120, 0)]


def test_how_long_a_real_answer_gets_is_an_estimate_and_says_so(bench: Make) -> None:
    class Guessing(Saying):
        def expected(self, prompt: Prompt) -> int:
            return 300

    job = bench(generate, prompt="x", max_tokens=5000)

    job.run(model=Guessing(*["so "] * 60))

    progress = job.data("job.progress")
    assert {each["basis"] for each in progress[:-1]} == {"estimated"}
    assert all(each["percent"] < 100 for each in progress[:-1])


def test_what_nobody_has_counted_is_marked_as_an_estimate(bench: Make) -> None:
    counted, guessed = bench(generate, prompt="x"), bench(generate, prompt="x")

    counted.run(model=Saying("so", Usage(7, 8, 5, 6), Ending("stop")))
    guessed.run(model=Saying("so", Ending("stop")))

    assert counted.context.usage == {
        "prompt_tokens": 7,
        "completion_tokens": 8,
        "cached_tokens": 5,
        "reasoning_tokens": 6,
    }
    assert guessed.context.usage["estimated"] is True


def test_an_answer_of_nothing_but_calls_costs_what_was_asked_and_written(bench: Make) -> None:
    job = bench(completion, model="saying", messages=[{"role": "user", "content": "time?"}])
    parts = [ToolCallPart(0, "c1", "clock", ""), ToolCallPart(0, "", "", "{}")]
    call = ToolCall("c1", "clock", "{}")

    job.run(model=Saying(*parts, call, Ending("tool_calls")))

    assert job.context.usage == {
        "prompt_tokens": len("time?"),
        "completion_tokens": 2,
        "estimated": True,
    }


def test_a_cut_answer_is_told_in_the_log_and_at_the_end(bench: Make) -> None:
    job = bench(generate, prompt="x")

    job.run(model=Saying("so", Ending("length", cut=True)))

    (line,) = job.data("log")
    assert (line["finish_reason"], line["cut"]) == ("length", True)
    assert job.state.public()["cut"] is True
    assert job.context.llm.told == {"finish_reason": "length", "cut": True}


@pytest.mark.parametrize("pieces", [(), (" ", "\n"), (Ending("length", cut=True),)])
def test_an_answer_without_a_word_is_no_success(bench: Make, pieces: tuple[Piece, ...]) -> None:
    with pytest.raises(TaskError, match="answered nothing"):
        bench(generate, prompt="x").run(model=Saying(*pieces))


def test_every_piece_can_be_passed_on(bench: Make) -> None:
    part = ToolCallPart(0, "1", "find", "{")
    job = bench(passing)

    output = job.run(model=Saying("so", part, Usage(1, 2), Ending("length", cut=True)))

    assert output == ["str", "ToolCallPart", "Usage", "Ending"]
    assert job.context.llm.told == {"finish_reason": "length", "cut": True}
    assert job.context.usage == {"prompt_tokens": 1, "completion_tokens": 2}


def test_the_caps_are_sent_where_a_prompt_names_none() -> None:
    model = OpenAIModel("http://h/v1", ["m"], answer_tokens=11, step_tokens=7)

    limits = [
        model.limit(prompt)
        for prompt in (
            Prompt("x"),
            Prompt("x", is_step=True),
            Prompt("x", max_tokens=3),
            Prompt("x", max_tokens=3, extra={"max_completion_tokens": 5}),
        )
    ]

    assert limits == [11, 7, 3, 5]
    assert model.simulated is False
    assert SimulatedModel.simulated is True


def test_a_call_of_tools_that_nobody_named_is_no_answer() -> None:
    model = Saying(ToolCall("a", "find", "{}"), Ending("tool_calls"))

    with pytest.raises(TaskError, match="called tools") as failed:
        Bench(generate, {"prompt": "Tides"}).run(model=model)

    assert failed.value.code == "upstream_error"
