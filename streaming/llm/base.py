"""What a model is to a task: a prompt in, pieces of an answer out."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from streaming.concurrency.stop_signal import StopSignal
from streaming.errors import TaskError
from streaming.events.vocabulary import Json


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A piece of the model's thinking, apart from its answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that the model wants called; `arguments` is JSON as the model wrote it."""

    id: str
    name: str
    arguments: str

    def parsed(self) -> dict[str, Json]:
        """The arguments as an object; `TaskError` when the model wrote something else."""
        try:
            found = json.loads(self.arguments or "{}")
        except ValueError:
            found = None
        if not isinstance(found, dict):
            message = f"the arguments of {self.name} are no JSON object: {self.arguments[:200]}"
            raise TaskError(message, code="bad_tool_arguments")
        return found

    def message(self) -> dict[str, Json]:
        """As it stands in the message of the assistant who made it."""
        function = {"name": self.name, "arguments": self.arguments}
        return {"id": self.id, "type": "function", "function": function}


@dataclass(frozen=True, slots=True)
class Usage:
    """What the answer cost, as the model's server counts it."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Answering:
    """Which model answers, ahead of its first piece."""

    model: str
    #: It stands in for the one that was wanted.
    degraded: bool


#: A string is a piece of the answer's text.
Piece = str | Reasoning | ToolCall | Usage | Answering


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a task asks of a model."""

    text: str = ""
    #: A conversation (`role`, `content`, …, as OpenAI's API has it), in place of the text.
    messages: tuple[Mapping[str, Json], ...] = ()
    #: Functions that the model may want called, as OpenAI's API has them.
    tools: tuple[Mapping[str, Json], ...] = ()
    max_tokens: int | None = None
    seed: int = 0
    #: For the simulated model alone: what it answers instead of text of its own.
    script: str | None = None
    #: For the simulated model alone: its speed, 0 = as fast as possible.
    tokens_per_s: float = 20.0
    #: For the simulated model alone: it fails after so many tokens.
    fail_after: int | None = None
    #: For the simulated model alone: what it thinks first.
    thinking: str = ""
    #: For the simulated model alone: the tools that it wants called, instead of an answer.
    calls: tuple[ToolCall, ...] = ()

    def conversation(self) -> list[Mapping[str, Json]]:
        """The messages; of a plain text, one."""
        return list(self.messages) or [{"role": "user", "content": self.text}]


class Model(ABC):
    """A model. `stream` yields pieces of the answer as they come."""

    name: str

    @abstractmethod
    def stream(self, prompt: Prompt, stop: StopSignal) -> Iterator[Piece]:
        """The answer in pieces (tokens, as a rule). A stop ends it at once, also before the first.

        A model that only writes yields strings. Raises `TaskError` when the model fails, with
        code `model_unavailable`, `rate_limited`, `context_too_long` or `upstream_error`.
        """

    @abstractmethod
    def count(self, text: str) -> int:
        """About how many tokens a text has."""

    def check(self, stop: StopSignal) -> None:  # noqa: ARG002 - for those that can be away
        """`TaskError` with code `model_unavailable` when a question would be in vain."""
        return
