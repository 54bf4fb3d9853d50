"""Requests of OpenAI's Responses, in the form that models are asked in; and back, for reading."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from streaming.events.vocabulary import Json, JsonMapping, JsonObject
from streaming.protocols.question import (
    Question,
    as_object,
    check_messages,
    member,
    parameters_of,
    refuse,
    refuse_parameter,
    text_of,
)

#: Finds an output item of an earlier response by its id; None when there is none.
FindItem = Callable[[str], JsonMapping | None]
#: The messages of an earlier response's conversation, its answer included.
FindConversation = Callable[[str], Sequence[JsonMapping]]

#: Members that are put in another form, or are not the model's.
_OURS = (
    "model", "input", "instructions", "stream", "stream_options", "store", "metadata", "background",
    "previous_response_id", "tools", "tool_choice", "text", "reasoning", "max_output_tokens",
    "include", "truncation", "generate", "type", "event_id", "webhook",
)  # fmt: skip
#: What the webhook of a response tells of.
ENDS = ("job.completed", "job.failed", "job.cancelled")
#: Members that ask for what a log of text does not carry, or only OpenAI's own service does.
_UNSUPPORTED = ("conversation", "prompt", "max_tool_calls", "context_management")
#: What `include` may not name.
_LOGPROBS = "message.output_text.logprobs"


def parse(body: Json, find_item: FindItem, find_conversation: FindConversation) -> Question:
    """The question of a request body; `BadRequest` names the member that is wrong."""
    body = as_object(body, "body")
    for name in _UNSUPPORTED:
        if body.get(name):
            raise refuse_parameter(name)
    if _LOGPROBS in member(body, "include", list, []):
        raise refuse("include", f"{_LOGPROBS} is not supported here", code="unsupported_parameter")
    background, store = (member(body, n, bool, n == "store") for n in ("background", "store"))
    if background and not store:
        raise refuse("background", "a background response is stored: leave out store: false")
    previous = member(body, "previous_response_id", str)
    instructions = member(body, "instructions", str)
    head = [{"role": "system", "content": instructions}] if instructions else []
    history = list(find_conversation(previous)) if previous else []
    new = list(_messages(body.get("input"), find_item))
    origin: JsonObject = {
        "store": store,
        "background": background,
        "instructions": bool(instructions),
        # Where the messages of this request begin.
        "begins": len(head) + len(history),
    }
    return Question(
        model=member(body, "model", str, ""),
        messages=check_messages([*head, *history, *new], "input"),
        parameters=_parameters(body),
        stream=member(body, "stream", bool, False),
        goes_on=background,
        origin={**origin, **({"previous": previous} if previous else {})},
        metadata=member(body, "metadata", dict, {}),
        webhook=_webhook(body, background=background),
    )


def _webhook(body: JsonMapping, *, background: bool) -> JsonObject | None:
    """Who is told of the end of a background response, our extension; None for nobody."""
    asked = member(body, "webhook", dict)
    if asked is None:
        return None
    if not background:
        raise refuse("webhook", "only a background response has one: add background: true")
    unknown = sorted(asked.keys() - {"url"})
    if unknown:
        raise refuse(f"webhook.{unknown[0]}", "is not known: a webhook has a url")
    url = asked.get("url")
    if not isinstance(url, str):
        raise refuse("webhook.url", "must be a string: where to POST")
    return {"url": url, "events": list(ENDS), "form": "response"}


def answer_messages(output: Sequence[JsonMapping]) -> list[JsonObject]:
    """A response's output as messages of the conversation that goes on."""
    return _joined(message for item in output for message in _item(item, "output", _no_item))


def input_items(messages: Sequence[JsonMapping], job: str, begins: int) -> list[Json]:
    """The messages of a request as the items that `GET …/input_items` lists."""
    return [
        {"id": f"msg_{job}_in{index}_{n}", **item}
        for index, message in enumerate(messages)
        if index >= begins
        for n, item in enumerate(_as_items(message))
    ]


def _messages(given: Json, find_item: FindItem) -> list[JsonObject]:
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    if not isinstance(given, list) or not given:
        raise refuse("input", "a string, or a list of items")
    return _joined(
        message
        for index, item in enumerate(given)
        for message in _item(as_object(item, f"input.{index}"), f"input.{index}", find_item)
    )


def _joined(messages: Iterator[JsonObject]) -> list[JsonObject]:
    """Calls that stand one behind the other belong to one message of the assistant."""
    found: list[JsonObject] = []
    for message in messages:
        last = found[-1] if found else {}
        if "tool_calls" in message and last.get("role") == "assistant":
            last["tool_calls"] = [*last.get("tool_calls", []), *message["tool_calls"]]
        else:
            found.append(message)
    return found


