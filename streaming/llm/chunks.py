"""One answer of an OpenAI-compatible server: its chunks to pieces. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from streaming.errors import TaskError
from streaming.events.halves import Joiner
from streaming.events.vocabulary import Json, JsonMapping
from streaming.llm.base import Broken, Ending, Finish, Piece, Reasoning, Usage
from streaming.llm.failures import failure
from streaming.llm.shapes import odd, parsed, parts, shown, thought
from streaming.llm.thinking import ThinkTags
from streaming.llm.tool_calls import ToolCalls

#: What servers call the ends that leave something to say.
_ENDS: Mapping[str, Finish] = {
    **dict.fromkeys(("stop", "eos", "eos_token", "end_turn", "stop_sequence"), "stop"),
    **dict.fromkeys(
        ("complete", "completed", "end_of_text", "eot", "eot_id", "stop_token"), "stop"
    ),
    **dict.fromkeys(("tool_calls", "tool_use", "function_call"), "tool_calls"),
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "model_length"), "length"),
    **dict.fromkeys(("model_context_window_exceeded", "max_new_tokens"), "length"),
    **dict.fromkeys(("content_filter", "content_filtered", "safety", "recitation"), "filtered"),
    **dict.fromkeys(("blocklist", "prohibited_content", "guardrail_intervened"), "filtered"),
    **dict.fromkeys(("guardrails", "sensitive", "spii", "image_safety"), "filtered"),
    **dict.fromkeys(("refusal", "refused"), "refused"),
}
#: Ends that a later one may put right: a call of tools behind a plain end, for example.
_GOOD = frozenset(word for word, end in _ENDS.items() if end in ("stop", "tool_calls"))


class _Delta(msgspec.Struct):
    """Of the chunk that nearly every token has: anything but text makes it another one."""

    content: str = ""
    reasoning_content: Json = None
    reasoning: Json = None
    thinking: Json = None
    tool_calls: Json = None
    function_call: Json = None
    refusal: Json = None


class _Choice(msgspec.Struct):
    delta: _Delta
    index: int = 0
    finish_reason: Json = None
    message: Json = None
    text: Json = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice]
    usage: Json = None
    timings: Json = None
    error: Json = None
    object: Json = None


#: Tokens that no answer has, and digits of as many.
_MOST, _DIGITS = 1 << 53, 16

#: Members of a delta that have its thinking.
_THOUGHTS = ("reasoning_content", "reasoning", "thinking")

_decode = msgspec.json.Decoder(_Chunk).decode


class Answer:
    """What has come of one answer so far."""

    def __init__(self, *, think_tags: bool = True, opened: bool = False) -> None:
        """`opened`: it begins within its thinking, without a tag that says so."""
        #: The server's word for the end, once it has come.
        self.finish: str | None = None
        #: Something of an answer has come: a piece, or a reason for its end.
        self.began = False
        self._tags = ThinkTags(opened=opened) if think_tags else None
        self._calls = ToolCalls()
        self._usage: Usage | None = None
        self._joiners: dict[type, Joiner] = {}
        self._refused = False
        self._wrote = False
        #: The first chunk of which nothing could be made.
        self.unknown: Json = None

    def take(self, name: bytes, data: bytes) -> Iterable[Piece]:
        """The pieces of an event's data; `TaskError` for an error."""
        if not name:
            try:
                chunk = _decode(data)
            except msgspec.MsgspecError:  # of another shape, or none
                chunk = None
            except RecursionError:  # nested more deeply than any chunk
                chunk = None
            if chunk is not None and (text := _plain(chunk)) is not None:
                return self._text(text)
        return self._take_any(name, data)

    def take_whole(self, body: Json) -> Iterator[Piece]:
        """The pieces of an answer that came in one: JSON in place of a stream."""
        yield from self._take_chunk(body)
        if not self.began:
            message = f"the model's server answered with something else: {shown(body)}"
            raise TaskError(message, code="upstream_error")
        self.finish = self.finish or "stop"  # a body that is whole JSON has not been cut

    def end(self) -> Iterator[Piece]:
        """What is left, and how the answer ended; `TaskError` for an end that is none."""
        for kind, joiner in self._joiners.items():
            yield from self._made(kind, joiner.end())
        if self._tags is not None:
            yield from self._seen(self._tags.end())
        if self.finish is None:
            message = "the model's answer ended without a finish reason: it is not whole"
            raise Broken(message, code="upstream_error", retryable=True)
        yield from self._calls.end()
        if self._usage is not None:
            yield self._usage
        yield self._ending(self.finish)

    def _ending(self, finish: str) -> Ending:
        reason = _ENDS.get(_word(finish))
        if reason is None:
            message = f"the model ended its answer with {shown(finish)!r}, which is no success"
            raise TaskError(message, code="upstream_error", retryable=True)
        if reason == "filtered":
            message = f"the model's server stopped the answer ({finish})"
            raise TaskError(message, code="content_filtered")
        if reason == "refused" or self._refused:
            if not self._wrote:
                raise TaskError("the model refuses to answer", code="content_filtered")
            return Ending("refused", note="the model refused to answer")
        if reason == "length":
            return Ending("length", cut=True)
        return Ending("tool_calls" if self._calls else "stop")

    def _take_any(self, name: bytes, data: bytes) -> Iterator[Piece]:
        try:
            chunk = parsed(data)
        except ValueError:
            chunk = data.decode("utf-8", "replace")
        where = "" if self.began else "before its answer"
        if name == b"error":
            raise failure(None, chunk, where=where)
        if not isinstance(chunk, dict):
            message = f"the model's server sent a frame that is no JSON object: {shown(chunk)}"
            raise TaskError(message, code="upstream_error", retryable=True)
        yield from self._take_chunk(chunk)

    def _take_chunk(self, chunk: Json) -> Iterator[Piece]:
        if not isinstance(chunk, dict):
            return
        if _is_error(chunk):
            raise failure(None, chunk, where="" if self.began else "before its answer")
        if self.unknown is None and "choices" not in chunk:
            self.unknown = chunk
        for choice in _choices(chunk):
            if choice.get("error"):  # of a provider behind the server
                raise failure(None, choice, where="" if self.began else "before its answer")
            if choice.get("index") in (None, 0, "0", ""):  # one answer was asked for
                yield from self._take_choice(choice)
        usage = _usage(chunk)
        if usage is not None:
            self._usage = usage
            if self.finish is None:  # a running count
                yield usage

    def _take_choice(self, choice: JsonMapping) -> Iterator[Piece]:
        members = (choice.get(name) for name in ("delta", "message", "text"))
        delta = next((found for found in members if found is not None), None)
        if not isinstance(delta, dict) or ("text" in delta and delta.get("content") is None):
            delta = {"content": delta}
        yield from self._take_delta(delta)
        finish = choice.get("finish_reason")
        if finish:
            self.began = True
            finish = finish if isinstance(finish, str) else shown(finish)
            if self.finish is None or _word(self.finish) in _GOOD:  # a bad end stays one
                self.finish = finish

    def _take_delta(self, delta: JsonMapping) -> Iterator[Piece]:
        thoughts = (thought(delta.get(name)) for name in _THOUGHTS)
        yield from self._joined(Reasoning, next(filter(None, thoughts), ""))
        for part in parts(delta.get("content")):
            if isinstance(part, str):
                yield from self._joined(str, part)
            else:
                yield from self._joined(Reasoning, part.text)
        if delta.get("refusal"):
            self._refused = True
            yield from self._joined(str, thought(delta["refusal"], what="a refusal"))
        if delta.get("tool_calls"):
            yield from self._seen(self._calls.add(delta["tool_calls"]))
        if delta.get("function_call"):
            called = {"index": 0, "function": delta["function_call"]}
            yield from self._seen(self._calls.add(called))

    def _joined(self, kind: type, text: str) -> Iterator[Piece]:
        if not text:
            return
        joiner = self._joiners.setdefault(kind, Joiner())
        yield from self._made(kind, joiner.add(text))

    def _made(self, kind: type, text: str) -> Iterable[Piece]:
        if not text:
            return ()
        if kind is not Reasoning:
            return self._told(text)
        if self._tags is not None:
            self._tags.told_apart()
        return self._seen([Reasoning(text)])

    def _text(self, text: str) -> Iterable[Piece]:
        """A piece of the answer's text, as nearly every chunk has one."""
        if self._joiners and (joiner := self._joiners.get(str)) and joiner.half:
            text = joiner.add(text)
        return self._told(text) if text else ()

    def _told(self, text: str) -> Iterable[Piece]:
        self.began = self._wrote = True
        if self._tags is None or self._tags.passes(text):
            return (text,)
        return self._tags.add(text)

    def _seen(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        for piece in pieces:
            self.began = True
            yield piece


def _choices(chunk: JsonMapping) -> Iterator[JsonMapping]:
    choices = chunk.get("choices")
    if not isinstance(choices, (list, dict, type(None))):
        raise odd(choices, "choices")
    for choice in [choices] if isinstance(choices, dict) else choices or []:
        if not isinstance(choice, dict):
            raise odd(choice, "a choice")
        yield choice


def _word(finish: str) -> str:
    """A server's word for an end, as the table has it."""
    word = finish.strip().lower().replace("-", "_").replace(" ", "_")
    return word.removeprefix("finish_reason_")


def _is_error(chunk: JsonMapping) -> bool:
    """Whether it is an error, by one of the forms that makers have for it."""
    if chunk.get("error") or "error" in (chunk.get("object"), chunk.get("type")):
        return True
    known = {"choices", "usage", "timings", "id", "type", "object"} & chunk.keys()
    return not known and bool({"detail", "message", "msg", "errors"} & chunk.keys())


def _plain(chunk: _Chunk) -> str | None:
    """The text of a chunk that has nothing else."""
    if chunk.usage or chunk.timings or chunk.error or chunk.object == "error":
        return None
    if len(chunk.choices) != 1:
        return None
    choice = chunk.choices[0]
    delta = choice.delta
    if choice.index or choice.finish_reason or choice.message or choice.text:
        return None
    if delta.reasoning_content or delta.reasoning or delta.thinking or delta.refusal:
        return None
    return None if delta.tool_calls or delta.function_call else delta.content


def _usage(chunk: JsonMapping) -> Usage | None:
    """What the answer has cost, if the chunk says so: `usage`, or llama.cpp's `timings`."""
    found, timings = chunk.get("usage"), chunk.get("timings")
    if isinstance(found, dict):
        prompt, completion = _number(found, "prompt_tokens"), _number(found, "completion_tokens")
        if prompt is not None and completion is not None:
            cached = _number(found.get("prompt_tokens_details"), "cached_tokens")
            thinking = _number(found.get("completion_tokens_details"), "reasoning_tokens")
            return Usage(prompt, completion, cached, thinking)
    if isinstance(timings, dict):
        prompt, completion = _number(timings, "prompt_n"), _number(timings, "predicted_n")
        cached = _number(timings, "cache_n")
        if prompt is not None and completion is not None:
            return Usage(prompt + (cached or 0), completion, cached)
    return None


def _number(members: Json, name: str) -> int | None:
    """A count, as a number or in digits; None for what counts nothing: -1, NaN, 1e400."""
    found = members.get(name) if isinstance(members, dict) else None
    if isinstance(found, str) and found.isdecimal() and len(found) < _DIGITS:
        found = int(found)
    if isinstance(found, (int, float)) and not isinstance(found, bool) and 0 <= found < _MOST:
        return int(found)
    return None
