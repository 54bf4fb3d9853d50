"""The place where an answer that had broken off goes on. No I/O."""

from __future__ import annotations

from streaming.llm.base import CannotContinue

#: Characters by which an answer is known that starts over in place of going on.
KNOWN = 24


class Joint:
    """Takes the pieces behind a text. A server that repeats the text has it taken off again."""

    def __init__(self, so_far: str) -> None:
        self._so_far = so_far
        self._held = ""
        self._open = True
        #: Characters of the repeated text that have come; None: it is not repeated.
        self._repeated: int | None = None

    def add(self, piece: str) -> str:
        """What is new of a piece; `CannotContinue` for another text from the start."""
        if not self._open:
            return piece if self._repeated is None else self._skip(piece)
        self._held += piece
        known = self._so_far[:KNOWN]
        if len(self._held) < len(known) and known.startswith(self._held):
            return ""
        held, self._held, self._open = self._held, "", False
        if len(known) == KNOWN and held.startswith(known):
            self._repeated = 0
            return self._skip(held)
        return held

    def end(self) -> str:
        """What was held back."""
        held, self._held = self._held, ""
        return held

    def _skip(self, piece: str) -> str:
        assert self._repeated is not None
        wanted = self._so_far[self._repeated : self._repeated + len(piece)]
        if not piece.startswith(wanted):
            message = "the model's server starts the answer over in place of going on with it"
            raise CannotContinue(message, code="upstream_error")
        self._repeated += len(wanted)
        if self._repeated == len(self._so_far):
            self._repeated = None
        return piece[len(wanted) :]
