"""Requests of Anthropic's Messages, in the form that models are asked in."""

from __future__ import annotations

from collections.abc import Iterator

from streaming.events.event import dumps
from streaming.events.vocabulary import Json, JsonMapping, JsonObject
from streaming.protocols.messages import BYTES_A_TOKEN, TOKENS_A_PICTURE
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

#: Members that are put in another form, or are not the model's.
_OURS = (
    "model", "messages", "system", "stream", "stop_sequences", "tools", "tool_choice", "metadata",
    "thinking", "cache_control", "betas", "container", "context_management", "mcp_servers",
    "service_tier", "inference_geo", "output_config", "output_format",
)  # fmt: skip
#: Members that ask for what only Anthropic's own service does.
_UNSUPPORTED = ("mcp_servers", "container")


def parse(body: Json) -> Question:
    """The question of a request body; `BadRequest` names the member that is wrong."""
    body = as_object(body, "body")
    max_tokens = member(body, "max_tokens", int)
    if max_tokens is None or max_tokens < 1:
        raise refuse("max_tokens", "a whole number, 1 or more")
    return Question(
        model=member(body, "model", str, ""),
        messages=conversation(body),
        parameters=_parameters(body),
        stream=member(body, "stream", bool, False),
    )


def count(body: Json) -> int:
    """About how many tokens a request has: it is asked before any model is."""
    body = as_object(body, "body")
    messages, tools = conversation(body), member(body, "tools", list, [])
    pictures = sum(str(part.get("type")) == "image_url" for part in _parts(messages))
    texts = [part.get("text") or "" for part in _parts(messages)]
    texts += [str(each["content"]) for each in messages if isinstance(each.get("content"), str)]
    texts += [str(call["function"]) for each in messages for call in each.get("tool_calls") or []]
    size = sum(len(text.encode()) for text in texts) + (len(dumps(tools)) if tools else 0)
    return max(1, -(-size // BYTES_A_TOKEN) + pictures * TOKENS_A_PICTURE)


def conversation(body: JsonMapping) -> list[JsonObject]:
    """System prompt and messages, in the form of Chat Completions."""
    given = member(body, "messages", list, [])
    found: list[JsonObject] = []
    if body.get("system"):
        found.append({"role": "system", "content": _plain(body["system"], "system")})
    for index, each in enumerate(given):
        at = f"messages.{index}"
        message = as_object(each, at)
        if message.get("role") not in ("user", "assistant"):
            raise refuse(f"{at}.role", "user or assistant")
        take = _said if message["role"] == "assistant" else _asked
        found += take(message.get("content"), f"{at}.content")
    if not given:
        raise refuse("messages", "a list of at least one message")
    return check_messages(found)


def _asked(content: Json, at: str) -> Iterator[JsonObject]:
    """What a user's message says: results of tools, each a message of its own, then the rest."""
    if isinstance(content, str):
        yield {"role": "user", "content": content}
        return
    parts: list[JsonObject] = []
    for index, block in enumerate(_blocks(content, at)):
        if block["type"] == "tool_result":
            result = _result(block, f"{at}.{index}")
            yield {"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": result}
        else:
            parts.append(_part(block, f"{at}.{index}"))
    if not content:
        raise refuse(at, "at least one block")
    if len(parts) == 1 and parts[0]["type"] == "text":
        yield {"role": "user", "content": parts[0]["text"]}
    elif parts:
        yield {"role": "user", "content": parts}


def _said(content: Json, at: str) -> Iterator[JsonObject]:
    """What an assistant's message says; its thinking is not said again."""
    if isinstance(content, str):
        yield {"role": "assistant", "content": content}
        return
    text: list[str] = []
    calls: list[Json] = []
    for index, block in enumerate(_blocks(content, at)):
        if block["type"] == "text":
            text.append(text_of(block, f"{at}.{index}"))
        elif block["type"] == "tool_use":
            arguments = dumps(block.get("input") or {}).decode()
            function = {"name": block.get("name"), "arguments": arguments}
            calls.append({"id": block.get("id"), "type": "function", "function": function})
        elif block["type"] not in ("thinking", "redacted_thinking"):
            raise refuse(f"{at}.{index}.type", f"{block['type'][:40]!r} is not supported here")
    message: JsonObject = {"role": "assistant", "content": "".join(text) or None}
    yield message | ({"tool_calls": calls} if calls else {})


def _part(block: JsonMapping, at: str) -> JsonObject:
    if block["type"] == "text":
        return {"type": "text", "text": text_of(block, at)}
    source = as_object(block.get("source"), f"{at}.source")
    if block["type"] == "image":
        return {"type": "image_url", "image_url": {"url": _url(source, f"{at}.source")}}
    if block["type"] == "document":
        if source.get("type") == "text":
            return {"type": "text", "text": text_of(source, f"{at}.source", "data")}
        name = str(block.get("title") or "document.pdf")
        file = {"filename": name, "file_data": _url(source, f"{at}.source")}
        return {"type": "file", "file": file}
    raise refuse(f"{at}.type", f"{block['type'][:40]!r} is not supported here")


def _url(source: JsonMapping, at: str) -> str:
    if source.get("type") == "url":
        return text_of(source, at, "url")
    if source.get("type") == "base64":
        kind, data = text_of(source, at, "media_type"), text_of(source, at, "data")
        return f"data:{kind};base64,{data}"
    raise refuse(f"{at}.type", "base64 or url")


def _result(block: JsonMapping, at: str) -> Json:
    """What came of a tool; pictures among it stay parts."""
    content = block.get("content")
    if content is None or isinstance(content, str):
        text = content or ""
        return f"Error: {text}" if block.get("is_error") else text
    parts = [_part(each, f"{at}.content.{n}") for n, each in enumerate(_blocks(content, at))]
    texts = [part["text"] for part in parts if part["type"] == "text"]
    return "".join(texts) if len(texts) == len(parts) else parts


def _plain(content: Json, at: str) -> str:
    """A system prompt as one text."""
    if isinstance(content, str):
        return content
    blocks = _blocks(content, at)
    return "\n\n".join(text_of(block, f"{at}.{n}") for n, block in enumerate(blocks))


def _blocks(content: Json, at: str) -> list[JsonObject]:
    if not isinstance(content, list):
        raise refuse(at, "a string, or a list of blocks")
    for index, block in enumerate(content):
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            raise refuse(f"{at}.{index}", "an object with a type")
    return content


def _parts(messages: list[JsonObject]) -> Iterator[JsonMapping]:
    for message in messages:
        if isinstance(message.get("content"), list):
            yield from message["content"]


def _parameters(body: JsonMapping) -> JsonObject:
    for name in _UNSUPPORTED:
        if body.get(name):
            raise refuse_parameter(name)
    found = parameters_of(body, _OURS)
    if body.get("stop_sequences"):
        found["stop"] = member(body, "stop_sequences", list)
    if user := member(body, "metadata", dict, {}).get("user_id"):
        found["user"] = user
    if tools := member(body, "tools", list):
        found["tools"] = [_tool(each, f"tools.{n}") for n, each in enumerate(tools)]
        found |= _choice(member(body, "tool_choice", dict, {}))
    return found


def _tool(tool: Json, at: str) -> Json:
    tool = as_object(tool, at)
    if tool.get("type") not in (None, "custom"):
        raise refuse(f"{at}.type", f"{str(tool['type'])[:40]!r} runs at Anthropic's alone")
    if not isinstance(tool.get("name"), str):
        raise refuse(f"{at}.name", "a string")
    function = {"name": tool["name"], "parameters": tool.get("input_schema") or {}}
    if tool.get("description"):
        function["description"] = tool["description"]
    return {"type": "function", "function": function}


def _choice(choice: JsonMapping) -> JsonObject:
    kind, found = choice.get("type"), JsonObject()
    if kind == "tool":
        found["tool_choice"] = {"type": "function", "function": {"name": choice.get("name")}}
    elif kind is not None:
        known = {"auto": "auto", "any": "required", "none": "none"}
        if not isinstance(kind, str) or kind not in known:
            raise refuse("tool_choice.type", "auto, any, tool or none")
        found["tool_choice"] = known[kind]
    if choice.get("disable_parallel_tool_use"):
        found["parallel_tool_calls"] = False
    return found
