"""The shapes in which servers send text: what is text comes out as text. No I/O."""

from __future__ import annotations

import json
from collections.abc import Iterator

import msgspec

from streaming.errors import TaskError
from streaming.events.halves import whole
from streaming.events.vocabulary import Json, JsonMapping
from streaming.llm.base import Reasoning

#: Characters of what a server sent that are quoted in an error.
SHOWN = 120

#: Types of content parts that are thinking.
_THOUGHTS = ("thinking", "reasoning", "thought", "reasoning_text", "reasoning_content")
#: Members of a part that may hold its text, the likeliest first.
_HOLDS = ("text", "content", "value", "refusal", "thinking", "reasoning", "summary")


def parts(content: object, *, what: str = "content") -> Iterator[str | Reasoning]:
    """The text of a delta's content, whatever its shape; `upstream_error` for what is none."""
    if content is None or content == "" or content == [] or content == {}:
        return
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            yield from parts(part, what=what)
    elif isinstance(content, dict) and any(name in content for name in _HOLDS):
        held = _held(content)
        thought = content.get("thought") is True or content.get("type") in _THOUGHTS
        for part in parts(held, what=what):
            yield Reasoning(part) if thought and isinstance(part, str) else part
    else:
        raise odd(content, what)


def thought(content: object, *, what: str = "reasoning") -> str:
    """The text of a delta's thinking."""
    found = parts(content, what=what)
    return "".join(part if isinstance(part, str) else part.text for part in found)


def _held(part: JsonMapping) -> object:
    return next((part[name] for name in _HOLDS if part.get(name) is not None), None)


def odd(found: object, what: str) -> TaskError:
    """The error for what is not of any shape that is known."""
    message = f"the model's server sent {what} that is no text: {shown(found)}"
    return TaskError(message, code="upstream_error")


def shown(found: object) -> str:
    """What a server sent, as an error quotes it."""
    try:
        text = (
            found if isinstance(found, str) else json.dumps(found, ensure_ascii=False, default=str)
        )
    except RecursionError:
        text = "nested too deeply"
    text = whole(text)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def parsed(data: bytes) -> Json:
    """JSON as servers write it: half surrogates, NaN and wrong bytes too; `ValueError` else."""
    try:
        return msgspec.json.decode(data)
    except msgspec.DecodeError:
        pass
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    try:
        text = data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
