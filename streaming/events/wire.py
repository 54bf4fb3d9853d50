"""Events as bytes: SSE frames, JSON, NDJSON, and positions as text. No I/O, no state."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from streaming.errors import BadRequest
from streaming.events.envelope import with_from
from streaming.events.event import Event, dumps
from streaming.events.vocabulary import JsonMapping, JsonObject

SSE = "text/event-stream"
NDJSON = "application/x-ndjson"

#: A comment: keeps proxies and clients from giving up on a quiet stream.
SSE_HEARTBEAT = b": heartbeat\n\n"
NDJSON_HEARTBEAT = b"\n"

#: The largest position: what storages can count to. int() of very long digits is slow.
MAX_POSITION = 2**63 - 1
_NUMBER = re.compile(rf"[0-9]{{1,{len(str(MAX_POSITION))}}}")


def event_json(event: Event, *, since: int | None = None) -> bytes:
    """The envelope; `since` is its `from`, when events before it were left out for this reader."""
    if since is None:
        return event.json
    return with_from(event.json, since)


def control_json(kind: str, job: str | None, data: JsonMapping) -> bytes:
    """The envelope of a control event: no seq, never stored."""
    head: JsonObject = {"type": kind}
    if job is not None:
        head["job"] = job
    return dumps({**head, "data": data})


def sse_frame(body: bytes, *, position: str | None = None, name: str | None = None) -> bytes:
    """One SSE event (WHATWG HTML, 9.2.6). `body` is JSON, so it is one line."""
    lines = []
    if position is not None:
        lines.append(b"id: " + position.encode())
    if name is not None:
        lines.append(b"event: " + name.encode())
    lines.append(b"data: " + body)
    return b"\n".join(lines) + b"\n\n"


@dataclass(frozen=True, slots=True)
class Form:
    """How events look on a socket, the framing of HTTP or WebSocket included.

    Readers of one job in one form get the same bytes.
    """

    #: `sse` or `websocket`.
    transport: str
    #: SSE: with `event:` lines.
    named: bool = False
    #: Only these types, terminal events, and no others; empty: all.
    types: frozenset[str] = frozenset()

    def passing(self, events: Iterable[Event]) -> list[Event]:
        """The events that these readers want."""
        return [e for e in events if not self.types or e.type in self.types or e.terminal]

    def encode(self, events: Iterable[Event]) -> bytes:
        """The bytes of those events that pass, perhaps none."""
        if self.types:
            events = self.passing(events)
        if self.transport == "websocket":
            return b"".join([ws_text(event.json) for event in events])
        if self.named:
            body = b"".join(
                [
                    b"id: %d\nevent: %b\ndata: %b\n\n" % (e.seq, e.type.encode(), e.json)
                    for e in events
                ]
            )
        else:
            body = b"".join([b"id: %d\ndata: %b\n\n" % (e.seq, e.json) for e in events])
        return http_chunk(body)


def http_chunk(body: bytes) -> bytes:
    """A chunk of a chunked body (RFC 9112, 7.1); nothing for no bytes, which would end the body."""
    return b"%x\r\n%b\r\n" % (len(body), body) if body else b""


def ws_text(body: bytes) -> bytes:
    """A server's text frame (RFC 6455, 5.2): whole, not masked."""
    size = len(body)
    if size < 126:
        return b"\x81%c%b" % (size, body)
    if size < 1 << 16:
        return b"\x81\x7e%b%b" % (size.to_bytes(2), body)
    return b"\x81\x7f%b%b" % (size.to_bytes(8), body)


def sse_position(position: str) -> bytes:
    """An `id:` without data: it moves the client's last event id and dispatches nothing."""
    return b"id: %b\n\n" % position.encode()


def sse_opening(retry_s: float, position: str) -> bytes:
    """The first block of a stream: how long to wait before a reconnect, and where it starts."""
    return b"retry: %d\nid: %b\n\n" % (round(retry_s * 1000), position.encode())


def parse_position(text: str, *, name: str) -> int:
    """A position as a seq. `BadRequest` names `name` for what is no whole number, 0 or more."""
    if not _NUMBER.fullmatch(text) or int(text) > MAX_POSITION:
        raise BadRequest(
            f"{name} is {text[:40]!r}; it is the seq of the last event seen, 0 or more",
            code="bad_position",
            errors=[{"field": name, "message": "a whole number, 0 or more"}],
        )
    return int(text)


def parse_positions(text: str, *, name: str) -> dict[str, int]:
    """A feed's composite position, `job_a:12,job_b:7`, as the position of each job; "" has none."""
    positions = {}
    for part in text.split(",") if text else ():
        job, colon, seq = part.partition(":")
        if not colon:
            raise BadRequest(
                f"{name} has {part[:60]!r}; each part is JOB:SEQ",
                code="bad_position",
                errors=[{"field": name, "message": "JOB:SEQ,JOB:SEQ,…"}],
            )
        positions[job] = parse_position(seq, name=name)
    return positions


def format_positions(positions: Mapping[str, int]) -> str:
    """A feed's composite position."""
    return ",".join(f"{job}:{seq}" for job, seq in positions.items())
