"""Requests of the AI SDK's chat transports: a conversation of UI messages as a question."""

from __future__ import annotations

from collections.abc import Iterator

from streaming.events.event import dumps
from streaming.events.vocabulary import Json, JsonMapping, JsonObject
from streaming.protocols.question import (
    Question,
    as_object,
    check_messages,
    member,
    parameters_of,
    refuse,
    text_of,
)

#: Members of a request that are the transport's or ours; all others are the model's.
_OURS = ("id", "messages", "trigger", "messageId", "model", "metadata")
#: Characters of a chat's id.
ID_LENGTH = 200


def parse(body: Json) -> Question:
    """The question of a body, which goes on without its asker; `BadRequest` names the member."""
    body = as_object(body, "body")
    chat = chat_id(body.get("id"))
    said = body.get("messages")
    if not isinstance(said, list) or not said:
        raise refuse("messages", "a list of at least one message")
    messages = [
        message
        for index, each in enumerate(said)
        for message in _said(as_object(each, f"messages.{index}"), f"messages.{index}")
    ]
    return Question(
        model=member(body, "model", str, ""),
        messages=check_messages(messages),
        parameters=parameters_of(body, _OURS),
        stream=True,
        goes_on=True,
        origin={"chat": chat},
    )


def chat_id(value: Json) -> str:
    """The id of a conversation; `BadRequest` where it is none."""
    if not isinstance(value, str) or not 1 <= len(value) <= ID_LENGTH:
        raise refuse("id", f"the chat's id, 1 to {ID_LENGTH} characters")
    return value


def _said(message: JsonMapping, at: str) -> Iterator[JsonObject]:
    """A UI message as messages of Chat Completions: an assistant's with its tools' results."""
    role, parts = message.get("role"), message.get("parts")
    if parts is None:  # as older transports have it
        yield {"role": role, "content": message.get("content")}
        return
    if not isinstance(parts, list):
        raise refuse(f"{at}.parts", "a list")
    for index, part in enumerate(parts):
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise refuse(f"{at}.parts.{index}", "an object with a type")
    if role == "assistant":
        yield from _answered(parts)
    else:
        yield {"role": role, "content": _content(parts, at)}


def _content(parts: list[JsonObject], at: str) -> Json:
    """What a person has said: text, or parts where there are files."""
    found: list[JsonObject] = []
    for index, part in enumerate(parts):
        if part["type"] == "text":
            found.append({"type": "text", "text": text_of(part, f"{at}.parts.{index}")})
        elif part["type"] == "file":
            found.append(_file(part, f"{at}.parts.{index}"))
    if all(part["type"] == "text" for part in found):
        return "".join(part["text"] for part in found)
    return found


def _file(part: JsonMapping, at: str) -> JsonObject:
    url, kind = part.get("url"), str(part.get("mediaType") or "")
    if not isinstance(url, str):
        raise refuse(f"{at}.url", "a string")
    if kind.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": url}}
    if kind.startswith("audio/"):
        raise refuse(f"{at}.mediaType", "audio is not supported", code="unsupported")
    return {"type": "file", "file": {"filename": part.get("filename") or "file", "file_data": url}}


def _answered(parts: list[JsonObject]) -> Iterator[JsonObject]:
    """What was answered. Tools that the task itself has run are its own affair."""
    text = "".join(str(part.get("text") or "") for part in parts if part["type"] == "text")
    calls: list[Json] = []
    results: list[JsonObject] = []
    for part in parts:
        name = _tool(part)
        if not name or part.get("providerExecuted"):
            continue
        id, state = part.get("toolCallId"), part.get("state")
        if state not in ("output-available", "output-error"):
            continue  # without a result no model takes it
        function = {"name": name, "arguments": dumps(part.get("input") or {}).decode()}
        calls.append({"id": id, "type": "function", "function": function})
        output = part.get("errorText") if state == "output-error" else part.get("output")
        content = output if isinstance(output, str) else dumps(output).decode()
        results.append({"role": "tool", "tool_call_id": id, "content": content})
    yield {"role": "assistant", "content": text} | ({"tool_calls": calls} if calls else {})
    yield from results


def _tool(part: JsonMapping) -> str:
    kind = str(part["type"])
    if kind == "dynamic-tool":
        return str(part.get("toolName") or "")
    return kind.removeprefix("tool-") if kind.startswith("tool-") else ""
