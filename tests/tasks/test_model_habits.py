"""Every task that uses a model, on every habit of model servers: one table of expected ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from examples.openai_habits import HABITS
from examples.openai_server import ModelServer
from streaming.errors import TaskError
from streaming.llm.openai import OpenAIModel
from streaming.llm.server import Patience
from streaming.tasks.agent import agent
from streaming.tasks.chat import chat
from streaming.tasks.generate import generate
from streaming.tasks.report import report
from tests.llm.conftest import KEY, model_server  # noqa: F401 - fixture
from tests.tasks.conftest import Bench

PATIENCE = Patience(first_token_s=0.4, token_s=0.4, retry_s=0.01, loading_s=5, signs=3)
#: Of those who keep silent for longer than anybody waits.
SILENT, SHORT = {"silent", "mute", "stalling"}, replace(PATIENCE, first_token_s=0.1, token_s=0.1)
TASKS: dict[str, tuple[Any, dict[str, Any]]] = {
    "generate": (generate, {"prompt": "Tides", "seed": 3}),
    "report": (report, {"csv": "month,sales\n2024-01,12\n2024-02,15\n2024-03,11\n"}),
    "chat": (chat, {"message": "Hello", "approval_s": 0.05}),
    "agent": (agent, {"question": "What is 12 * 3?"}),
}

#: How an answer ends, and what the model's server is asked: by generate, report, chat and agent.
#: An end is a finish reason, `length` with a text that is cut, or the code of a failure. In a
#: conversation a failure is that of the turn.
ENDS: dict[str, tuple[str, int, int, int, int]] = {
    "fluent": ("stop", 1, 1, 2, 3),
    "thinking": ("stop", 1, 1, 2, 3),
    "split": ("stop", 1, 1, 1, 2),
    "picky": ("stop", 1, 1, 2, 3),
    "strict": ("stop", 4, 3, 4, 5),
    "busy": ("stop", 3, 3, 4, 5),
    "dated": ("stop", 2, 2, 2, 3),
    "loading": ("stop", 5, 5, 5, 6),
    "lively": ("stop", 1, 1, 1, 2),
    "eos": ("stop", 1, 1, 1, 2),
    "undone": ("stop", 1, 1, 1, 2),
    "torn": ("stop", 1, 1, 1, 2),
    "muttering": ("stop", 1, 1, 1, 2),
    "parted": ("stop", 1, 1, 1, 2),
    "nested": ("stop", 1, 1, 1, 2),
    "tagged": ("stop", 1, 1, 1, 2),
    "opened": ("stop", 1, 1, 1, 2),
    "halved": ("stop", 1, 1, 1, 2),
    "returning": ("stop", 1, 1, 1, 2),
    "plain": ("stop", 1, 1, 1, 2),
    "refusing": ("refused", 1, 1, 1, 2),
    "capped": ("length", 1, 1, 1, 2),
    "endless": ("length", 1, 1, 1, 2),
    "brooding": ("upstream_error", 1, 1, 1, 2),
    "wordless": ("upstream_error", 1, 1, 1, 2),
    "hollow": ("upstream_error", 1, 1, 1, 1),
    "erring": ("upstream_error", 1, 1, 1, 1),
    "aborting": ("upstream_error", 1, 1, 1, 1),
    "filtering": ("content_filtered", 1, 1, 1, 1),
    "numeric": ("upstream_error", 1, 1, 1, 1),
    "pictured": ("upstream_error", 1, 1, 1, 1),
    "stalling": ("upstream_error", 1, 1, 1, 1),
    "cut": ("upstream_error", 1, 1, 1, 1),
    "breaking": ("upstream_error", 1, 1, 1, 1),
    "unwilling": ("upstream_error", 1, 1, 1, 1),
    "counting_on": ("stop", 1, 1, 1, 2),
    "counting": ("upstream_error", 1, 1, 1, 1),
    "unfinished": ("upstream_error", 1, 1, 1, 1),
    "failing": ("upstream_error", 1, 1, 1, 1),
    "garbled": ("upstream_error", 1, 1, 1, 1),
    "azure": ("content_filtered", 1, 1, 1, 1),
    "wrapped": ("upstream_error", 1, 1, 1, 1),
    "page": ("upstream_error", 1, 1, 1, 1),
    "lined": ("upstream_error", 1, 1, 1, 1),
    "crowded": ("rate_limited", 1, 1, 1, 1),
    "vanishing": ("upstream_error", 1, 1, 1, 1),
    "silent": ("model_unavailable", 1, 1, 1, 1),
    "mute": ("model_unavailable", 1, 1, 1, 1),
    "overrun": ("rate_limited", 1, 1, 1, 1),
    "broken": ("upstream_error", 3, 3, 3, 3),
    "narrow": ("context_too_long", 1, 1, 1, 1),
}
#: How it ends depends on the time that a test would have to wait.
ELSEWHERE = {"slow", "away", "brooding_long", "swamped", "closed", "pausing"}
FINISHES = {"stop", "length", "refused"}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("habit", ENDS)
def test_a_task_ends_as_the_habit_of_its_model_has_it(
    model_server: ModelServer,  # noqa: F811
    task: str,
    habit: str,
) -> None:
    end, *calls = ENDS[habit]

    seen, job = run(model_server, task, habit)

    assert (seen, len(model_server.answers)) == (end, calls[list(TASKS).index(task)])
    assert job.context.llm.told.get("cut", False) is (
        end == "length" or habit == "brooding" or (end not in FINISHES and has_text(job, task))
    )


def test_every_habit_has_its_place_in_the_table() -> None:
    assert ENDS.keys() | ELSEWHERE == HABITS.keys()


def run(server: ModelServer, task: str, habit: str) -> tuple[str, Bench]:
    """How it ended, and the job."""
    recipe, data = TASKS[task]
    patience = SHORT if habit in SILENT else PATIENCE
    model = OpenAIModel(
        server.url, [habit], key=KEY, patience=patience, answer_tokens=60, step_tokens=60
    )
    job = Bench(recipe, data)
    if task == "chat":
        job.feed({"end": True})
    try:
        output = job.run(model=model)
    except TaskError as error:
        return error.code, job
    if task == "chat" and output.get("failed"):
        (told,) = [each["message"] for each in job.data("log") if each["level"] == "error"]
        return told.rpartition("(")[2].rstrip(")"), job
    return str(job.context.llm.told["finish_reason"]), job


def has_text(job: Bench, task: str) -> bool:
    """Whether the model has written something that is not whole: an agent's first is thinking."""
    said = job.data("text.delta") + job.data("reasoning.delta")
    return bool(said)
