"""Requests of every protocol: what is refused, and named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streaming.errors import BadRequest
from streaming.protocols import chat, messages_request, responses_request, ui_request


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
