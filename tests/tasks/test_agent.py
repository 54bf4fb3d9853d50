from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from examples.openai_server import ModelServer
from streaming.concurrency.stop_signal import StopSignal
from streaming.errors import InvalidInput, TaskError
from streaming.llm.base import Piece, Prompt, ToolCall
from streaming.llm.simulated import SimulatedModel
from streaming.tasks.agent import agent
from streaming.tasks.agent_tools import figure
from streaming.tasks.analysis.table import parse
from tests.llm.conftest import Connect, connect, model_server  # noqa: F401 - fixtures
from tests.tasks.conftest import Bench

Make = Callable[..., Bench]

SALES = b"month,revenue\n2024-01,100\n2024-02,120\n2024-03,140\n"
STEPS = ["understand", "search", "tools", "answer"]


def test_the_steps_are_done_in_order(bench: Make) -> None:
    job = bench(agent, question="When is SSE the first choice?", tokens_per_s=0)

    job.run()

    done = [step["id"] for step in job.data("step.updated") if step["status"] == "completed"]
    assert done == STEPS


def test_the_answer_is_streamed_and_cites_what_was_found(bench: Make) -> None:
    job = bench(agent, question="What about Server-Sent Events and EventSource?", tokens_per_s=0)

    output = job.run()

    assert "".join(each["text"] for each in job.data("text.delta")) == output["answer"]
    assert "[1]" in output["answer"]
    assert output["sources"][0] == {
        "number": 1,
        "id": "streaming.md#2",
        "title": "Server-Sent Events",
    }


def test_its_thinking_is_reasoning(bench: Make) -> None:
    job = bench(agent, question="What are leases?", tokens_per_s=0)

    job.run()

    assert "leases" in job.data("reasoning.delta")[0]["text"]


@pytest.mark.parametrize(
    ("question", "tool", "output"),
    [
        ("What is 12 * (3 + 4)?", "calculate", 84),
        ("Which day is 2024-02-28 + 2 days?", "date", "2024-03-01"),
        ("What is the mean of revenue?", "look_up", 120.0),
        ("What is the 2024-03 of revenue?", "look_up", 140.0),
    ],
)
def test_a_question_for_a_figure_calls_the_tool_for_it(
    bench: Make, question: str, tool: str, output: Any
) -> None:
    job = bench(agent, question=question, table="file_t", tokens_per_s=0)
    job.upload("file_t", SALES)

    answer = job.run()["answer"]

    calls = {call["name"]: call["id"] for call in job.data("tool.call")}
    results = {result["id"]: result["output"] for result in job.data("tool.result")}
    assert results[calls[tool]] == output
    assert f"= {output}" in answer


def test_uploaded_documents_are_searched_instead_of_the_handbook(bench: Make) -> None:
    job = bench(agent, question="Who feeds the walrus?", documents=["file_d"], tokens_per_s=0)
    job.upload("file_d", b"# Animals\n\nThe walrus is fed by Ann. She likes it.", name="zoo.md")

    output = job.run()

    assert output["answer"] == "Animals: The walrus is fed by Ann. [1]"
    assert output["sources"][0]["id"] == "zoo.md#1"


def test_a_question_that_no_document_answers_is_said_to_be_one(bench: Make) -> None:
    output = bench(agent, question="Zyzzyva?", tokens_per_s=0).run()

    assert output["sources"] == []
    assert "say nothing" in output["answer"]


@pytest.mark.parametrize(
    ("given", "content", "code"),
    [
        ({"table": "file_x"}, b"month,revenue\n2024-01,many\n2024-02,1\n", "bad_csv"),
        ({"documents": ["file_x"]}, b"\xff\xfe\x00", "bad_document"),
        ({"documents": ["file_y"]}, b"", "file_not_found"),
    ],
)
def test_a_bad_file_fails_the_first_step(
    bench: Make, given: dict[str, Any], content: bytes, code: str
) -> None:
    job = bench(agent, question="?" * 3, tokens_per_s=0, **given)
    job.upload("file_x", content)

    with pytest.raises(TaskError) as failure:
        job.run()

    assert failure.value.code == code
    assert job.state.steps["understand"]["status"] == "failed"


@pytest.mark.parametrize("given", [{}, {"question": ""}, {"question": "?", "tools": []}])
def test_a_bad_input_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        agent.validate(given)


class Scripted(SimulatedModel):
    """Wants these tools called, round by round."""

    def __init__(self, *rounds: list[ToolCall]) -> None:
        super().__init__()
        self.rounds = list(rounds)
        self.asked: list[Prompt] = []

    def stream(self, prompt: Prompt, stop: StopSignal) -> Iterator[Piece]:
        self.asked.append(prompt)
        if prompt.tools:
            yield from self.rounds.pop(0) if self.rounds else []
        else:
            yield "Done."


def test_a_tool_that_fails_is_tried_again_and_then_left_out(bench: Make) -> None:
    job = bench(agent, question="What?", tokens_per_s=0)
    model = Scripted([ToolCall("1", "calculate", '{"expression": "1/0"}')])

    job.run(model=model)

    assert len([call for call in job.data("tool.call") if call["name"] == "calculate"]) == 2
    assert job.state.steps["tools"]["status"] == "completed"
    assert "division by zero" in str(model.asked[-1].messages[-1]["content"])


@pytest.mark.parametrize(
    "call",
    [
        ToolCall("1", "calculate", "not json"),
        ToolCall("1", "calculate", '{"other": 1}'),
        ToolCall("1", "launch", "{}"),
    ],
)
def test_a_call_that_makes_no_sense_is_told_to_the_model(bench: Make, call: ToolCall) -> None:
    job, model = bench(agent, question="What?", tokens_per_s=0), Scripted([call])

    assert job.run(model=model)["answer"] == "Done."

    assert "error" in json.loads(str(model.asked[-1].messages[-1]["content"]))


def test_a_search_that_fails_fails_its_step(bench: Make) -> None:
    job = bench(agent, question="What?", tokens_per_s=0)
    model = Scripted([ToolCall("1", "search", '{"wrong": "argument"}')])

    with pytest.raises(TaskError) as failure:
        job.run(model=model)

    assert failure.value.code == "tool_failed"
    assert job.state.steps["search"]["status"] == "failed"


def test_a_model_may_ask_for_more_tools_but_not_without_end(bench: Make) -> None:
    job = bench(agent, question="What?", tokens_per_s=0)
    again = [ToolCall("1", "calculate", '{"expression": "1+1"}')]

    job.run(model=Scripted(*[again] * 9))

    assert len([call for call in job.data("tool.call") if call["name"] == "calculate"]) == 3


def test_a_real_model_chooses_the_tools(
    bench: Make,
    connect: Connect,  # noqa: F811
    model_server: ModelServer,  # noqa: F811
) -> None:
    job = bench(agent, question="2+3")

    output = job.run(model=connect("thinking"))

    names = [call["name"] for call in job.data("tool.call")]
    assert (names[0], sorted(set(names))) == ("search", ["calculate", "date", "search"])
    assert output["tools"][1]["output"] == 5
    assert "GET" not in output["answer"]
    assert len(job.data("reasoning.delta")) >= 5


def test_a_figure_of_a_table_may_be_missing() -> None:
    table = parse("month,a\n2024-01,\n2024-02,5\n2024-03,6\n")

    with pytest.raises(TaskError, match="no figure"):
        figure(table, "a", "2024-01")
