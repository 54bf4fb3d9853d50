"""What a model is to a task: a prompt in, pieces of an answer out."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from streaming.concurrency.stop_signal import StopSignal
from streaming.errors import TaskError
from streaming.events.vocabulary import JsonMapping, JsonObject


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

    def parsed(self) -> JsonObject:
        """The arguments as an object; `TaskError` when the model wrote something else."""
        try:
            found = json.loads(self.arguments or "{}")
        except ValueError:
            found = None
        if not isinstance(found, dict):
            message = f"the arguments of {self.name} are no JSON object: {self.arguments[:200]}"
            raise TaskError(message, code="bad_tool_arguments")
        return found

    def message(self) -> JsonObject:
        """As it stands in the message of the assistant who made it."""
        function = {"name": self.name, "arguments": self.arguments}
        return {"id": self.id, "type": "function", "function": function}


@dataclass(frozen=True, slots=True)
class ToolCallPart:
    """A piece of a tool call as it is written; the whole `ToolCall` comes at the answer's end."""

    #: Which of the answer's calls, from 0.
    index: int
    id: str
    name: str
    #: What is added to the arguments.
    arguments: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What the answer has cost so far, as the model's server counts it."""

    prompt_tokens: int
    completion_tokens: int
    #: Of the prompt's, those read from a cache; of the answer's, those thought. None: not said.
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Answering:
    """Which model answers, ahead of its first piece."""

    model: str
    #: It stands in for the one that was wanted.
    degraded: bool


#: Why an answer ended, in one vocabulary for all servers.
Finish = Literal["stop", "length", "tool_calls", "filtered", "refused", "error"]


@dataclass(frozen=True, slots=True)
class Ending:
    """How the answer ended, as its last piece; an answer that failed has none."""

    reason: Finish
    #: The text is not whole.
    cut: bool = False
    #: What is to be said about it, where it is no plain end.
    note: str = ""


#: A string is a piece of the answer's text.
Piece = str | Reasoning | ToolCallPart | ToolCall | Usage | Answering | Ending


class Outage(TaskError):
    """Raised for what says something about the server: no connection, 5xx, silence."""


class Broken(Outage):
    """Raised when an answer that had begun breaks off: another try may get the rest."""


class CannotContinue(Broken):
    """Raised when a server does not go on with an answer that has begun: it can only start over."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a task asks of a model."""

    text: str = ""
    #: A conversation (`role`, `content`, …, as OpenAI's API has it), in place of the text. Sent as
    #: it is: parts of images, tool calls and their results among it.
    messages: tuple[JsonMapping, ...] = ()
    #: Of the setting's models, the one that is to answer: no other stands in for it. "": the first
    #: that is well.
    model: str = ""
    #: Functions that the model may want called, as OpenAI's API has them.
    tools: tuple[JsonMapping, ...] = ()
    #: False: the tools are known to the model, but it is to answer in words.
    may_call: bool = True
    #: Maximum tokens of the answer; None: the setting for answers, or for steps.
    max_tokens: int | None = None
    #: It is a step of an agent's, not an answer: STREAMING_LLM_STEP_TOKENS is its cap.
    is_step: bool = False
    seed: int | None = None
    #: More members of the request, sent as they are, over what would be sent otherwise.
    extra: JsonMapping = field(default_factory=dict)
    #: What the answer begins with already: the model is to go on behind it.
    so_far: str = ""
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
    #: Seconds from the question within which a server that fails is asked again: where a busy one
    #: wants more, the answer fails and says how much. None: half a minute each time.
    wait_s: float | None = None

    def conversation(self) -> list[JsonMapping]:
        """The messages; of a plain text, one."""
        return list(self.messages) or [{"role": "user", "content": self.text}]


def call_id(*parts: object) -> str:
    """An id for a tool call, made of `parts`: nine letters or digits, as the strictest want it."""
    return hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "replace")).hexdigest()[:9]


class Model(ABC):
    """A model. `stream` yields pieces of the answer as they come."""

    name: str
    #: It is no model at all: what it writes is made up.
    simulated: bool = False

    @abstractmethod
    def stream(self, prompt: Prompt, stop: StopSignal) -> Iterator[Piece]:
        """The answer in pieces (tokens, as a rule). A stop ends it at once, also before the first.

        `Answering` comes first and `Ending` last, both at once or not at all: a model that only
        writes yields strings. Raises `TaskError` when the model fails, with code
        `model_unavailable`, `rate_limited`, `context_too_long`, `content_filtered` or
        `upstream_error`; `extra["upstream_status"]` has the HTTP status of a server that refused
        the question. What came before an error stays: it is raised behind the pieces.
        """

    @abstractmethod
    def count(self, text: str) -> int:
        """About how many tokens a text has."""

    def expected(self, prompt: Prompt) -> int | None:  # noqa: ARG002 - for those that can tell
        """About how many tokens an answer will have; None where nobody knows."""
        return None

    def check(self, stop: StopSignal) -> None:  # noqa: ARG002 - for those that can be away
        """`TaskError` with code `model_unavailable` when a question would be in vain."""
        return
