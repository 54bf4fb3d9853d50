"""Thinking between tags in the text, told apart from the answer. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from streaming.llm.base import Reasoning

_SMALL = {ord(letter): letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
#: What models put around their thinking, in small letters.
TAGS = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<reasoning>": "</reasoning>",
    "<seed:think>": "</seed:think>",
    "<|begin_of_thought|>": "<|end_of_thought|>",
    "<|start_thinking|>": "<|end_thinking|>",
    "[think]": "[/think]",
    "◁think▷": "◁/think▷",
}
#: In front of a tag that is being spoken of, not used.
_QUOTES = "`'\"“‘«\\"


class ThinkTags:
    """Takes the pieces of an answer; tags may be split over any number of them."""

    def __init__(self, *, opened: bool = False) -> None:
        """`opened`: it begins within its thinking, whose tag stands at the end of the prompt."""
        self._held = ""
        #: The tags that end the thinking that is going on.
        self._until: Collection[str] = frozenset(TAGS.values()) if opened else ()
        #: Nothing has come yet: a model may open its thinking itself all the same.
        self._may_open = opened
        #: The last character of the text, "" before the first.
        self._before = ""
        self._wrote = False
        #: The space behind a block of thinking that began the answer is none of it.
        self._trim = False

    def passes(self, text: str) -> bool:
        """Whether a piece is plain text, which need not be looked at any closer."""
        if self._held or self._until or self._trim or "<" in text or "◁" in text:
            return False
        if not self._wrote and "[" in text:
            return False
        self._before = text[-1]
        self._wrote = self._wrote or not text.isspace()
        return True

    def add(self, text: str) -> Iterator[str | Reasoning]:
        """The text and the thinking that are certain by now."""
        rest = self._held + text
        self._held = ""
        while rest:
            part, rest = self._thinking(rest) if self._until else self._writing(rest)
            if part is not None:
                yield part

    def told_apart(self) -> None:
        """The server says by itself what is thinking: the text begins outside of it."""
        if self._may_open:
            self._may_open, self._until = False, ()

    def end(self) -> Iterator[str | Reasoning]:
        """What was held back, as it is."""
        held, self._held = self._held, ""
        if held:
            yield Reasoning(held) if self._until else held

    def _thinking(self, text: str) -> tuple[Reasoning | None, str]:
        """The thinking up to its end, and what is behind."""
        if self._may_open:
            text = self._opening(text)
        small = _small(text)
        found = min(((at, tag) for tag in self._until for at in _places(small, tag)), default=None)
        if found is not None:
            at, tag = found
            thought, rest = text[:at], text[at + len(tag) :]
            self._until, self._trim = (), not self._wrote
        else:
            kept = len(text) if self._may_open else _overlap(small, self._until)
            thought, self._held, rest = text[: len(text) - kept], text[len(text) - kept :], ""
        return Reasoning(thought) if thought else None, rest

    def _opening(self, text: str) -> str:
        """The text without a tag that opens the thinking at its beginning."""
        begun = text.lstrip()
        small = _small(begun)
        if any(tag.startswith(small) and tag != small for tag in TAGS):
            return text  # it is not certain yet
        self._may_open = False
        tag = next((tag for tag in TAGS if small.startswith(tag)), None)
        if tag is None:
            return text
        self._until = (TAGS[tag],)
        return begun[len(tag) :]

    def _writing(self, text: str) -> tuple[str | None, str]:
        """The text up to the next tag, and what is behind."""
        if self._trim:
            text = text.lstrip()
            self._trim = not text
        at, tag = self._next_tag(text)
        if tag:
            written, rest = text[:at], text[at + len(tag) :]
            self._until = (TAGS[tag],)
        else:
            kept = _overlap(_small(text), TAGS)
            written, self._held, rest = text[: len(text) - kept], text[len(text) - kept :], ""
        self._before = written[-1:] or self._before
        self._wrote = self._wrote or bool(written.strip())
        return written or None, rest

    def _next_tag(self, text: str) -> tuple[int, str]:
        small = _small(text)
        found = sorted((at, tag) for tag in TAGS for at in _places(small, tag))
        for at, tag in found:
            if tag[0] == "[" and (self._wrote or text[:at].strip()):
                continue  # only as the first thing in an answer
            if (text[at - 1] if at else self._before) not in tuple(_QUOTES):
                return at, tag
        return -1, ""


def _small(text: str) -> str:
    """Capitals A to Z as small letters: as long as the text is."""
    return text.lower() if text.isascii() else text.translate(_SMALL)


def _places(text: str, tag: str) -> Iterator[int]:
    at = text.find(tag)
    while at >= 0:
        yield at
        at = text.find(tag, at + 1)


def _overlap(text: str, tags: Iterable[str]) -> int:
    """Characters at the text's end that may be the beginning of a tag."""
    return max(
        (n for tag in tags for n in range(1, len(tag)) if text.endswith(tag[:n])),
        default=0,
    )
