"""The stream of an OpenAI-compatible server: bytes to pieces of an answer. No I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from streaming.errors import TaskError
from streaming.events.vocabulary import Json
from streaming.llm.base import Ending, Piece, Reasoning, ToolCall, ToolCallPart, Usage

#: Bytes of one frame at the most.
MAX_FRAME = 1 << 20
#: Characters that are kept of what a server says about its error.
SAID = 300

#: What servers of different makers say when a prompt does not fit.
_TOO_LONG = re.compile(r"context.{0,12}(length|size|window|limit)|too long|too many tokens", re.I)
_RATE = re.compile(r"rate.?limit|too many requests|quota", re.I)


def frames(chunks: Iterable[bytes]) -> Iterator[str]:
    """The data of each server-sent event; comments and empty events are left out."""
    data: list[str] = []
    for line in _lines(chunks):
        if not line:
            if data:
                yield "\n".join(data)
            data = []
        elif line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" ").decode("utf-8", "replace"))
    if data:
        raise TaskError("the model's answer was cut in the middle", code="upstream_error")


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines without their ends; a character split between two chunks is whole again here."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r")
        if len(rest) > MAX_FRAME:
            message = f"a frame of the model's answer is over {MAX_FRAME} bytes"
            raise TaskError(message, code="upstream_error")
    if rest:
        yield rest


def pieces(events: Iterable[str]) -> Iterator[Piece]:
    """The pieces of an answer. `TaskError` for an error among them, and for one without an end."""
    answer = _Answer()
    for event in events:
        if event == "[DONE]":
            break
        yield from answer.take(_parsed(event))
    yield from answer.end()


class _Answer:
    """What has come of one answer so far."""

    def __init__(self) -> None:
        self._calls: dict[int, dict[str, str]] = {}
        self._finish: str | None = None
        self._usage: Mapping[str, Any] | None = None

    def take(self, chunk: Mapping[str, Any]) -> Iterator[Piece]:
        if chunk.get("error"):
            raise failure(None, chunk)
        self._usage = chunk.get("usage") or self._usage
        for choice in chunk.get("choices") or []:
            delta = choice.get("delta") or {}
            thought = delta.get("reasoning_content") or delta.get("reasoning")
            if thought:
                yield Reasoning(str(thought))
            if delta.get("content"):
                yield str(delta["content"])
            for part in delta.get("tool_calls") or []:
                yield self._add(part)
            self._finish = choice.get("finish_reason") or self._finish

    def end(self) -> Iterator[Piece]:
        if self._finish is None:
            message = "the model's answer ended without a finish reason: it is not whole"
            raise TaskError(message, code="upstream_error", retryable=True)
        if self._finish == "content_filter":
            message = "the model's server stopped the answer (content_filter)"
            raise TaskError(message, code="content_filtered")
        for index, call in sorted(self._calls.items()):
            yield ToolCall(call["id"] or f"call_{index}", call["name"], call["arguments"])
        if self._usage is not None:
            prompt, completion = (
                int(self._usage.get(name) or 0) for name in ("prompt_tokens", "completion_tokens")
            )
            yield Usage(prompt, completion)
        known = {"length": "length", "tool_calls": "tool_calls", "stop": "stop"}
        yield Ending(known.get(self._finish, "stop"))  # type: ignore[arg-type]

    def _add(self, part: Mapping[str, Any]) -> ToolCallPart:
        """A part of a tool call: the id and the name come once, the arguments in pieces."""
        index = int(part.get("index") or 0)
        call = self._calls.setdefault(index, {"id": "", "name": "", "arguments": ""})
        function = part.get("function") or {}
        call["id"] = part.get("id") or call["id"]
        call["name"] = function.get("name") or call["name"]
        call["arguments"] += function.get("arguments") or ""
        added = function.get("arguments") or ""
        return ToolCallPart(index, call["id"] or f"call_{index}", call["name"], added)


def failure(status: int | None, body: Json, retry_after_s: float | None = None) -> TaskError:
    """What a server's error means here. `status` is None for an error within a stream."""
    said, code = _said(body)
    kind, retryable, meaning = _kind(status, f"{code} {said}")
    where = "in the middle of its answer" if status is None else f"with status {status}"
    # What a server says of a wrong key may quote it.
    quoted = "" if status in (401, 403) or not said else f": {said}"
    extra: dict[str, Any] = {} if retry_after_s is None else {"retry_after_s": retry_after_s}
    extra |= {} if status is None else {"upstream_status": status}
    detail = f"{meaning} (the model's server failed {where}{quoted})"
    return TaskError(detail, code=kind, retryable=retryable, **extra)


def _kind(status: int | None, said: str) -> tuple[str, bool, str]:
    """Code, whether to try again, and what it means."""
    if status in (None, 400, 413, 422) and _TOO_LONG.search(said):
        return "context_too_long", False, "the prompt is too long for the model"
    if status == 429 or (status is None and _RATE.search(said)):
        return "rate_limited", "quota" not in said, "the model takes no more questions at present"
    if status in (401, 403):
        return "model_unavailable", False, "the model's server refuses the key (…_LLM_API_KEY)"
    if status == 404:
        return "model_unavailable", False, "there is no such model (STREAMING_LLM_MODEL)"
    if status in (502, 503, 504):
        return "model_unavailable", True, "the model is not there"
    if status is not None and 300 <= status < 400:
        return "model_unavailable", False, "STREAMING_LLM_BASE_URL leads elsewhere"
    passing = status is None or status in (408, 409) or status >= 500
    return "upstream_error", passing, "the model failed"


def _said(body: Json) -> tuple[str, str]:
    """Message and code of an error body, of whatever form."""
    error = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(error, dict):
        return str(error or "")[:SAID], ""
    message = error.get("message") or error.get("detail") or ""
    return str(message)[:SAID], str(error.get("code") or error.get("type") or "")


def _parsed(event: str) -> Mapping[str, Any]:
    try:
        chunk = json.loads(event)
    except ValueError:
        chunk = None
    if not isinstance(chunk, dict):
        message = "the model's server sent a frame that is no JSON object"
        raise TaskError(message, code="upstream_error", retryable=True)
    return chunk
