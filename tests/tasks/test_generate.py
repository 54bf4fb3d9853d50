from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streaming.concurrency.stop_signal import StopSignal
from streaming.errors import Cancelled, InvalidInput, TaskError
from streaming.events.event import dumps
from streaming.llm.base import Prompt
from streaming.llm.simulated import SimulatedModel
from streaming.tasks.generate import generate
from tests.tasks.conftest import Bench

Make = Callable[..., Bench]


def test_the_streamed_text_is_the_output(bench: Make) -> None:
    job = bench(generate, prompt="Write about rain", tokens_per_s=0, max_tokens=300)

    output = job.run()

    assert output == {"text": job.state.text}
    assert len(job.data("text.delta")) == 300


def test_the_text_is_the_models_for_prompt_seed_and_length(bench: Make) -> None:
    output = bench(generate, prompt="rain", seed=4, max_tokens=30, tokens_per_s=0).run()

    prompt = Prompt("rain", seed=4, max_tokens=30, tokens_per_s=0)
    assert output["text"] == "".join(SimulatedModel().stream(prompt, StopSignal()))


def test_it_is_one_step_with_one_item(bench: Make) -> None:
    job = bench(generate, prompt="rain", tokens_per_s=0)

    job.run()

    steps = [(step["id"], step["status"]) for step in job.state.public()["steps"]]
    assert steps == [("generate", "completed")]
    assert list(job.state.texts) == ["generate"]


def test_progress_is_measured_rises_and_ends_at_100(bench: Make) -> None:
    job = bench(generate, prompt="rain", tokens_per_s=0)

    job.run()

    told = job.data("job.progress")
    percents = [each["percent"] for each in told]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    assert len(percents) > 5
    assert {each["basis"] for each in told} == {"measured"}


def test_a_failing_model_fails_the_job_with_the_text_so_far(bench: Make) -> None:
    job = bench(generate, prompt="rain", tokens_per_s=0, fail_after=5)

    with pytest.raises(TaskError) as failure:
        job.run()

    assert (failure.value.code, failure.value.retryable) == ("upstream_error", True)
    assert len(job.data("text.delta")) == 5
    assert job.state.steps["generate"]["status"] == "failed"


def test_a_cancelled_job_writes_nothing(bench: Make) -> None:
    job, stop = bench(generate, prompt="rain", tokens_per_s=0), StopSignal()
    stop.set(Cancelled())

    with pytest.raises(Cancelled):
        job.run(stop=stop)

    assert job.state.text == ""


def test_an_attempt_that_was_cut_short_starts_its_text_over(bench: Make) -> None:
    job = bench(generate, prompt="rain", tokens_per_s=0, fail_after=5)
    with pytest.raises(TaskError):
        job.run()

    with pytest.raises(TaskError):
        job.run()

    assert len(job.data("text.delta")) == 10
    assert job.state.text == "".join(each["text"] for each in job.data("text.delta")[5:])


def test_the_longest_text_fits_into_an_event(bench: Make) -> None:
    prompt = Prompt("rain", max_tokens=50_000, tokens_per_s=0)

    text = "".join(SimulatedModel().stream(prompt, StopSignal()))

    assert len(dumps({"text": text})) < 1 << 20


def test_defaults_are_those_of_the_contract() -> None:
    assert generate.validate({"prompt": "x"}).model_dump() == {
        "prompt": "x",
        "max_tokens": 120,
        "tokens_per_s": 20,
        "seed": 0,
        "fail_after": None,
    }


@pytest.mark.parametrize(
    "accepted",
    [
        {"max_tokens": 1},
        {"max_tokens": 50_000},
        {"tokens_per_s": 0},
        {"tokens_per_s": 0.5},
        {"tokens_per_s": 10_000},
        {"seed": -(2**70)},
        {"fail_after": 0},
        {"fail_after": None},
    ],
)
def test_what_is_within_the_limits_is_taken(accepted: dict[str, Any]) -> None:
    value = generate.validate({"prompt": "x", **accepted})

    assert accepted.items() <= value.model_dump().items()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_tokens", 0),
        ("max_tokens", 50_001),
        ("max_tokens", 1.5),
        ("tokens_per_s", -0.1),
        ("tokens_per_s", 10_001),
        ("tokens_per_s", float("nan")),
        ("tokens_per_s", float("inf")),
        ("seed", "dice"),
        ("fail_after", -1),
        ("prompt", ""),
        ("prompt", None),
        ("prompt", 5),
        ("temperature", 1),
    ],
)
def test_what_is_beyond_the_limits_is_refused_by_its_name(field: str, value: object) -> None:
    with pytest.raises(InvalidInput) as refusal:
        generate.validate({"prompt": "x", field: value})

    assert [each["field"] for each in refusal.value.extra["errors"]] == [f"input.{field}"]


def test_a_prompt_is_required() -> None:
    with pytest.raises(InvalidInput) as refusal:
        generate.validate({})

    assert [each["field"] for each in refusal.value.extra["errors"]] == ["input.prompt"]


def test_every_field_is_shown_with_a_title_and_a_description() -> None:
    schema = generate.describe()["input_schema"]

    assert schema["required"] == ["prompt"]
    assert all(field["title"] and field["description"] for field in schema["properties"].values())


def test_its_basic_variant_is_a_shorter_text(bench: Make) -> None:
    job = bench(generate, prompt="rain", tokens_per_s=0, max_tokens=300)

    job.run(basic=True)

    assert len(job.data("text.delta")) == 60
