"""The model as a job has it: it stops with the job, what it costs and how it ends is kept."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

from streaming.concurrency.stop_signal import StopSignal
from streaming.errors import Stop, TaskError
from streaming.events.vocabulary import Json
from streaming.llm.base import (
    Answering,
    Broken,
    CannotContinue,
    Ending,
    Model,
    Piece,
    Prompt,
    Reasoning,
    ToolCall,
    Usage,
)
from streaming.llm.joint import Joint

#: Times that one answer is gone on with.
CONTINUES = 3

#: By the code of an answer's failure: how it ended.
_FINISHES = {"content_filtered": "filtered"}

#: `wanted` is asked of each input that comes; at the first yes `heard` is called.
Listen = Callable[[Callable[[Json], bool], Callable[[], object]], AbstractContextManager[Any]]


class _Enough(Stop):
    """Ends an answer because of what a client has sent."""


@dataclass(slots=True)
class Told:
    """What is known of a job's answers, for its end and for its steps."""

    #: `finish_reason`, `cut`, `simulated` of the last answer; empty before the first.
    said: dict[str, Json] = field(default_factory=dict)
    #: `CannotContinue` starts the present step over, if the task lets it through.
    restarts: bool = False


@dataclass(frozen=True, slots=True)
class Desk:
    """What a job's context does for its model."""

    told: Told
    #: Thinking, as it comes.
    reasoning: Callable[[str], object]
    #: A line of the log, with members that the snapshot knows.
    note: Callable[[str, Mapping[str, Json]], object]
    listen: Listen
    #: What is done when an answer breaks: `restart`, `continue` or `fail`.
    on_break: str = "restart"
    #: The text that an earlier attempt left of the answer that is about to be asked for.
    kept: Callable[[], str] = str


@dataclass(slots=True)
class _Answer:
    """One answer: what is asked, and what has come of it."""

    prompt: Prompt
    spent: _Spending
    #: The pieces of the text, where it may have to be gone on with.
    text: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    written: bool = False
    thought: bool = False
    ending: Ending | None = None
    continued: int = 0


