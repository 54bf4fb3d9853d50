"""What a protocol asks: one form for all, that of OpenAI's Chat Completions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, overload

from streaming.errors import BadRequest
from streaming.events.vocabulary import Json, JsonMapping, JsonObject

T = TypeVar("T")

#: Who may have said a message.
ROLES = ("system", "developer", "user", "assistant", "tool", "function")
#: Who of them may have called a tool, or had nothing to tell.
_MAY_SAY_NOTHING = ("assistant", "function")
#: Parameters that a task of the app's own may leave aside: they say how, not what.
HINTS = frozenset(
    {
        "max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "min_p", "seed",
        "stop", "frequency_penalty", "presence_penalty", "user", "safety_identifier",
        "prompt_cache_key", "service_tier", "parallel_tool_calls", "reasoning_effort", "verbosity",
    }
)  # fmt: skip
#: All that clients of Chat Completions send besides the conversation.
CHAT_PARAMETERS = HINTS | {
    "tools", "tool_choice", "functions", "function_call", "response_format", "logit_bias",
    "prediction", "web_search_options", "store", "metadata", "stream_options",
}  # fmt: skip
#: Members that ask for what a log of text does not carry, with what may stand there.
UNSUPPORTED: Mapping[str, tuple[Json, ...]] = {
    "n": (None, 1),
    "logprobs": (None, False),
    "top_logprobs": (None, 0),
    "audio": (None,),
    "modalities": (None, ["text"]),
}


@dataclass(frozen=True, slots=True)
class Question:
    """A request of any protocol."""

    #: The name of what is to answer; "" for the first there is.
    model: str
    #: The conversation, in the form of Chat Completions: texts, images, tool calls and results.
    messages: Sequence[JsonMapping]
    #: Members of a Chat Completions request that go upstream as they are.
    parameters: JsonMapping = field(default_factory=dict)
    stream: bool = False
    #: Whether the answer goes on when whoever asked has hung up.
    goes_on: bool = False
    #: What later answers about the job need to know again; small, kept in `job.queued`.
    origin: JsonMapping = field(default_factory=dict)
    metadata: JsonMapping = field(default_factory=dict)
    #: Who is told when it ends; None for nobody.
    webhook: JsonMapping | None = None


def refuse(field: str, message: str, *, code: str = "invalid_request") -> BadRequest:
    """The error for a member of a body; clients see it as `param`."""
    errors = [{"field": field, "message": message}]
    return BadRequest(f"{field}: {message}", code=code, errors=errors)


def as_object(value: Json, name: str) -> JsonObject:
    """The value, a JSON object; `BadRequest` else."""
    if not isinstance(value, dict):
        raise refuse(name, "a JSON object")
    return value


@overload
def member(body: JsonMapping, name: str, kind: type[T]) -> T | None: ...
@overload
def member(body: JsonMapping, name: str, kind: type[T], default: T) -> T: ...
def member(body: JsonMapping, name: str, kind: type[T], default: T | None = None) -> T | None:
    """A member of the body, of this type; `default` where it is missing or null."""
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise refuse(name, f"must be {_KINDS[kind]}", code="invalid_type")
    return value


_KINDS = {
    str: "a string",
    int: "a whole number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}


def check_messages(messages: Json, name: str = "messages") -> list[JsonObject]:
    """The messages, if each has a known role and content that can be passed on."""
    if not isinstance(messages, list) or not messages:
        raise refuse(name, "a list of at least one message")
    for index, each in enumerate(messages):
        at = f"{name}.{index}"
        if not isinstance(each, dict):
            raise refuse(at, "a JSON object")
        if each.get("role") not in ROLES:
            known = ", ".join(ROLES)
            raise refuse(f"{at}.role", f"{str(each.get('role'))[:40]!r} is none of {known}")
        if each.get("content") is not None or each["role"] not in _MAY_SAY_NOTHING:
            _check_content(each.get("content"), f"{at}.content")
        calls = each.get("tool_calls")
        if calls is not None and not _are_objects(calls):
            raise refuse(f"{at}.tool_calls", "a list of objects")
    return messages


def _are_objects(found: Json) -> bool:
    return isinstance(found, list) and all(isinstance(each, dict) for each in found)


def text_of(part: JsonMapping, at: str, name: str = "text") -> str:
    """A part's member of text; `BadRequest` where it is none."""
    text = part.get(name)
    if not isinstance(text, str):
        raise refuse(f"{at}.{name}", "a string")
    return text


def _check_content(content: Json, name: str) -> None:
    """`BadRequest` unless it is text, or parts without sound."""
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise refuse(name, "a string, or a list of parts")
    for index, part in enumerate(content):
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise refuse(f"{name}.{index}", "an object with a type")
        if part["type"] == "input_audio":
            raise refuse(f"{name}.{index}.type", "audio is not supported", code="unsupported")
        if part["type"] == "text":
            text_of(part, f"{name}.{index}")


def parameters_of(body: JsonMapping, others: Collection[str]) -> JsonObject:
    """What goes upstream as it is: all but `others`. `BadRequest` names what is `UNSUPPORTED`."""
    for name, allowed in UNSUPPORTED.items():
        if body.get(name) not in allowed:
            raise refuse_parameter(name)
    left_out = {*others, *UNSUPPORTED}
    return {name: value for name, value in body.items() if name not in left_out}


def refuse_parameter(name: str) -> BadRequest:
    """The error for a parameter that is known, and not supported."""
    return refuse(name, f"{name} is not supported here", code="unsupported_parameter")


def task_input(question: Question, takes: Collection[str] | None) -> JsonObject:
    """The input of a task that answers. `takes`: the members it knows; None takes any."""
    given = dict(question.parameters)
    if takes is not None:
        unknown = [name for name in given if name not in takes and name not in HINTS]
        if unknown:
            message = f"the model {question.model!r} takes no such parameter"
            raise refuse(unknown[0], message, code="unknown_parameter")
        given = {name: value for name, value in given.items() if name in takes}
    return {**given, "messages": list(question.messages)}


def last_text(messages: object) -> str:
    """What was said last by whoever asks, as text: to call the job by. Looks at anything."""
    for message in reversed(messages if isinstance(messages, (list, tuple)) else []):
        if not isinstance(message, dict) or message.get("role") != "user":
            continue
        content = message.get("content")
        if isinstance(content, str):
            return content
        parts = content if isinstance(content, list) else []
        texts = [part.get("text") for part in parts if isinstance(part, dict)]
        return " ".join(text for text in texts if isinstance(text, str))
    return ""
