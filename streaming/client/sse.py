"""Server-Sent Events as they come, in pieces of any size (WHATWG HTML, 9.2.6). No I/O."""

from __future__ import annotations

import re
from typing import NamedTuple

_LINE = re.compile(rb"([^\r\n]*)(\r\n|\n|\r)")


class Frame(NamedTuple):
    """One block; `data` is None where it has only a position."""

    data: str | None
    id: str | None


class SseParser:
    """Bytes in, whole frames out: of a frame that was cut off, nothing."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[str] = []
        self._id: str | None = None
        self._begun = False
        #: Milliseconds to wait before coming back, where the server has said so.
        self.retry_ms: int | None = None

    def feed(self, chunk: bytes) -> list[Frame]:
        """The frames that the chunk completes."""
        buffer = self._rest + chunk
        if not self._begun and buffer:
            if len(buffer) < 3 and b"\xef\xbb\xbf".startswith(buffer):
                self._rest = buffer  # perhaps a byte order mark
                return []
            buffer = buffer.removeprefix(b"\xef\xbb\xbf")
            self._begun = True
        frames, at = [], 0
        while (line := _LINE.match(buffer, at)) is not None:
            if line[2] == b"\r" and line.end() == len(buffer):
                break  # perhaps half of CR LF
            at = line.end()
            if line[1]:
                self._take(line[1].decode(errors="replace"))
            elif (frame := self._dispatch()) is not None:
                frames.append(frame)
        self._rest = buffer[at:]
        return frames

    def _take(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry_ms = int(value)

    def _dispatch(self) -> Frame | None:
        if not self._data and self._id is None:
            return None
        frame = Frame("\n".join(self._data) if self._data else None, self._id)
        self._data, self._id = [], None
        return frame