class BoundModel:
    """The model of a job: stops with it, counts its usage, says how its answers end."""

    def __init__(self, model: Model, stop: StopSignal, desk: Desk) -> None:
        self._model = model
        self._stop = stop
        self._desk = desk
        #: What the job's answers have cost so far.
        self.usage: dict[str, int] = {}

    @property
    def told(self) -> dict[str, Json]:
        """For the job's end: `finish_reason`, `cut`, `simulated`; empty before the first answer."""
        return self._desk.told.said

    @property
    def restarts(self) -> bool:
        """Whether `CannotContinue` starts the present step over, if the task lets it through."""
        return self._desk.told.restarts

    @property
    def simulated(self) -> bool:
        """Whether it is no real model."""
        return self._model.simulated

    def check(self) -> None:
        """Fail with `model_unavailable` when the model is not there: before work that it ends."""
        self._model.check(self._stop)

    def pace(self, written: int, **options: Any) -> tuple[int, int, bool]:
        """Done, total, and whether the total is an estimate: for `ctx.progress`.

        `written` pieces have come of an answer to `options`, which are those of `stream`. How
        long a real model's answer gets nobody knows: about as long as those before it.
        """
        prompt = Prompt(**options)
        expected = self._model.expected(prompt)
        if expected is None:
            total = prompt.max_tokens
            return written, max(written, total or 0) or 1, total is None
        rest = max(expected - written, expected // 4, 1)
        if prompt.max_tokens is not None:
            rest = min(rest, max(1, prompt.max_tokens - written))
        return written, written + rest, True

    def stream(
        self,
        prompt: str | Sequence[Mapping[str, Json]],
        *,
        until: Callable[[Json], bool] | None = None,
        **options: Any,
    ) -> Generator[str, None, list[ToolCall]]:
        """The model's answer to a text or a conversation, piece by piece.

        Options are those of `llm.base.Prompt`. What it thinks becomes `reasoning.delta` events.
        The generator's return value is the tools that the model wants called. `until` is asked
        of each input that clients send meanwhile: at a yes the answer ends, as far as it is.

        `TaskError` when the model fails, and when it says nothing at all; see `Model.stream`. An
        answer that breaks off goes on where the job says so (`on_break`) and the server can.
        """
        asked = Prompt(prompt if isinstance(prompt, str) else "", **options)
        if not isinstance(prompt, str):
            asked = replace(asked, messages=tuple(prompt))
        answer = _Answer(asked, _Spending(self.usage, self._model, asked))
        kept = self._desk.kept()
        if kept:
            self._go_on(answer, "the attempt before this one ended", [kept])
            yield kept
        if self._model.simulated:
            self.told["simulated"] = True
        try:
            yield from self._written(answer, until)
        except _Enough:
            return []
        except BaseException as error:
            self._tell_failure(answer, error)
            raise
        self._tell_ending(answer)
        return answer.calls

    def _written(
        self, answer: _Answer, until: Callable[[Json], bool] | None
    ) -> Generator[str, None, None]:
        """The text; an answer that broke off is gone on with."""
        while True:
            try:
                with self._stopping(until) as stop:
                    yield from self._asked(answer, stop)
                return
            except CannotContinue:
                raise
            except Broken as error:
                so_far = [answer.prompt.so_far, *answer.text]
                if not self._may_go_on(answer, so_far):
                    raise
                answer.spent.settle()
                self._go_on(answer, error.detail, so_far)

    def _asked(self, answer: _Answer, stop: StopSignal) -> Generator[str, None, None]:
        """The text of one question to the model."""
        joint = Joint(answer.prompt.so_far) if answer.prompt.so_far else None
        keeps = self._desk.on_break == "continue"
        with contextlib.closing(_generator(self._model.stream(answer.prompt, stop))) as pieces:
            for piece in pieces:
                answer.spent.count(piece)
                if not isinstance(piece, str):
                    self._take(answer, piece)
                    continue
                if joint is not None:
                    piece = joint.add(piece)
                if not answer.written and piece.strip():
                    answer.written = True
                if keeps:
                    answer.text.append(piece)
                if piece:
                    yield piece
        if joint is not None and (rest := joint.end()):
            yield rest

    def _take(self, answer: _Answer, piece: Piece) -> None:
        """What comes besides text."""
        if isinstance(piece, Reasoning):
            answer.thought = True
            self._desk.reasoning(piece.text)
        elif isinstance(piece, ToolCall):
            answer.calls.append(piece)
        elif isinstance(piece, Ending):
            answer.ending = piece
        elif isinstance(piece, Answering) and piece.degraded:
            why = f"the model {piece.model} answers for {self._model.name}"
            self._desk.note(why, {"degraded": True})

    @contextlib.contextmanager
    def _stopping(self, until: Callable[[Json], bool] | None) -> Iterator[StopSignal]:
        """The job's stop; with `until`, one that what clients send sets as well."""
        if until is None:
            yield self._stop
            return
        stop = StopSignal()

        def pass_on() -> None:
            stop.set(self._stop.reason or _Enough())

        with self._stop.closing(pass_on), self._desk.listen(until, lambda: stop.set(_Enough())):
            yield stop

    def _may_go_on(self, answer: _Answer, so_far: list[str]) -> bool:
        limit = answer.prompt.max_tokens
        return (
            self._desk.on_break == "continue"
            and answer.continued < CONTINUES
            and bool("".join(so_far).strip())
            and not answer.calls
            and (limit is None or len(answer.text) < limit)
        )

    def _go_on(self, answer: _Answer, why: str, so_far: list[str]) -> None:
        """Ask for the rest of an answer, and say so."""
        text = "".join(so_far)
        limit = answer.prompt.max_tokens
        if limit is not None:
            spent = len(answer.text) or self._model.count(text)
            answer.prompt = replace(answer.prompt, max_tokens=max(1, limit - spent))
        answer.prompt = replace(answer.prompt, so_far=text)
        answer.text = []
        answer.continued += 1
        answer.written = bool(text.strip())
        self._desk.note(f"{why}; the answer goes on where it was", {"continued": True})

    def _tell_ending(self, answer: _Answer) -> None:
        """How an answer ended; `TaskError` for one without a word."""
        ending = answer.ending or Ending("tool_calls" if answer.calls else "stop")
        self.told["finish_reason"] = ending.reason
        if ending.cut:
            self.told["cut"] = True
        if not answer.written and not answer.calls and not answer.prompt.is_step:
            raise TaskError(_nothing(answer, ending), code="upstream_error")
        if not answer.written and not answer.prompt.may_call:
            message = "the model called tools where it was to answer in words"
            raise TaskError(message, code="upstream_error")
        if ending.cut or ending.note:
            why = ending.note or "the model's answer was cut: it has as many tokens as it may have"
            self._desk.note(why, {"finish_reason": ending.reason, "cut": ending.cut})

    def _tell_failure(self, answer: _Answer, error: BaseException) -> None:
        if answer.written:
            self.told["cut"] = True
        if isinstance(error, TaskError):
            self.told["finish_reason"] = _FINISHES.get(error.code, "error")


class _Spending:
    """What one answer costs: counted as it comes, until the model's server says it."""

    def __init__(self, usage: dict[str, int], model: Model, prompt: Prompt) -> None:
        self._usage = usage
        self._before = Usage(usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0))
        asked = [str(message.get("content") or "") for message in prompt.conversation()]
        self._asked = sum(model.count(text) for text in asked)
        self._written = 0
        #: The server has counted, up to here.
        self._counted = model.simulated
        self._estimated_before = bool(usage.get("estimated"))

    def count(self, piece: Piece) -> None:
        if isinstance(piece, Usage):
            self._counted = True
            self._set(piece)
        elif isinstance(piece, (str, Reasoning)):
            self._written += 1
            self._set(Usage(self._asked, self._written))

    def settle(self) -> None:
        """What comes now is of another question: it costs again."""
        self._before = Usage(self._usage["prompt_tokens"], self._usage["completion_tokens"])
        self._estimated_before = bool(self._usage.get("estimated"))
        self._written, self._counted = 0, False

    def _set(self, spent: Usage) -> None:
        self._usage["prompt_tokens"] = self._before.prompt_tokens + spent.prompt_tokens
        self._usage["completion_tokens"] = self._before.completion_tokens + spent.completion_tokens
        if self._counted and not self._estimated_before:
            self._usage.pop("estimated", None)
        else:
            self._usage["estimated"] = True


def _nothing(answer: _Answer, ending: Ending) -> str:
    if ending.reason == "length" and answer.thought:
        return "the model has used up all of its tokens for thinking, and answered nothing"
    if ending.reason == "length":
        return "the model has used up all of its tokens, and answered nothing"
    return "the model answered nothing"


def _generator(pieces: Iterator[Piece]) -> Generator[Piece, None, None]:
    """With `close`, also where a model's `stream` returns another kind of iterator."""
    yield from pieces
