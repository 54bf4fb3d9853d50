"""The body of an answer: a stream of events, JSON in one, or neither of both. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from streaming.errors import TaskError
from streaming.events.vocabulary import Json
from streaming.llm.base import Broken, Piece
from streaming.llm.chunks import Answer
from streaming.llm.event_stream import MAX_EVENT, EventStream, EventTooLarge
from streaming.llm.failures import failure
from streaming.llm.shapes import parsed, shown

#: Bytes of an answer that comes in one piece.
MAX_WHOLE = 16 << 20

_SPACE = b"\xef\xbb\xbf \t\r\n"


class Body:
    """Bytes to pieces. What it is, its first character tells: content types are often wrong."""

    def __init__(self, answer: Answer, readable: Callable[[bytes], Json]) -> None:
        """`readable` makes of an error's body what may be shown."""
        self._answer = answer
        self._readable = readable
        self._events = EventStream()
        self._head = b""
        self._whole: list[bytes] | None = None
        self._size = 0
        self._some = False
        #: `[DONE]` has come.
        self.is_over = False

    def feed(self, data: bytes) -> Iterator[Piece]:
        """The pieces that are complete; `TaskError` for an error among them."""
        if not self._some:
            data = self._begin(data)
        if self._whole is not None:
            self._size += len(data)
            if self._size > MAX_WHOLE:
                raise _too_large(MAX_WHOLE)
            self._whole.append(data)
            return
        try:
            for name, event in self._events.feed(data):
                if event[:6] == b"[DONE]":
                    self.is_over = True
                    return
                yield from self._answer.take(name, event)
        except EventTooLarge:
            raise _too_large(MAX_EVENT) from None

    def end(self) -> Iterator[Piece]:
        """What is left at the end of the body."""
        if self._whole is not None:
            yield from self._take_whole(b"".join(self._whole))
        elif self._answer.finish is None and _has_end(self._events.pending):
            yield from self._answer.take(b"", self._events.pending)
        if self._whole is None and not self._answer.began and self._answer.unknown is not None:
            message = "the model's server sent chunks that are no answer: "
            raise TaskError(message + shown(self._answer.unknown), code="upstream_error")
        if self._whole is None and not self._answer.began and not self.is_over:
            found = self._events.stray or self._events.left or self._head
            stray = self._readable(found.strip())
            said = shown(stray) if stray else "nothing"
            message = f"the model's server answered with no event stream: {said}"
            raise Broken(message, code="upstream_error", retryable=True)
        yield from self._answer.end()

    def _begin(self, data: bytes) -> bytes:
        """Decide what it is, as soon as there is something to tell it by."""
        self._head += data
        start = self._head.lstrip(_SPACE)[:1]
        if not start:
            return b""
        self._some = True
        if start in b"{[<":
            self._whole = []
        head, self._head = self._head, b""
        return head

    def _take_whole(self, data: bytes) -> Iterator[Piece]:
        try:
            body = parsed(data.strip(_SPACE))
        except ValueError:
            raise failure(None, self._readable(data), where="with status 200") from None
        yield from self._answer.take_whole(body)


def _has_end(data: bytes) -> bool:
    """Whether an event that only lacks the blank line behind it is the end of an answer."""
    try:
        return b"finish_reason" in data and bool(parsed(data)["choices"][0]["finish_reason"])
    except (ValueError, TypeError, KeyError, IndexError):
        return False


def _too_large(size: int) -> TaskError:
    message = f"a frame of the model's answer is over {size} bytes"
    return TaskError(message, code="upstream_error")
