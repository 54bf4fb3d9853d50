"""What the answers of a job cost: counted as they come, until the model's server says it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from streaming.events.vocabulary import Json
from streaming.llm.base import Model, Piece, Prompt, Reasoning, ToolCallPart, Usage


class Spending:
    """Adds one answer to the usage of a job; marked as estimated where nobody has counted."""

    def __init__(self, usage: dict[str, int], model: Model, prompt: Prompt) -> None:
        self._usage = usage
        self._before = _so_far(usage)
        self._asked = sum(
            model.count(text)
            for message in prompt.conversation()
            for text in _texts(message.get("content"))
        )
        self._written = 0
        #: The server has counted, up to here.
        self._counted = model.simulated
        self._estimated_before = bool(usage.get("estimated"))
        #: The usage is as the piece before this one has set it: one token more is all.
        self._follows = False

    def count(self, piece: Piece) -> None:
        if isinstance(piece, Usage):
            self._counted, self._follows = True, False
            self._set(piece)
        elif isinstance(piece, (str, Reasoning, ToolCallPart)):
            self._written += 1
            if self._follows:
                self._usage["completion_tokens"] += 1
            else:
                self._set(Usage(self._asked, self._written))
                self._follows = True

    def settle(self) -> None:
        """What comes now is of another question: it costs again."""
        self._before = _so_far(self._usage)
        self._estimated_before = bool(self._usage.get("estimated"))
        self._written, self._counted, self._follows = 0, False, False

    def _set(self, spent: Usage) -> None:
        self._usage["prompt_tokens"] = self._before.prompt_tokens + spent.prompt_tokens
        self._usage["completion_tokens"] = self._before.completion_tokens + spent.completion_tokens
        for name in ("cached_tokens", "reasoning_tokens"):
            told = getattr(spent, name)
            if told is not None:
                self._usage[name] = (getattr(self._before, name) or 0) + told
        if self._counted and not self._estimated_before:
            self._usage.pop("estimated", None)
        else:
            self._usage["estimated"] = True


def _texts(content: Json) -> Iterator[str]:
    """What a message says in words: nobody can tell from its bytes what a picture costs."""
    if not isinstance(content, list):
        yield str(content or "")
        return
    for part in content:
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            yield part["text"]


def _so_far(usage: Mapping[str, int]) -> Usage:
    return Usage(
        usage.get("prompt_tokens", 0),
        usage.get("completion_tokens", 0),
        usage.get("cached_tokens"),
        usage.get("reasoning_tokens"),
    )
