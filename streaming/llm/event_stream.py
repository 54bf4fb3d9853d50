"""A parser of event streams (WHATWG HTML, 9.2.6): bytes to the data of events. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

#: Maximum bytes of one event.
MAX_EVENT = 4 << 20

_BOM = b"\xef\xbb\xbf"


class EventTooLarge(ValueError):
    """Raised when an event has more than `MAX_EVENT` bytes."""


class EventStream:
    """Takes bytes as they come; an event that has not ended is dropped, as the standard says."""

    def __init__(self) -> None:
        self._rest = b""
        self._first = True
        #: The last bytes ended in CR: a LF that comes next belongs to it.
        self._after_cr = False
        self._data: list[bytes] = []
        self._size = 0
        self._name = b""
        #: What lines said that are no part of an event stream, for whoever has to explain it.
        self.stray = b""

    @property
    def left(self) -> bytes:
        """What no line has ended: it is dropped, but may explain something."""
        return self._rest

    @property
    def pending(self) -> bytes:
        """The data of the event that has not ended, its last line included."""
        field, _, value = self._rest.removeprefix(_BOM).partition(b":")
        last = [value.removeprefix(b" ")] if field == b"data" else []
        return b"\n".join([*self._data, *last])

    def feed(self, data: bytes) -> Iterable[tuple[bytes, bytes]]:
        """Name and data of each event that is complete; events without data are left out."""
        if data[:6] == b"data: " and data[-2:] == b"\n\n" and self._is_fresh:
            text = data[6:-2]
            if text and b"\n" not in text and b"\r" not in text and len(text) <= MAX_EVENT:
                self._first = False
                return ((b"", text),)  # one event and no more, as each token is
        return self._feed(data)

    @property
    def _is_fresh(self) -> bool:
        """Whether nothing is left of what came before."""
        return not (self._rest or self._data or self._name or self._after_cr)

    def _feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        for line in self._lines(data):
            if line:
                self._take(line)
            elif self._data:
                name, text = self._name, b"\n".join(self._data)
                self._data, self._size, self._name = [], 0, b""
                if text:
                    yield name, text
            else:
                self._name = b""

    def _lines(self, data: bytes) -> list[bytes]:
        """The lines that are complete, without their ends."""
        if self._after_cr and data:
            self._after_cr = False
            if data[:1] == b"\n":
                data = data[1:]
        if self._rest:
            data = self._rest + data
        if b"\r" in data:
            self._after_cr = data[-1:] == b"\r"
            lines = data.splitlines()  # of bytes: CR, LF and CR LF alone
            self._rest = b"" if data[-1:] in b"\r\n" else lines.pop()
        else:
            lines = data.split(b"\n")
            self._rest = lines.pop()
        if len(self._rest) > MAX_EVENT:
            raise EventTooLarge
        if self._first and lines:
            self._first = False
            lines[0] = lines[0].removeprefix(_BOM)
        return lines

    def _take(self, line: bytes) -> None:
        field, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if field == b"data":
            self._data.append(value)
            self._size += len(value)
            if self._size > MAX_EVENT:
                raise EventTooLarge
        elif field == b"event":
            self._name = value
        elif field == b"error":  # of servers that write their errors in place of `data`
            self._name, self._data = b"error", [value]
        elif field and field not in (b"id", b"retry") and len(self.stray) < 1000:
            self.stray += line + b"\n"
