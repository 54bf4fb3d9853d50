"""Durable Streams, the read side: positions of a log as offsets, events as items of JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from streaming.events.event import dumps
from streaming.protocols.question import refuse

#: Digits of an offset: they sort as strings.
WIDTH: Final = 16
START, NOW = "-1", "now"
#: Seconds of a step of cursors, which keep caches between from answering the same poll for ever.
CURSOR_S = 20


def offset_of(position: int) -> str:
    """The offset of whoever has seen the log up to that event."""
    return f"{position:0{WIDTH}d}"


def position_of(offset: str | None, last: int) -> int:
    """The position of an offset, in a log that ends with event `last`; `BadRequest` for none."""
    if offset is None or offset == START:
        return 0
    if offset == NOW:
        return last
    if len(offset) != WIDTH or not (offset.isascii() and offset.isdecimal()):
        raise refuse("offset", "one that this stream has given, -1 or now", code="bad_position")
    if int(offset) > last:
        raise refuse("offset", f"ahead of the log, which ends at {last}", code="bad_position")
    return int(offset)


def next_cursor(now: float, given: str | None) -> str:
    """A cursor that is always later than the one that came with the request."""
    step = int(now // CURSOR_S)
    if given is not None and given.isascii() and given.isdecimal() and len(given) < WIDTH:
        step = max(step, int(given) + 1)
    return str(step)


def items(events: Iterable[bytes]) -> bytes:
    """Events as one array."""
    return b"[%b]" % b",".join(events)


def sse_data(events: Iterable[bytes]) -> bytes:
    """Events as one batch of a stream."""
    return b"event: data\ndata: %b\n\n" % items(events)


def sse_control(position: int, cursor: str, *, caught_up: bool, closed: bool) -> bytes:
    """Where a reader is behind a batch."""
    told: dict[str, object] = {"streamNextOffset": offset_of(position), "streamCursor": cursor}
    if caught_up:
        told["upToDate"] = True
    if closed:
        told["streamClosed"] = True
    return b"event: control\ndata: %b\n\n" % dumps(told)
