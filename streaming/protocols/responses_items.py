"""Items of a response: how they begin, grow and end; and what a response repeats of its request."""

from __future__ import annotations

from streaming.events.vocabulary import Json, JsonMapping, JsonObject
from streaming.protocols.answer import Ended

#: What stands before the job's id in the id of an item, by its kind.
PREFIXES = {"message": "msg_", "reasoning": "rs_", "function_call": "fc_"}


class Item:
    """A message, a piece of thinking, or a call, as it is written."""

    def __init__(self, kind: str, job: str, index: int, source: str, name: str = "") -> None:
        self.kind = kind
        self.id = f"{PREFIXES[kind]}{job}_{index}"
        self.index = index
        #: The log's item, or the id of the call.
        self.source = source
        self.name = name
        self.status = "in_progress"
        #: An earlier attempt wrote it: it is no output.
        self.void = False
        self._pieces: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    def shown(self) -> JsonObject:
        """The item as it is in a response's output."""
        if self.kind == "message":
            content = [_text_part(self.text)] if self._pieces else []
            return {**self._head(), "role": "assistant", "content": content}
        if self.kind == "reasoning":
            summary = [_summary(self.text)] if self._pieces else []
            return {**self._head(), "summary": summary}
        call = {"call_id": self.source, "name": self.name, "arguments": self.text}
        return {**self._head(), **call}

    def begun(self) -> list[JsonObject]:
        """The bodies of its beginning."""
        added = {"type": "response.output_item.added", "output_index": self.index}
        bodies: list[JsonObject] = [{**added, "item": self.shown()}]
        if self.kind == "message":
            part = _text_part("")
            bodies.append({"type": "response.content_part.added", **self._place(), "part": part})
        elif self.kind == "reasoning":
            kind = "response.reasoning_summary_part.added"
            bodies.append({"type": kind, **self._place(), "part": _summary("")})
        return bodies

    def delta(self, text: str) -> JsonObject:
        """The body of a piece."""
        self._pieces.append(text)
        if self.kind == "message":
            kind = "response.output_text.delta"
            return {"type": kind, **self._place(), "delta": text, "logprobs": []}
        if self.kind == "reasoning":
            return {"type": "response.reasoning_summary_text.delta", **self._place(), "delta": text}
        return {"type": "response.function_call_arguments.delta", **self._place(), "delta": text}

    def closed(self) -> list[JsonObject]:
        """The bodies of its end, with all its text."""
        text, place = self.text, self._place()
        done: list[JsonObject]
        if self.kind == "message":
            done = [
                {"type": "response.output_text.done", **place, "text": text, "logprobs": []},
                {"type": "response.content_part.done", **place, "part": _text_part(text)},
            ]
        elif self.kind == "reasoning":
            done = [
                {"type": "response.reasoning_summary_text.done", **place, "text": text},
                {"type": "response.reasoning_summary_part.done", **place, "part": _summary(text)},
            ]
        else:
            kind = "response.function_call_arguments.done"
            done = [{"type": kind, **place, "name": self.name, "arguments": text}]
        ended = {"type": "response.output_item.done", "output_index": self.index}
        return [*done, {**ended, "item": self.shown()}]

    def _head(self) -> JsonObject:
        return {"id": self.id, "type": self.kind, "status": self.status}

    def _place(self) -> JsonObject:
        place: JsonObject = {"item_id": self.id, "output_index": self.index}
        if self.kind == "message":
            place["content_index"] = 0
        elif self.kind == "reasoning":
            place["summary_index"] = 0
        return place


def _text_part(text: str) -> JsonObject:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _summary(text: str) -> JsonObject:
    return {"type": "summary_text", "text": text}


def usage_of(ended: Ended) -> JsonObject:
    """Usage as it was counted; `estimated` where the model's server gave no count."""
    usage = ended.usage
    asked, written = (int(usage.get(n) or 0) for n in ("prompt_tokens", "completion_tokens"))
    shown: JsonObject = {
        "input_tokens": asked,
        "input_tokens_details": {"cached_tokens": int(usage.get("cached_tokens") or 0)},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": int(usage.get("reasoning_tokens") or 0)},
        "total_tokens": asked + written,
    }
    if usage.get("estimated") or not usage:
        shown["estimated"] = True
    return shown


def echo(origin: JsonMapping, asked: JsonMapping) -> JsonObject:
    """What a response repeats of its request; of a very large one, only what is small."""
    parameters = asked.get("parameters")
    given: JsonMapping = parameters if isinstance(parameters, dict) else {}
    tools = given.get("tools")
    choice = given.get("tool_choice", "auto")
    if isinstance(choice, dict) and "function" in choice:
        choice = {"type": "function", **choice["function"]}
    return {
        "instructions": _instructions(origin, asked),
        "max_output_tokens": given.get("max_tokens"),
        "parallel_tool_calls": given.get("parallel_tool_calls", True),
        "reasoning": {"effort": given.get("reasoning_effort"), "summary": None},
        "temperature": given.get("temperature"),
        "text": {"format": _format(given.get("response_format"))},
        "tool_choice": choice,
        "tools": [_flat(tool) for tool in tools] if isinstance(tools, list) else [],
        "top_p": given.get("top_p"),
        "truncation": "disabled",
    }


def _instructions(origin: JsonMapping, asked: JsonMapping) -> Json:
    messages = asked.get("messages")
    if not origin.get("instructions") or not isinstance(messages, list) or not messages:
        return None
    return messages[0].get("content")


def _flat(tool: JsonMapping) -> Json:
    return {"type": "function", "strict": None, **tool.get("function", {})}


def _format(given: Json) -> Json:
    if not isinstance(given, dict):
        return {"type": "text"}
    inner = given.get("json_schema")
    return {"type": given.get("type"), **(inner if isinstance(inner, dict) else {})}
