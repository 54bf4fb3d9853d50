"""A job's model: it stops with the job, counts its usage, and records how its answers end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from streaming.concurrency.stop_signal import StopSignal
from streaming.errors import Stop, TaskError
from streaming.events.vocabulary import Json, JsonMapping, JsonObject
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
    ToolCallPart,
)
from streaming.llm.joint import Joint
from streaming.llm.spending import Spending
from streaming.running.answer import Answer
from streaming.running.traces import in_span_of_call

#: Seconds, of those that a client waits for a status, that the last try and its failure may take.
TRY_S = 0.5
#: Times that one answer is gone on with.
CONTINUES = 3

#: The finish reason for each code of an answer's failure.
_FINISHES = {"content_filtered": "filtered"}

#: Calls `heard` with the first input that `wanted` accepts, within a block.
Listen = Callable[[Callable[[Json], bool], Callable[[], object]], AbstractContextManager[object]]


class _Enough(Stop):
    """Raised to end an answer because of what a client has sent."""


@dataclass(slots=True)
class Told:
    """What is known of a job's answers, for its end and for its steps."""

    #: `finish_reason`, `cut`, `simulated` of the last answer; empty before the first.
    said: JsonObject = field(default_factory=dict)
    #: `CannotContinue` starts the present step over, if the task lets it through.
    restarts: bool = False


@dataclass(frozen=True, slots=True)
class Desk:
    """What a job's context does for its model."""

    told: Told
    #: Thinking, as it comes.
    reasoning: Callable[[str], object]
    #: Writes a line to the job's log, with members that snapshots show.
    note: Callable[[str, JsonMapping], object]
    listen: Listen
    #: Reports a tool call that the asker runs: its id, name and arguments.
    call: Callable[[str, str, Json], object]
    #: What is done when an answer breaks: `restart`, `continue` or `fail`.
    on_break: str = "restart"
    #: Epoch seconds until which a client's status line waits for an answer that is passed on.
    held_until: float = 0.0
    #: What an earlier attempt left of the answer that is about to be asked for.
    kept: Callable[[], str] = str


