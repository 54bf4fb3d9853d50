"""OpenAI's Chat Completions: requests, chunks, whole answers. Resuming is an extension of ours."""

from __future__ import annotations

from collections.abc import Mapping

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
from streaming.protocols.question import (
    Question,
    as_object,
    check_messages,
    member,
    parameters_of,
)
from streaming.protocols.refusals import failure_of, openai_error

#: What stands before a job's id in the id of its answer.
PREFIX = "chatcmpl-"
#: Members of a request that are not the model's.
_OURS = ("model", "messages", "stream", "stream_options", "store", "metadata")
_FINISH = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "filtered": "content_filter",
    "refused": "content_filter",
}


def parse(body: Json) -> Question:
    """The question of a request body; `BadRequest` names the member that is wrong."""
    body = as_object(body, "body")
    options = member(body, "stream_options", dict, {})
    usage = options.get("include_usage") is True
    return Question(
        model=member(body, "model", str, ""),
        messages=check_messages(body.get("messages")),
        parameters=parameters_of(body, _OURS),
        stream=member(body, "stream", bool, False),
        origin={"include_usage": True} if usage else {},
        metadata=member(body, "metadata", dict, {}),
    )


class ChatEncoder(Encoder):
    """Chunks, one for each event of text; each says in `x_position` where to resume behind it."""

    PIECES = (Text, Thought, Call, Step, Ended)

    def __init__(
        self, about: About, *, after: int = 0, restarts: Mapping[str, int] | None = None
    ) -> None:
        super().__init__(about, after=after, restarts=restarts)
        self._head = _head(about, "chat.completion.chunk")
        # What stands around the text of a chunk, and behind its position nothing but an end.
        before, _, behind = self._delta(0, {"content": ""}).data.rpartition(b'""')
        self._around = before, behind.removesuffix(b"0}\n\n")

    def frames(self, moment: Moment, seq: int) -> list[Frame]:
        if isinstance(moment, Text):
            before, behind = self._around  # each token is one
            return [Frame(seq, b"%b%b%b%d}\n\n" % (before, dumps(moment.text), behind, seq))]
        if isinstance(moment, Asked):
            return [self._delta(seq, {"role": "assistant", "content": ""})]
        if isinstance(moment, Thought):
            return [self._delta(seq, {"reasoning_content": moment.text})]
        if isinstance(moment, Step) and moment.status == "running":
            return [self._delta(seq, {"reasoning_content": moment.line})]
        if isinstance(moment, Call):
            return [self._delta(seq, {"tool_calls": [_call_part(moment)]})]
        if isinstance(moment, Restarted):
            return [Frame(seq, self.failure(self.restarted()))]
        if isinstance(moment, Ended):
            return self._end(moment, seq)
        return []

    def failure(self, error: StreamingError) -> bytes:
        self.done = True
        where = {"x_position": self.position, "x_job": self.about.job}
        return sse({"error": {**openai_error(error), **where}})

    def _end(self, ended: Ended, seq: int) -> list[Frame]:
        if ended.status != "completed" or ended.finish not in _FINISH:
            return [Frame(seq, self.failure(failure_of(ended, self.about.job)))]
        self.done = True
        usage = bool(self.about.origin.get("include_usage"))
        # Whoever saw it, and not the usage behind it, comes back for both.
        out = [self._delta(seq, {}, finish=_FINISH[ended.finish], shown=seq - usage)]
        if usage:
            out.append(self._chunk(seq, {"choices": [], "usage": usage_of(ended)}, seq))
        return [*out, Frame(seq, b"data: [DONE]\n\n")]

    def _delta(
        self, seq: int, delta: JsonMapping, *, finish: str | None = None, shown: int = 0
    ) -> Frame:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return self._chunk(seq, {"choices": [choice]}, shown or seq)

    def _chunk(self, seq: int, body: JsonMapping, shown: int) -> Frame:
        return Frame(seq, sse({**self._head, **body, "x_position": shown}))


def completed(about: About, whole: Whole) -> JsonObject:
    """The whole answer of a job that has completed; a `TaskError` of one that has not."""
    ended = whole.ended or Ended("failed", error={"detail": "the answer is not whole"})
    if ended.status != "completed" or ended.finish not in _FINISH:
        raise failure_of(ended, about.job)
    message: JsonObject = {"role": "assistant", "content": whole.text, "refusal": None}
    if whole.thoughts:
        message["reasoning_content"] = whole.thoughts
    if whole.calls:
        message["content"] = whole.text or None
        message["tool_calls"] = [
            {
                "id": call["id"],
                "type": "function",
                "function": {"name": call["name"], "arguments": call["arguments"]},
            }
            for call in whole.calls
        ]
    finish = _FINISH[ended.finish]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    return {**_head(about, "chat.completion"), "choices": [choice], "usage": usage_of(ended)}


def usage_of(ended: Ended) -> JsonObject:
    """Usage as it was counted; `estimated` where the model's server gave no count."""
    usage = ended.usage
    asked, written = (int(usage.get(n) or 0) for n in ("prompt_tokens", "completion_tokens"))
    shown: JsonObject = {
        "prompt_tokens": asked,
        "completion_tokens": written,
        "total_tokens": asked + written,
    }
    if usage.get("cached_tokens") is not None:
        shown["prompt_tokens_details"] = {"cached_tokens": usage["cached_tokens"]}
    if usage.get("reasoning_tokens") is not None:
        shown["completion_tokens_details"] = {"reasoning_tokens": usage["reasoning_tokens"]}
    if usage.get("estimated") or not usage:
        shown["estimated"] = True
    return shown


def _head(about: About, kind: str) -> JsonObject:
    return {
        "id": f"{PREFIX}{about.job}",
        "object": kind,
        "created": about.created,
        "model": about.model,
    }


def _call_part(part: Call) -> JsonObject:
    function = {"arguments": part.arguments}
    if not part.is_first:
        return {"index": part.index, "function": function}
    named = {"name": part.name, **function}
    return {"index": part.index, "id": part.id, "type": "function", "function": named}
