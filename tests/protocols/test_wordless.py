"""Answers without a word: one that the model ends so is passed on, one that breaks is none."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from tests.e2e.server import Server
from tests.protocols.conftest import ends_as, unique

Json = Any

MODES = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
PROTOCOLS = pytest.mark.parametrize("protocol", ["chat/completions", "responses", "messages"])


def ask(server: Server, protocol: str, model: str, stream: bool) -> requests.Response:
    said = unique("say nothing")
    question: Json = {"messages": [{"role": "user", "content": said}], "max_tokens": 20}
    if protocol == "responses":
        question = {"input": said}
    body = {"model": model, "stream": stream, **question}
    return requests.post(f"{server.url}/v1/{protocol}", json=body, timeout=30)


def frames_of(answer: requests.Response) -> list[Json]:
    """The data of each frame of a stream; a whole answer as the only one."""
    if not answer.headers["Content-Type"].startswith("text/event-stream"):
        return [answer.json()]
    lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def end_of(protocol: str, frames: list[Json]) -> tuple[Json, Json]:
    """How the answer ended by its protocol's own word, and what was said or called before."""
    if protocol == "chat/completions":
        choices = [choice for frame in frames for choice in frame["choices"]]
        said = [choice["delta" if "delta" in choice else "message"] for choice in choices]
        texts = [each.get("content") or each.get("tool_calls") for each in said]
        return choices[-1]["finish_reason"], [text for text in texts if text]
    if protocol == "responses":
        response = frames[-1].get("response") or frames[-1]
        return response["status"], response["output"]
    if len(frames) == 1:
        return frames[0]["stop_reason"], frames[0]["content"]
    (end,) = [frame for frame in frames if frame["type"] == "message_delta"]
    return end["delta"]["stop_reason"], [f for f in frames if f["type"].startswith("content")]


@MODES
@PROTOCOLS
def test_an_answer_that_the_model_ends_without_a_word_is_passed_on(
    server: Server, protocol: str, stream: bool
) -> None:
    answer = ask(server, protocol, "wordless", stream)

    assert answer.status_code == 200
    end, said = end_of(protocol, frames_of(answer))
    assert end == {"responses": "completed", "messages": "end_turn"}.get(protocol, "stop")
    assert said == []
    assert ends_as(server, answer.headers["X-Job-Id"], "completed")["finish_reason"] == "stop"


@pytest.mark.parametrize(("model", "stream"), [("hollow", True), ("vanishing", False)])
@PROTOCOLS
def test_an_answer_that_breaks_off_before_its_first_word_is_an_error(
    server: Server, protocol: str, model: str, stream: bool
) -> None:
    answer = ask(server, protocol, model, stream)

    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "upstream_error"
    job = ends_as(server, answer.headers["X-Job-Id"], "failed")
    assert (job["error"]["code"], job["error"]["retryable"]) == ("upstream_error", True)