def _item(item: JsonMapping, at: str, find_item: FindItem) -> Iterator[JsonObject]:
    kind = item.get("type", "message")
    if kind == "message":
        yield {"role": item.get("role"), "content": _content(item.get("content"), f"{at}.content")}
    elif kind == "function_call":
        function = {"name": item.get("name"), "arguments": item.get("arguments") or "{}"}
        call = {"id": item.get("call_id"), "type": "function", "function": function}
        yield {"role": "assistant", "content": None, "tool_calls": [call]}
    elif kind == "function_call_output":
        output = item.get("output")
        content = output if isinstance(output, str) else _content(output, f"{at}.output")
        yield {"role": "tool", "tool_call_id": item.get("call_id"), "content": content}
    elif kind == "item_reference":
        found = find_item(str(item.get("id")))
        if found is None:
            raise refuse(f"{at}.id", "there is no such item", code="item_not_found")
        yield from _item(found, at, find_item)
    elif kind != "reasoning":  # thinking is not said again
        raise refuse(f"{at}.type", f"{str(kind)[:40]!r} is not supported here")


def _content(content: Json, at: str) -> Json:
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise refuse(at, "a string, or a list of parts")
    parts = [_part(as_object(each, f"{at}.{n}"), f"{at}.{n}") for n, each in enumerate(content)]
    if all(part["type"] == "text" for part in parts) and len(parts) == 1:
        return parts[0]["text"]
    return parts


def _part(part: JsonMapping, at: str) -> JsonObject:
    kind = part.get("type")
    if kind in ("input_text", "output_text", "text", "refusal"):
        name = "refusal" if kind == "refusal" else "text"
        return {"type": "text", "text": text_of(part, at, name)}
    if kind == "input_image" and part.get("image_url"):
        detail = {"detail": part["detail"]} if part.get("detail") else {}
        return {"type": "image_url", "image_url": {"url": part["image_url"], **detail}}
    if kind == "input_audio":
        raise refuse(f"{at}.type", "audio is not supported", code="unsupported")
    if kind == "input_file" and part.get("file_data"):
        file = {"filename": part.get("filename"), "file_data": part["file_data"]}
        return {"type": "file", "file": file}
    raise refuse(f"{at}.type", f"{str(kind)[:40]!r} is not supported here, or not with an id")


def _parameters(body: JsonMapping) -> JsonObject:
    passed = parameters_of(body, (*_OURS, *_UNSUPPORTED))
    found = {name: value for name, value in passed.items() if value is not None}
    if (limit := member(body, "max_output_tokens", int)) is not None:
        found["max_tokens"] = limit
    if effort := member(body, "reasoning", dict, {}).get("effort"):
        found["reasoning_effort"] = effort
    text = member(body, "text", dict, {})
    if verbosity := text.get("verbosity"):
        found["verbosity"] = verbosity
    form = member(text, "format", dict, {})
    if form.get("type") == "json_schema":
        schema = {name: value for name, value in form.items() if name != "type"}
        found["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif form.get("type") not in (None, "text"):
        found["response_format"] = dict(form)
    if tools := member(body, "tools", list):
        found["tools"] = [_tool(each, f"tools.{n}") for n, each in enumerate(tools)]
        if body.get("tool_choice") is not None:
            found["tool_choice"] = _choice(body["tool_choice"])
    return found


def _tool(tool: Json, at: str) -> Json:
    tool = as_object(tool, at)
    if tool.get("type") != "function":
        kind = str(tool.get("type"))[:40]
        raise refuse(f"{at}.type", f"{kind!r} runs at OpenAI's alone", code="unsupported_tool")
    function = {n: v for n, v in tool.items() if n != "type" and v is not None}
    return {"type": "function", "function": function}


def _choice(choice: Json) -> Json:
    if isinstance(choice, str):
        return choice
    choice = as_object(choice, "tool_choice")
    if choice.get("type") != "function":
        raise refuse("tool_choice.type", "a string, or a function")
    return {"type": "function", "function": {"name": choice.get("name")}}


def _as_items(message: JsonMapping) -> Iterator[JsonObject]:
    """A message of Chat Completions as items of Responses."""
    role, content = message.get("role"), message.get("content")
    if role == "tool":
        call = {"call_id": message.get("tool_call_id"), "output": content}
        yield {"type": "function_call_output", "status": "completed", **call}
        return
    if content is not None:
        kind = "output_text" if role == "assistant" else "input_text"
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        shown = [_as_part(part, kind) for part in parts]
        yield {"type": "message", "role": role, "status": "completed", "content": shown}
    for call in message.get("tool_calls") or []:
        named = {"call_id": call.get("id"), **call.get("function", {})}
        yield {"type": "function_call", "status": "completed", **named}


def _as_part(part: JsonMapping, text: str) -> Json:
    if part.get("type") == "text":
        more: JsonObject = {"annotations": []} if text == "output_text" else {}
        return {"type": text, "text": part.get("text"), **more}
    if part.get("type") == "image_url":
        image = part.get("image_url") or {}
        detail = image.get("detail") or "auto"
        return {"type": "input_image", "image_url": image.get("url"), "detail": detail}
    return {"type": "input_file", **(part.get("file") or {})}


def _no_item(_: str) -> None:
    return None
