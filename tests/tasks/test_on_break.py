"""Answers that break off, and jobs that are handed over: `on_break`."""

from __future__ import annotations

from typing import Any

import pytest

from examples.openai_server import ModelServer
from streaming.errors import Interrupted, TaskError
from streaming.llm.openai import OpenAIModel
from streaming.llm.server import Patience
from streaming.tasks.generate import generate
from tests.e2e.waiting import eventually
from tests.llm.conftest import KEY, model_server  # noqa: F401 - fixture
from tests.tasks.conftest import Bench

WHOLE = "".join(f"{number} " for number in range(12))


def job_of(on_break: str) -> Bench:
    return Bench(generate, {"prompt": "Count"}, on_break=on_break)


def model_of(server: ModelServer, habit: str) -> OpenAIModel:
    return OpenAIModel(server.url, [habit], key=KEY, patience=Patience(retry_s=0.01))


@pytest.mark.parametrize("on_break", ["restart", "fail"])
def test_an_answer_that_breaks_off_fails_the_job_with_what_has_come(
    model_server: ModelServer,  # noqa: F811
    on_break: str,
) -> None:
    job = job_of(on_break)

    with pytest.raises(TaskError) as failed:
        job.run(model=model_of(model_server, "breaking"))

    assert (failed.value.code, failed.value.retryable) == ("upstream_error", True)
    assert job.state.text == WHOLE[:12]
    assert len(model_server.answers) == 1


def test_an_answer_that_breaks_off_goes_on_where_it_was(
    model_server: ModelServer,  # noqa: F811
) -> None:
    job = job_of("continue")

    assert job.run(model=model_of(model_server, "breaking")) == {"text": WHOLE}

    assert job.state.text == WHOLE
    assert job.data("text.reset") == []
    asked = model_server.answers[-1].asked
    assert asked["messages"][-1] == {"role": "assistant", "content": WHOLE[:12]}
    assert asked["continue_final_message"] is True
    assert [each["continued"] for each in job.data("log")] == [True]
    assert job.context.usage["completion_tokens"] == 12
    assert job.context.usage["estimated"] is True


def test_a_server_that_only_starts_over_has_the_step_start_over(
    model_server: ModelServer,  # noqa: F811
) -> None:
    job = job_of("continue")

    output = job.run(model=model_of(model_server, "unwilling"))

    assert output == {"text": job.state.text}
    assert output["text"] == "all at once"
    assert len(job.data("text.reset")) == 1
    states = ["finished"] * 3  # the last answer is, once its server's thread has said so
    eventually(lambda: [each.state for each in model_server.answers] == states, "all are finished")


def test_a_job_that_is_handed_over_goes_on_with_its_answer(
    model_server: ModelServer,  # noqa: F811
) -> None:
    job = job_of("continue")
    with pytest.raises(Interrupted):
        job.run(model=model_of(model_server, "counting_on"), stop_at=6)
    before = job.state.text
    assert before

    output: Any = job.run(model=model_of(model_server, "counting_on"))

    assert output == {"text": WHOLE}
    assert job.state.text == WHOLE
    assert model_server.answers[-1].asked["messages"][-1]["content"] == before


def test_a_job_that_is_handed_over_starts_over_unless_it_says_so(
    model_server: ModelServer,  # noqa: F811
) -> None:
    job = job_of("restart")
    with pytest.raises(Interrupted):
        job.run(model=model_of(model_server, "counting_on"), stop_at=6)

    assert job.run(model=model_of(model_server, "counting_on")) == {"text": WHOLE}

    assert model_server.answers[-1].asked["messages"][-1]["role"] == "user"
