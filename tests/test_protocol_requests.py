"""Requests of every protocol: what is refused, and named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from streaming.errors import BadRequest
from streaming.protocols import (
    agui_request,
    chat,
    messages_request,
    responses_request,
    ui_request,
)
from streaming.tasks.agent import AgentInput


def _chat(more: dict[str, Any]) -> None:
    chat.parse({"messages": [{"role": "user", "content": "x"}], **more})


def _messages(more: dict[str, Any]) -> None:
    said = [{"role": "user", "content": "x"}]
    messages_request.parse({"max_tokens": 1, "messages": said, **more})


def _responses(more: dict[str, Any]) -> None:
    responses_request.parse({"input": "x", **more}, lambda _: None, lambda _: [])


def _ui(more: dict[str, Any]) -> None:
    ui_request.parse({"id": "c", "messages": [{"role": "user", "content": "x"}], **more})


@pytest.mark.parametrize("parse", [_chat, _messages, _responses, _ui])
@pytest.mark.parametrize(
    ("name", "value"),
    [("n", 2), ("logprobs", True), ("top_logprobs", 1), ("audio", {}), ("modalities", ["audio"])],
)
def test_what_a_log_of_text_does_not_carry_is_named_by_every_protocol(
    parse: Callable[[dict[str, Any]], None], name: str, value: Any
) -> None:
    with pytest.raises(BadRequest, match=f"{name} is not supported"):
        parse({name: value})
    parse({"n": 1, "logprobs": False, "modalities": ["text"]})


def test_probabilities_are_not_included_in_a_response() -> None:
    with pytest.raises(BadRequest, match="logprobs"):
        _responses({"include": ["message.output_text.logprobs"]})
    _responses({"include": ["reasoning.encrypted_content"]})


ODD_PARTS: list[Any] = [
    [{"type": "text"}],
    [{"type": "text", "text": None}],
    [{"type": "text", "text": ["x"]}],
    [{"type": "text", "text": "fine"}, {"type": "text", "text": 5}],
    ["x"],
    5,
]


def _agui(more: dict[str, Any]) -> None:
    agui_request.parse({"runId": "r", **more}, "agent", takes_tools=False)


@pytest.mark.parametrize("content", [*ODD_PARTS, None])
@pytest.mark.parametrize("parse", [_chat, _messages, _agui])
def test_what_is_no_text_is_refused_before_it_is_a_job(
    parse: Callable[[dict[str, Any]], None], content: Any
) -> None:
    with pytest.raises(BadRequest, match=r"messages\.0\.content"):
        parse({"messages": [{"role": "user", "content": content}]})


@pytest.mark.parametrize("content", [*ODD_PARTS, None])
def test_what_is_no_text_is_refused_in_an_input_and_on_a_page(content: Any) -> None:
    with pytest.raises(BadRequest, match=r"input\.0\.content"):
        _responses({"input": [{"role": "user", "content": content}]})
    with pytest.raises(BadRequest, match=r"messages\.0\."):
        _ui({"messages": [{"role": "user", "parts": content}]})


@pytest.mark.parametrize("calls", [5, "x", {}, [1], [None]])
def test_calls_of_tools_are_objects(calls: Any) -> None:
    said = [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": calls}]
    with pytest.raises(BadRequest, match=r"messages\.1\.tool_calls"):
        _chat({"messages": said})


def test_an_assistant_may_have_said_nothing() -> None:
    said = [{"role": "user", "content": "x"}, {"role": "assistant", "content": None}]
    _chat({"messages": said})
    _agui({"messages": said})


@pytest.mark.parametrize(
    "more",
    [
        {"system": [{"type": "text", "text": 5}]},
        {"tools": [{"name": "f"}], "tool_choice": {"type": ["auto"]}},
    ],
)
def test_members_of_a_message_are_what_they_should_be(more: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        _messages(more)


@pytest.mark.parametrize(
    "said",
    [
        "x",
        [1],
        [{"role": "user", "content": [1]}],
        [{"role": "user", "content": [{"type": "text", "text": 5}]}],
    ],
)
def test_a_conversation_that_is_none_is_refused_by_the_task(said: Any) -> None:
    with pytest.raises(ValidationError):
        AgentInput.model_validate({"messages": said})
