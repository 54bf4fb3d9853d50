"""An open stream as an SSE or NDJSON response: a Flask generator over its parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from flask import Response, request

from streaming import wire
from streaming.cursor import Cursor, Delivery
from streaming.errors import Unavailable
from streaming.web.services import services
from streaming.web.streams import Beat, Closing, Stream, retry_s


def respond_sse(cursor: Cursor, *, snapshots: bool = False, composite: bool = False) -> Response:
    """An SSE response, or the refusal that an EventSource survives. A snapshot may come first."""
    encoder = SseEncoder(
        cursor, composite=composite, named=request.args.get("named") in ("1", "true")
    )
    stream = services().streams.open("feed" if composite else "sse", cursor)
    if stream is None:
        reason = "drain" if services().streams.draining else "overloaded"
        refusal = encoder.opening() + encoder.closing(Closing(reason, retry_s()))
        return _response([refusal], wire.SSE)
    # Before the snapshot moves the cursor: who never gets the snapshot has not got so far.
    opening = encoder.opening() + encoder.deliveries(_first(cursor, snapshots))
    return _stream_response(stream, _encoded(stream, encoder, opening), wire.SSE)


def no_content() -> Response:
    """204: nothing more will come. It stops an EventSource from coming back."""
    response = Response(status=204)
    del response.headers["Content-Type"]
    response.headers["Cache-Control"] = "no-store"
    return response


def wants_sse() -> bool:
    """Whether the client names SSE among what it accepts."""
    return any(kind == wire.SSE for kind, _ in request.accept_mimetypes)


def wants_ndjson() -> bool:
    """Whether the client names NDJSON and prefers it to SSE."""
    accepts = request.accept_mimetypes
    named = any(kind == wire.NDJSON for kind, _ in accepts)
    return named and accepts[wire.NDJSON] >= accepts[wire.SSE]


class SseEncoder:
    """What a stream gives, as SSE blocks. The `id:` is the reader's position after each event."""

    def __init__(self, cursor: Cursor, *, composite: bool, named: bool) -> None:
        self._named = named
        self._composite = composite
        #: As far as the encoded deliveries go; the cursor is ahead of them within a page.
        self._positions = dict(cursor.positions)
        self._cursor = cursor

    def opening(self) -> bytes:
        return wire.sse_opening(retry_s(), self._position())

    def deliveries(self, deliveries: Iterable[Delivery]) -> bytes:
        """Those that are there at once, as one piece."""
        return b"".join(map(self._delivery, deliveries))

    def beat(self) -> bytes:
        """A heartbeat; its `id:` tells how far the reader is beyond what is filtered out."""
        self._positions.update(self._cursor.positions)
        return wire.sse_position(self._position()) + wire.SSE_HEARTBEAT

    def closing(self, closing: Closing) -> bytes:
        body = wire.control_json("stream.closing", None, closing.data)
        return wire.sse_frame(body, name="stream.closing" if self._named else None)

    def _delivery(self, delivery: Delivery) -> bytes:
        position = None
        # Of the control events only a snapshot moves the reader.
        if delivery.event is not None or delivery.kind == "stream.snapshot":
            self._positions[delivery.job] = delivery.position
            position = self._position()
        name = delivery.type if self._named else None
        return wire.sse_frame(delivery.json, position=position, name=name)

    def _position(self) -> str:
        if self._composite:
            return wire.format_positions(self._positions)
        return str(next(iter(self._positions.values())))


class NdjsonEncoder:
    """What a stream gives, one envelope a line; a heartbeat is an empty line."""

    def deliveries(self, deliveries: Iterable[Delivery]) -> bytes:
        return b"".join(delivery.json + b"\n" for delivery in deliveries)

    def beat(self) -> bytes:
        return b"\n"

    def closing(self, closing: Closing) -> bytes:
        return wire.control_json("stream.closing", None, closing.data) + b"\n"


def _first(cursor: Cursor, snapshots: bool) -> list[Delivery]:
    return [cursor.snapshot(job) for job in cursor.positions] if snapshots else []


def respond_ndjson(cursor: Cursor, *, snapshots: bool) -> Response:
    stream = services().streams.open("ndjson", cursor)
    if stream is None:
        raise Unavailable(
            "there is no room for another stream; poll instead, or try again",
            code="draining" if services().streams.draining else "too_many_streams",
        )
    encoder = NdjsonEncoder()
    opening = encoder.deliveries(_first(cursor, snapshots))
    return _stream_response(stream, _encoded(stream, encoder, opening), wire.NDJSON)


def _encoded(
    stream: Stream, encoder: SseEncoder | NdjsonEncoder, opening: bytes
) -> Iterator[bytes]:
    """The stream's bytes. Events that are there at once go out in one piece."""
    if opening:
        yield opening
    for part in stream.parts():
        if isinstance(part, Beat):
            yield encoder.beat()
        elif isinstance(part, Closing):
            yield encoder.closing(part)
        else:
            yield encoder.deliveries(part)


def _stream_response(stream: Stream, parts: Iterator[bytes], media_type: str) -> Response:
    response = _response(parts, media_type)
    # Not in the generator: one that never started would keep its slot.
    response.call_on_close(stream.close)
    return response


def _response(parts: Iterable[bytes], media_type: str) -> Response:
    response = Response(parts, content_type=media_type)
    response.headers["Cache-Control"] = "no-store, no-transform"
    response.headers["X-Accel-Buffering"] = "no"
    return response
