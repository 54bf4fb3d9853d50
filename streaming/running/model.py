"""The model as a job has it: it stops with the job, and what it costs is counted."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from streaming.concurrency.stop_signal import StopSignal
from streaming.events.vocabulary import Json
from streaming.llm.base import Answering, Model, Piece, Prompt, Reasoning, ToolCall, Usage
from streaming.running.traces import in_span_of_call


class Asker(Protocol):
    """What is told of an answer besides its text: a job's context."""

    usage: dict[str, int]

    def reasoning(self, text: str) -> None: ...
    def degrade(self, why: str) -> None: ...


class BoundModel:
    """The model of a job: stops with it, counts its usage."""

    def __init__(self, model: Model, stop: StopSignal, asker: Asker) -> None:
        self._model = model
        self._stop = stop
        self._asker = asker

    def check(self) -> None:
        """Fail with `model_unavailable` when the model is not there: before work that it ends."""
        self._model.check(self._stop)

    @in_span_of_call
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
        model, stop = self._model, self._stop
        spent = _Spending(self._asker.usage, model, asked)
        calls: list[ToolCall] = []
        with contextlib.closing(_generator(model.stream(asked, stop))) as pieces:
            for piece in pieces:
                stop.check()
                spent.count(piece)
                if isinstance(piece, str):
                    yield piece
                elif isinstance(piece, Reasoning):
                    self._asker.reasoning(piece.text)
                elif isinstance(piece, ToolCall):
                    calls.append(piece)
                elif isinstance(piece, Answering) and piece.degraded:
                    self._asker.degrade(f"the model {piece.model} answers for {model.name}")
        return calls


class _Spending:
    """What one answer costs: counted as it comes, until the model's server says it."""

    def __init__(self, usage: dict[str, int], model: Model, prompt: Prompt) -> None:
        self._usage = usage
        self._before = Usage(usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0))
        asked = [str(message.get("content") or "") for message in prompt.conversation()]
        self._asked = sum(model.count(text) for text in asked)
        self._written = 0

    def count(self, piece: Piece) -> None:
        self._written += isinstance(piece, (str, Reasoning))
        spent = piece if isinstance(piece, Usage) else Usage(self._asked, self._written)
        self._usage["prompt_tokens"] = self._before.prompt_tokens + spent.prompt_tokens
        self._usage["completion_tokens"] = self._before.completion_tokens + spent.completion_tokens


def _generator(pieces: Iterator[Piece]) -> Generator[Piece, None, None]:
    """With `close`, also where a model's `stream` returns another kind of iterator."""
    yield from pieces
