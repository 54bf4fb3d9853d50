"""One answer of a job's model: what is asked, and what has come of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from streaming.errors import TaskError
from streaming.llm.base import Ending, Piece, Prompt, Reasoning, ToolCall, ToolCallPart
from streaming.llm.spending import Spending


@dataclass(slots=True)
class Answer:
    """One answer: what is asked, and what has come of it."""

    prompt: Prompt
    spent: Spending
    #: The pieces of the text, where it may have to be gone on with.
    text: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    written: bool = False
    thought: bool = False
    ending: Ending | None = None
    continued: int = 0
    #: A piece of a tool call was passed on: from then on no other question can take over.
    is_calling: bool = False
    passes_on: bool = False

    def take(self, piece: Piece) -> None:
        """Take a piece that is not text."""
        if isinstance(piece, Reasoning):
            self.thought = True
        elif isinstance(piece, ToolCallPart):
            self.is_calling = self.passes_on
        elif isinstance(piece, ToolCall):
            self.calls.append(piece)
        elif isinstance(piece, Ending):
            self.ending = piece

    def check(self, ending: Ending) -> None:
        """`TaskError` for an answer without a word."""
        if not self.written and not self.calls and not self.prompt.is_step:
            raise TaskError(self._nothing(ending), code="upstream_error")
        if not self.written and not self._may_call():
            message = "the model called tools where it was to answer in words"
            raise TaskError(message, code="upstream_error")

    def _may_call(self) -> bool:
        """Whether calls of tools are an answer: to those who have named some."""
        asked = self.prompt
        named = asked.tools or asked.calls or "tools" in asked.extra
        return bool(asked.may_call and (named or self.passes_on))

    def _nothing(self, ending: Ending) -> str:
        if ending.reason == "length" and self.thought:
            return "the model has used up all of its tokens for thinking, and answered nothing"
        if ending.reason == "length":
            return "the model has used up all of its tokens, and answered nothing"
        return "the model answered nothing"
