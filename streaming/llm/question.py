"""The question as a model is sent it, and what each model has refused to be sent. No I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from streaming.concurrency.platform import native_lock
from streaming.events.vocabulary import Json, JsonMapping, JsonObject
from streaming.llm.base import Prompt
from streaming.llm.failures import parameter, told

#: Parameters of ours that an answer can do without.
_OPTIONAL = (
    "max_completion_tokens",
    "max_tokens",
    "stream_options",
    "seed",
    "tool_choice",
    "timings_per_token",
    "continue_final_message",
    "add_generation_prompt",
    "stream",
)
#: What newer models of OpenAI's want in place of `max_tokens`.
_NEW_NAME = "max_completion_tokens"
#: Said of a value, not of a parameter: another question may have it.
_TOO_MUCH = re.compile(r"too (large|high|big)|at most|maximum|exceed|less than", re.IGNORECASE)
#: In `STREAMING_LLM_OMIT` and `STREAMING_LLM_THINKS_FIRST`: for every model.
EVERY = "*"


class Manners:
    """What one model is not sent: by the setting, or because it has refused it. Thread-safe."""

    def __init__(self, omit: frozenset[str] = frozenset()) -> None:
        self._lock = native_lock()
        self._omit = omit
        self._renamed = False
        #: It is llama.cpp's server, which counts as it writes when it is asked to.
        self.counts = False

    def body(self, name: str, prompt: Prompt, limit: int, *, without: Sequence[str]) -> JsonObject:
        """The request. `limit` is the cap of the answer's tokens."""
        body: JsonObject = {
            "model": name,
            "messages": _messages(prompt),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if prompt.extra.get("max_tokens") is None and prompt.extra.get(_NEW_NAME) is None:
            body["max_tokens"] = limit
        if prompt.seed is not None:
            body["seed"] = prompt.seed
        tools = list(prompt.tools) or _tools_of(prompt.messages)
        if tools and "tools" not in prompt.extra:
            body["tools"] = tools
            if not prompt.may_call or not prompt.tools:
                body["tool_choice"] = "none"
        if self.counts:
            body["timings_per_token"] = True
        if prompt.so_far:
            body |= {"continue_final_message": True, "add_generation_prompt": False}
        body |= {name: value for name, value in prompt.extra.items() if value is not None}
        body["stream"] = True
        return self._mannered(body, without)

    def refused(self, body: JsonMapping, prompt: Prompt, answer: Json) -> str | None:
        """The parameter of `body` that a 400 names, if the question can be put without it.

        It is remembered for the model, unless only its value was too much. "" when it is to be
        sent under its new name.
        """
        said, code, _ = told(answer)
        text = f"{parameter(answer)} {code} {said}"
        named = [name for name in _OPTIONAL if name in body and name not in prompt.extra]
        found = next((name for name in named if _pattern(name).search(text)), None)
        with self._lock:
            if found == "max_tokens" and _NEW_NAME in text and not _TOO_MUCH.search(said):
                self._renamed = True
                return ""
            if found is not None and not _TOO_MUCH.search(said):
                self._omit |= {found}
        return found

    def _mannered(self, body: JsonObject, without: Sequence[str]) -> JsonObject:
        given_up = {*self._omit, *without}
        body = {name: value for name, value in body.items() if name not in given_up}
        if "stream" in given_up:  # it answers in one piece
            body.pop("stream_options", None)
        if self._renamed and "max_tokens" in body and _NEW_NAME not in given_up:
            body[_NEW_NAME] = body.pop("max_tokens")
        return body


@cache
def _pattern(name: str) -> re.Pattern[str]:
    """A parameter as servers name it: `max_tokens`, `maxTokens`, "max tokens"."""
    if name == "stream":  # a message of a broken stream names none
        return re.compile(
            r"'stream'|`stream`|\"stream\"|(not|n't) support streaming|^stream ", re.IGNORECASE
        )
    return re.compile(rf"\b{name.replace('_', '[_ ]?')}\b", re.IGNORECASE)


def _messages(prompt: Prompt) -> list[JsonMapping]:
    """The conversation; where an answer is to go on, its beginning is the last thing said."""
    messages: list[JsonMapping] = list(prompt.conversation())
    if prompt.so_far:
        messages.append({"role": "assistant", "content": prompt.so_far})
    return messages


def _tools_of(messages: Sequence[JsonMapping]) -> list[Json]:
    """The functions that a conversation has called: a server refuses it without any."""
    names: JsonObject = {}
    for message in messages:
        called = [call.get("function") or {} for call in message.get("tool_calls") or []]
        called += [message["function_call"]] if message.get("function_call") else []
        if message.get("role") in ("tool", "function") and not names and not called:
            called = [message]  # a result whose call is gone
        for function in called:
            name = str(function.get("name") or "tool")
            parameters: Json = {"type": "object", "properties": {}, "additionalProperties": True}
            names[name] = {
                "type": "function",
                "function": {"name": name, "description": "", "parameters": parameters},
            }
    return list(names.values())
