"""The task behind the model protocols, before a model server with bad habits."""

from __future__ import annotations

from typing import Any

import pytest

from examples.openai_server import ModelServer
from streaming.errors import BadRequest, TaskError
from streaming.llm.base import Answering, Broken, Ending, Piece, ToolCall, ToolCallPart
from streaming.llm.openai import BREAK_AFTER, OpenAIModel
from streaming.llm.server import Patience
from streaming.tasks.completion import completion
from tests.llm.conftest import KEY, model_server  # noqa: F401 - fixture
from tests.tasks.conftest import Bench
from tests.tasks.test_bound_model import Saying

ASKED = {"model": "fluent", "messages": [{"role": "user", "content": "Paris"}]}
COUNTED = "".join(f"{number} " for number in range(12))


def ask(model: str = "fluent", *, on_break: str = "restart", **parameters: Any) -> Bench:
    given = {**ASKED, "model": model, "parameters": parameters}
    return Bench(completion, given, on_break=on_break)


def model_of(server: ModelServer, *habits: str) -> OpenAIModel:
    return OpenAIModel(server.url, habits, key=KEY, patience=Patience(retry_s=0.01, loading_s=0.1))


def test_who_names_a_model_gets_that_one_and_no_other(
    model_server: ModelServer,  # noqa: F811
) -> None:
    model = model_of(model_server, "fluent", "broken", "thinking")

    with pytest.raises(TaskError, match="internal error"):
        ask("broken").run(model=model)
    assert {each.asked["model"] for each in model_server.answers} == {"broken"}

    ask("thinking").run(model=model)
    assert model_server.answers[-1].asked["model"] == "thinking"


def test_a_model_that_is_ill_leaves_the_others_well(
    model_server: ModelServer,  # noqa: F811
) -> None:
    model = model_of(model_server, "fluent", "failing")
    for _ in range(BREAK_AFTER + 1):
        with pytest.raises(TaskError):
            ask("failing").run(model=model)

    assert ask("fluent", max_tokens=2).run(model=model)["text"]


def test_the_first_model_is_stood_in_for_and_the_log_says_so(
    model_server: ModelServer,  # noqa: F811
) -> None:
    job = ask("broken", max_tokens=2)

    assert job.run(model=model_of(model_server, "broken", "fluent"))["text"]

    assert any(each.get("degraded") for each in job.data("log"))
    assert model_server.answers[-1].asked["max_tokens"] == 2


def test_a_member_that_is_null_was_not_asked_for(
    model_server: ModelServer,  # noqa: F811
) -> None:
    ask(max_tokens=None, stop=None).run(model=model_of(model_server, "fluent"))

    asked = model_server.answers[-1].asked
    assert "stop" not in asked
    assert asked["max_tokens"] == 4096


@pytest.mark.parametrize(
    "pieces",
    [
        (ToolCallPart(0, "a", "find", '{"x"'), ToolCallPart(0, "a", "find", ":1}")),
        (ToolCallPart(0, "a", "find", '{"x":1}'),),
        (),
    ],
)
def test_a_call_is_told_once_in_parts_and_once_as_a_whole(pieces: tuple[Piece, ...]) -> None:
    job = ask()
    call = ToolCall("a", "find", '{"x":1}')

    output = job.run(model=Saying(*pieces, call, Ending("tool_calls")))

    assert output["tool_calls"] == [call.message()]
    parts = [each["call"] for each in job.data("log") if "call" in each]
    assert "".join(part["arguments"] for part in parts) == call.arguments
    assert {part["id"] for part in parts} == {"a"}
    assert [each["id"] for each in job.data("tool.call")] == ["a"]


def test_an_answer_that_breaks_off_goes_on_where_the_job_says_so(
    model_server: ModelServer,  # noqa: F811
) -> None:
    job = ask("breaking", on_break="continue")

    assert job.run(model=model_of(model_server, "breaking"))["text"] == COUNTED

    assert job.state.text == COUNTED
    assert len(model_server.answers) == 2


def test_a_call_that_breaks_off_is_not_gone_on_with() -> None:
    class Breaking(Saying):
        asked = 0

        def stream(self, prompt: Any, stop: Any) -> Any:
            self.asked += 1
            yield from super().stream(prompt, stop)
            raise Broken("it broke", code="upstream_error", retryable=True)

    model = Breaking("so ", ToolCallPart(0, "a", "find", '{"x"'))

    with pytest.raises(TaskError):
        ask(on_break="continue").run(model=model)

    assert model.asked == 1


def test_what_stands_in_is_told_before_the_answer() -> None:
    job = ask()

    job.run(model=Saying(Answering("other", degraded=True), "hi", Ending("stop")))

    assert any(each.get("degraded") for each in job.data("log"))


def test_a_picture_is_not_counted_by_its_bytes() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 9000}}
    content = [{"type": "text", "text": "what is it"}, picture]
    given = {"model": "saying", "messages": [{"role": "user", "content": content}]}
    job = Bench(completion, given)

    job.run(model=Saying("a cat", Ending("stop")))

    assert job.context.usage == {
        "prompt_tokens": len("what is it"),
        "completion_tokens": 1,
        "estimated": True,
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_tokens": -1},
        {"max_completion_tokens": -5},
        {"max_tokens": "5"},
        {"seed": "x"},
        {"tokens_per_s": "fast"},
        {"script": 5},
        {"thinking": 5},
    ],
)
def test_the_simulated_model_refuses_what_it_cannot_take(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match=next(iter(wrong))):
        ask("simulated", **{"max_tokens": 2, "tokens_per_s": 0, **wrong}).run()