class BoundModel:
    """The model of a job: stops with it, counts its usage, says how its answers end."""

    def __init__(self, model: Model, stop: StopSignal, desk: Desk) -> None:
        self._model = model
        self._stop = stop
        self._desk = desk
        #: What the job's answers have cost so far.
        self.usage: dict[str, int] = {}

    @property
    def told(self) -> JsonObject:
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
        """Fail with `model_unavailable` when the model cannot be reached: before other work."""
        self._model.check(self._stop)

    def pace(self, **options: Json) -> Callable[[int], tuple[int, int, bool]]:
        """Estimates how far an answer is by the number of its pieces, for `ctx.progress`.

        Returns done, total, and whether the total is an estimate. `options` are those of
        `stream`. The length of a real model's answer is unknown: it is taken to be that of the
        answers before it.
        """
        prompt = Prompt(**options)
        limit, expected = prompt.max_tokens, self._model.expected(prompt)

        def reckon(written: int) -> tuple[int, int, bool]:
            if expected is None:
                total = limit or written + 1
                return written, max(written, total), limit is None
            rest = max(expected - written, expected // 4, 1)
            if limit is not None:
                rest = min(rest, max(1, limit - written))
            return written, written + rest, True

        return reckon

    @property
    def name(self) -> str:
        """The model that is wanted."""
        return self._model.name

    def call_part(self, part: ToolCallPart) -> None:
        """Emit a piece of a tool call that the asker is to run, as the model writes it."""
        told = {"index": part.index, "id": part.id, "name": part.name, "arguments": part.arguments}
        self._desk.note(f"the model writes a call of {part.name}", {"level": "debug", "call": told})

    def call(self, call: ToolCall) -> None:
        """Emit a complete tool call that the asker is to run."""
        try:
            arguments: Json = call.parsed()
        except TaskError:  # the asker's to judge, as the model wrote them
            arguments = call.arguments
        self._desk.call(call.id, call.name, arguments)

    @in_span_of_call
    def stream(
        self,
        prompt: str | Sequence[JsonMapping],
        *,
        until: Callable[[Json], bool] | None = None,
        **options: Json,
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
        answer = Answer(asked, Spending(self.usage, self._model, asked))
        try:
            with contextlib.closing(self._given(answer, until)) as pieces:
                for piece in pieces:
                    if isinstance(piece, str):
                        yield piece
                    else:
                        self._take(piece)
        except _Enough:
            return []
        except BaseException as error:
            self._tell_failure(answer, error)
            raise
        answer.check(self._tell_ending(answer))
        return answer.calls

    def _given(
        self, answer: Answer, until: Callable[[Json], bool] | None
    ) -> Generator[Piece, None, None]:
        """The pieces; an answer that breaks off is continued."""
        kept = self._desk.kept()
        if kept:
            self._go_on(answer, "the attempt before this one ended", [kept])
            yield kept
        if self._model.simulated:
            self.told["simulated"] = True
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

    def _asked(self, answer: Answer, stop: StopSignal) -> Generator[Piece, None, None]:
        """The pieces of one question to the model."""
        joint = Joint(answer.prompt.so_far) if answer.prompt.so_far else None
        keeps = self._desk.on_break == "continue"
        with _closing(self._model.stream(answer.prompt, stop)) as pieces:
            for piece in pieces:
                answer.spent.count(piece)
                if isinstance(piece, str):
                    text = piece if joint is None else joint.add(piece)
                    if not answer.written and text.strip():
                        answer.written = True
                    if keeps:
                        answer.text.append(text)
                    if text:
                        yield text
                    continue
                if joint is not None and isinstance(piece, Ending) and (rest := joint.end()):
                    yield rest
                answer.take(piece)
                yield piece
        if joint is not None and (rest := joint.end()):
            yield rest

    def _take(self, piece: Piece) -> None:
        """Handle a piece that is not text."""
        if isinstance(piece, Reasoning):
            self._desk.reasoning(piece.text)
        elif isinstance(piece, Answering) and piece.degraded:
            why = f"the model {piece.model} answers for {self._model.name}"
            self._desk.note(why, {"degraded": True})

    @contextlib.contextmanager
    def _stopping(self, until: Callable[[Json], bool] | None) -> Iterator[StopSignal]:
        """The job's stop signal; with `until`, one that an accepted input sets as well."""
        if until is None:
            yield self._stop
            return
        stop = StopSignal()

        def pass_on() -> None:
            stop.set(self._stop.reason or _Enough())

        with self._stop.closing(pass_on), self._desk.listen(until, lambda: stop.set(_Enough())):
            yield stop

    def _may_go_on(self, answer: Answer, so_far: list[str]) -> bool:
        limit = answer.prompt.max_tokens
        return (
            self._desk.on_break == "continue"
            and answer.continued < CONTINUES
            and bool("".join(so_far).strip())
            and not (answer.calls or answer.is_calling)
            and (limit is None or len(answer.text) < limit)
        )

    def _go_on(self, answer: Answer, why: str, so_far: list[str]) -> None:
        """Prepare to ask for the rest of an answer, and say so in the log."""
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

    def pieces(self, prompt: Prompt) -> Generator[Piece, None, None]:
        """Every piece of an answer as the model gives it, for those who pass it on.

        Its usage counts and its end is kept, as in `stream`; what it says is left to the caller,
        an answer without a word too. A server that is busy for longer than a client's status line
        waits is not waited for: the client is told, and comes back by itself.
        """
        held_s = self._desk.held_until - time.time()
        if held_s > 0 and prompt.wait_s is None:
            prompt = replace(prompt, wait_s=max(0.0, held_s - TRY_S))
        answer = Answer(prompt, Spending(self.usage, self._model, prompt), passes_on=True)
        try:
            with contextlib.closing(self._given(answer, None)) as pieces:
                for piece in pieces:
                    if isinstance(piece, Answering):
                        self._take(piece)
                    yield piece
        except BaseException as error:
            self._tell_failure(answer, error)
            raise
        self._tell_ending(answer)

    def _tell_ending(self, answer: Answer) -> Ending:
        """How an answer ended, for the job's end and for the log."""
        ending = answer.ending or Ending("tool_calls" if answer.calls else "stop")
        self.told["finish_reason"] = ending.reason
        if ending.cut:
            self.told["cut"] = True
        if ending.cut or ending.note:
            why = ending.note or "the model's answer was cut off at its limit of tokens"
            self._desk.note(why, {"finish_reason": ending.reason, "cut": ending.cut})
        return ending

    def _tell_failure(self, answer: Answer, error: BaseException) -> None:
        if answer.written:
            self.told["cut"] = True
        if isinstance(error, TaskError):
            self.told["finish_reason"] = _FINISHES.get(error.code, "error")


@contextlib.contextmanager
def _closing(pieces: Iterator[Piece]) -> Iterator[Iterator[Piece]]:
    """Closed after the block, unless a model's `stream` returned something without `close`."""
    try:
        yield pieces
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            close()
