"""What a model is to a task: a prompt in, pieces of text out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from streaming.stopping import StopSignal


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a task asks of a model."""

    text: str
    max_tokens: int | None = None
    seed: int = 0
    #: For the simulated model alone: what it answers instead of text of its own.
    script: str | None = None
    #: For the simulated model alone: its speed, 0 = as fast as possible.
    tokens_per_s: float = 20.0
    #: For the simulated model alone: it fails after so many tokens.
    fail_after: int | None = None


class Model(ABC):
    """A model. `stream` yields pieces of the answer as they come."""

    name: str

    @abstractmethod
    def stream(self, prompt: Prompt, stop: StopSignal) -> Iterator[str]:
        """The answer in pieces (tokens, as a rule). A stop ends it at once, also before the first.

        Raises `TaskError` with code `upstream_error` and the like when the model fails.
        """

    @abstractmethod
    def count(self, text: str) -> int:
        """About how many tokens a text has."""
