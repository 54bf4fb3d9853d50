"""Anthropic's Messages: answers as blocks. Resuming by `Last-Event-ID` is an extension of ours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import ClassVar

from streaming.errors import StreamingError
from streaming.events.event import dumps
from streaming.events.vocabulary import Json, JsonMapping, JsonObject
from streaming.protocols.answer import (
    Asked,
    Call,
    Ended,
    Moment,
    Restarted,
    Step,
    Text,
    Thought,
    Whole,
)
from streaming.protocols.frames import About, Encoder, Frame, sse
from streaming.protocols.refusals import failure_of, http_status

#: What stands before a job's id in the id of its answer.
PREFIX = "msg_"
#: Bytes of text that are about one token, and tokens that a picture is about.
BYTES_A_TOKEN, TOKENS_A_PICTURE = 4, 1500

_STOPS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "filtered": "refusal",
    "refused": "refusal",
}
_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class MessagesEncoder(Encoder):
    """Named events; the last one of each event of the log has its number as `id:`."""

    PIECES: ClassVar[tuple[type[Moment], ...]] = (Text, Thought, Call, Step, Ended)

    def __init__(
        self, about: About, *, after: int = 0, restarts: Mapping[str, int] | None = None
    ) -> None:
        super().__init__(about, after=after, restarts=restarts)
        #: Blocks so far; the open ones by what they hold.
        self._count = 0
        self._open: dict[str, int] = {}

    def frames(self, moment: Moment, seq: int) -> list[Frame]:
        if isinstance(moment, Restarted):
            return [Frame(seq, self.failure(self.restarted()))]
        if isinstance(moment, Ended) and _failed(moment):
            return [Frame(seq, self.failure(failure_of(moment, self.about.job)))]
        bodies = self._bodies(moment)
        return [Frame(seq, _event(body, id=seq if body is bodies[-1] else None)) for body in bodies]

    def failure(self, error: StreamingError) -> bytes:
        self.done = True
        where = {"job": self.about.job, "last_event_id": self.position}
        body = {"type": "error", "error": {**_error(error), **where}}
        return sse(body, name="error")

    def beat(self) -> bytes:
        return _event({"type": "ping"})

    def _bodies(self, moment: Moment) -> list[JsonObject]:
        if isinstance(moment, Asked):
            return [{"type": "message_start", "message": self._begun(moment)}]
        if isinstance(moment, Text):
            return self._piece("text", _TEXT, {"type": "text_delta", "text": moment.text})
        if isinstance(moment, Thought):
            return self._thought(moment.text)
        if isinstance(moment, Step) and moment.status == "running":
            return self._thought(moment.line)
        if isinstance(moment, Call):
            return self._call(moment)
        if isinstance(moment, Ended):
            return self._end(moment)
        return []

    def _begun(self, asked: Asked) -> JsonObject:
        given = dumps(asked.data.get("input"))
        usage = {"input_tokens": len(given) // BYTES_A_TOKEN, "output_tokens": 0, "estimated": True}
        return {**_head(self.about), "content": [], "stop_reason": None, "usage": usage}

    def _thought(self, text: str) -> list[JsonObject]:
        return self._piece("thinking", _THINKING, {"type": "thinking_delta", "thinking": text})

    def _call(self, part: Call) -> list[JsonObject]:
        block = {"type": "tool_use", "id": part.id, "name": part.name, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": part.arguments}
        return self._piece(f"call {part.id}", block, delta)

    def _piece(self, what: str, block: JsonMapping, delta: JsonMapping) -> list[JsonObject]:
        """A delta of the block that holds `what`, begun where it is not open."""
        bodies: list[JsonObject] = []
        if what not in self._open:
            # Calls may be written side by side; all else is one behind the other.
            if not (what.startswith("call ") and all(n.startswith("call ") for n in self._open)):
                bodies += self._close()
            self._open[what] = index = self._count
            self._count += 1
            start = {"type": "content_block_start", "index": index, "content_block": dict(block)}
            bodies.append(start)
        index = self._open[what]
        return [*bodies, {"type": "content_block_delta", "index": index, "delta": dict(delta)}]

    def _close(self) -> list[JsonObject]:
        closed: list[JsonObject] = [
            {"type": "content_block_stop", "index": index} for index in self._open.values()
        ]
        self._open = {}
        return closed

    def _end(self, ended: Ended) -> list[JsonObject]:
        self.done = True
        delta = {"stop_reason": _STOPS[ended.finish], "stop_sequence": None}
        told = {"type": "message_delta", "delta": delta, "usage": usage_of(ended)}
        return [*self._close(), told, {"type": "message_stop"}]


_TEXT = {"type": "text", "text": ""}
_THINKING = {"type": "thinking", "thinking": "", "signature": ""}


def completed(about: About, whole: Whole) -> JsonObject:
    """The whole message of a job that has completed; a `TaskError` of one that has not."""
    ended = whole.ended or Ended("failed", error={"detail": "the answer is not whole"})
    if _failed(ended):
        raise failure_of(ended, about.job)
    content: list[JsonObject] = []
    if whole.thoughts:
        content.append({**_THINKING, "thinking": whole.thoughts})
    if whole.text:
        content.append({"type": "text", "text": whole.text})
    for call in whole.calls:
        given = {"id": call["id"], "name": call["name"], "input": _object(call["arguments"])}
        content.append({"type": "tool_use", **given})
    return {
        **_head(about),
        "content": content,
        "stop_reason": _STOPS[ended.finish],
        "usage": usage_of(ended),
    }


def usage_of(ended: Ended) -> JsonObject:
    """Usage as it was counted; `estimated` where the model's server gave no count."""
    usage = ended.usage
    shown: JsonObject = {
        "input_tokens": int(usage.get("prompt_tokens") or 0),
        "output_tokens": int(usage.get("completion_tokens") or 0),
    }
    if usage.get("cached_tokens") is not None:
        shown["cache_read_input_tokens"] = usage["cached_tokens"]
    if usage.get("estimated") or not usage:
        shown["estimated"] = True
    return shown


def error_body(shown: JsonMapping, request_id: str | None) -> JsonObject:
    """A problem as Anthropic's clients read it, with our `code`; the id is `X-Request-ID`."""
    error = {
        "type": _ERRORS.get(shown["status"], _other(shown["status"])),
        "message": shown["detail"],
        "code": shown["code"],
    }
    if shown.get("job"):
        error["job"] = shown["job"]
    return {"type": "error", "error": error, "request_id": request_id}


def _error(error: StreamingError) -> JsonObject:
    status = http_status(error)
    kind = _ERRORS.get(status, _other(status))
    return {"type": kind, "message": error.detail, "code": error.code}


def _other(status: int) -> str:
    return "invalid_request_error" if status < 500 else "api_error"


def _failed(ended: Ended) -> bool:
    return ended.status != "completed" or ended.finish not in _STOPS


def _head(about: About) -> JsonObject:
    return {
        "id": f"{PREFIX}{about.job}",
        "type": "message",
        "role": "assistant",
        "model": about.model,
        "stop_sequence": None,
    }


def _event(body: JsonMapping, *, id: int | None = None) -> bytes:
    return sse(body, name=str(body["type"]), id=id)


def _object(arguments: str) -> Json:
    """Arguments as an object; of what is none, an object that holds it."""
    try:
        found = json.loads(arguments or "{}")
    except ValueError:
        found = arguments
    return found if isinstance(found, dict) else {"arguments": found}
