"""Requests of AG-UI's clients: the input of a run as a question."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from streaming.events.event import dumps
from streaming.events.vocabulary import Json, JsonMapping, JsonObject
from streaming.protocols.question import (
    Question,
    as_object,
    check_messages,
    member,
    refuse,
    text_of,
)

#: Characters of a run's or thread's id.
ID_LENGTH = 200
#: Bytes of a client's state that are kept, to give it back with its progress.
STATE_BYTES = 16 << 10


@dataclass(frozen=True, slots=True)
class Resume:
    """An answer to an interrupt: `payload` where a person gave one."""

    job: str
    request: str
    resolved: bool
    payload: Json


@dataclass(frozen=True, slots=True)
class Run:
    """What a request says of its run."""

    thread: str
    id: str
    resumes: tuple[Resume, ...]


def parse_run(body: Json) -> Run:
    """The run of a request; `BadRequest` names what is wrong."""
    body = as_object(body, "body")
    ids = []
    for name in ("threadId", "runId"):
        value = body.get(name)
        if not isinstance(value, str) or not 1 <= len(value) <= ID_LENGTH:
            raise refuse(name, f"a string of 1 to {ID_LENGTH} characters")
        ids.append(value)
    entries = member(body, "resume", list, [])
    resumes = tuple(_resume(each, f"resume.{index}") for index, each in enumerate(entries))
    return Run(ids[0], ids[1], resumes)


def _resume(entry: Json, at: str) -> Resume:
    entry = as_object(entry, at)
    id, status = entry.get("interruptId"), entry.get("status")
    job, _, request = str(id).partition(":")
    if not request:
        raise refuse(f"{at}.interruptId", "there is no such interrupt")
    if status not in ("resolved", "cancelled"):
        raise refuse(f"{at}.status", "resolved or cancelled")
    return Resume(job, request, status == "resolved", entry.get("payload"))


def parse(body: Json, model: str, *, takes_tools: bool) -> Question:
    """The question of a run. A task that knows no tools is not given the page's."""
    body = as_object(body, "body")
    said = member(body, "messages", list, [])
    messages = list(_context(member(body, "context", list, [])))
    for index, each in enumerate(said):
        messages += _message(as_object(each, f"messages.{index}"), f"messages.{index}")
    tools = [_tool(each, index) for index, each in enumerate(member(body, "tools", list, []))]
    return Question(
        model=model,
        messages=check_messages(messages),
        parameters={"tools": tools} if tools and takes_tools else {},
        stream=True,
        origin={"run": body["runId"], "state": _state(body.get("state")), "asks_by_ending": True},
    )


def _state(state: Json) -> Json:
    """What is given back at the start; None where it is too large to be kept."""
    known = state if isinstance(state, dict) else {}
    if len(dumps(known)) > STATE_BYTES:
        return None
    return {**known, "percent": 0, "progress": {"percent": 0, "message": ""}}


def _context(entries: list[Json]) -> Iterator[JsonObject]:
    """What the page says of itself, for the model."""
    lines = [
        f"{each.get('description')}: {each.get('value')}"
        for each in entries
        if isinstance(each, dict)
    ]
    if lines:
        yield {"role": "system", "content": "\n".join(lines)}


def _tool(tool: Json, index: int) -> Json:
    tool = as_object(tool, f"tools.{index}")
    function = {"name": tool.get("name"), "description": tool.get("description") or ""}
    function["parameters"] = tool.get("parameters") or {"type": "object", "properties": {}}
    return {"type": "function", "function": function}


def _message(message: JsonMapping, at: str) -> list[JsonObject]:
    role, content = message.get("role"), message.get("content")
    if role in ("reasoning", "activity"):  # for people alone
        return []
    if isinstance(content, list):
        content = [_part(each, f"{at}.content.{i}") for i, each in enumerate(content)]
    shown: JsonObject = {"role": role, "content": content}
    if role == "assistant" and message.get("toolCalls"):
        shown["tool_calls"] = message["toolCalls"]
        shown["content"] = content or ""
    if role == "tool":
        shown["tool_call_id"] = message.get("toolCallId")
    return [shown]


def _part(part: Json, at: str) -> JsonObject:
    part = as_object(part, at)
    kind = part.get("type")
    if kind == "text":
        return {"type": "text", "text": text_of(part, at)}
    if kind not in ("image", "binary"):
        raise refuse(f"{at}.type", f"{str(kind)[:40]!r} is not supported", code="unsupported")
    source = part.get("source") if kind == "image" else part
    source = as_object(source, f"{at}.source")
    url = source.get("url") or source.get("value")
    if source.get("type") == "data" or source.get("data"):
        data = source.get("data") or source.get("value")
        url = f"data:{source.get('mimeType') or 'image/png'};base64,{data}"
    return {"type": "image_url", "image_url": {"url": url}}
