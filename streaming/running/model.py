"""The model as a job has it: it stops with the job, and what it costs is counted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from streaming.concurrency.stop_signal import StopSignal
from streaming.errors import TaskError
from streaming.events.vocabulary import Json
from streaming.llm.base import (
    Answering,
    Model,
    Piece,
    Prompt,
    Reasoning,
    ToolCall,
    ToolCallPart,
    Usage,
)


class Asker(Protocol):
    """What is told of an answer besides its text: a job's context."""

    usage: dict[str, Any]

    def reasoning(self, text: str) -> None: ...
    def degrade(self, why: str) -> None: ...


class BoundModel:
    """The model of a job: stops with it, counts its usage."""

    def __init__(
        self,
        model: Model,
        stop: StopSignal,
        asker: Asker,
        emit: Callable[[str, Mapping[str, Json]], None],
    ) -> None:
        self._model = model
        self._stop = stop
        self._asker = asker
        self._emit = emit

    def check(self) -> None:
        """Fail with `model_unavailable` when the model is not there: before work that it ends."""
        self._model.check(self._stop)

    def stream(
        self, prompt: str | Sequence[Mapping[str, Json]], **options: Any
    ) -> Generator[str, None, list[ToolCall]]:
        """The model's answer to a text or a conversation, piece by piece.

        Options are those of `llm.base.Prompt`. What it thinks becomes `reasoning.delta` events.
        The generator's return value is the tools that the model wants called.
        """
        asked = Prompt(prompt if isinstance(prompt, str) else "", **options)
        if not isinstance(prompt, str):
            asked = replace(asked, messages=tuple(prompt))
        calls: list[ToolCall] = []
        with contextlib.closing(self.pieces(asked)) as pieces:
            for piece in pieces:
                if isinstance(piece, str):
                    yield piece
                elif isinstance(piece, Reasoning):
                    self._asker.reasoning(piece.text)
                elif isinstance(piece, ToolCall):
                    calls.append(piece)
        return calls

    def pieces(self, asked: Prompt) -> Generator[Piece, None, None]:
        """All that the model gives, its usage counted: for who shows more of it than text."""
        model, stop = self._model, self._stop
        spent = _Spending(self._asker.usage, model, asked)
        with contextlib.closing(_generator(model.stream(asked, stop))) as pieces:
            for piece in pieces:
                stop.check()
                spent.count(piece)
                if isinstance(piece, Answering) and piece.degraded:
                    self._asker.degrade(f"the model {piece.model} answers for {model.name}")
                yield piece

    def call_part(self, part: ToolCallPart) -> None:
        """Tell of a piece of a call that whoever asked is to run, as the model writes it."""
        told = {"index": part.index, "id": part.id, "name": part.name, "arguments": part.arguments}
        message = f"the model writes a call of {part.name}"
        self._emit("log", {"level": "debug", "message": message, "call": told})

    def call(self, call: ToolCall) -> None:
        """Tell of a whole call that whoever asked is to run."""
        try:
            arguments: Json = call.parsed()
        except TaskError:  # the asker's to judge, as the model wrote them
            arguments = call.arguments
        self._emit("tool.call", {"id": call.id, "name": call.name, "arguments": arguments})

    @property
    def name(self) -> str:
        """The model that is wanted."""
        return self._model.name

    @property
    def simulated(self) -> bool:
        """Whether what it writes is made up."""
        return self._model.simulated


class _Spending:
    """What one answer costs: counted as it comes, until the model's server says it."""

    def __init__(self, usage: dict[str, Any], model: Model, prompt: Prompt) -> None:
        self._usage = usage
        self._before = Usage(usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0))
        self._estimated_before = bool(usage.get("estimated"))
        self._said = False
        asked = [str(message.get("content") or "") for message in prompt.conversation()]
        self._asked = sum(model.count(text) for text in asked)
        self._written = 0

    def count(self, piece: Piece) -> None:
        self._written += isinstance(piece, (str, Reasoning))
        if self._said and not isinstance(piece, Usage):
            return
        spent = piece if isinstance(piece, Usage) else Usage(self._asked, self._written)
        self._usage["prompt_tokens"] = self._before.prompt_tokens + spent.prompt_tokens
        self._usage["completion_tokens"] = self._before.completion_tokens + spent.completion_tokens
        self._said = self._said or isinstance(piece, Usage)
        for name in ("cached_tokens", "reasoning_tokens"):
            if (tokens := getattr(spent, name)) is not None:
                self._usage[name] = tokens
        if self._estimated_before or not self._said:
            self._usage["estimated"] = True
        else:
            self._usage.pop("estimated", None)


def _generator(pieces: Iterator[Piece]) -> Generator[Piece, None, None]:
    """With `close`, also where a model's `stream` returns another kind of iterator."""
    yield from pieces
