"""An open stream as an SSE or NDJSON response: a Flask generator over its parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from flask import Response, g, request

from streaming.errors import Unavailable
from streaming.events import wire
from streaming.events.wire import Form
from streaming.watching.cursor import Cursor, Delivery
from streaming.watching.lifetime import Closing, retry_s
from streaming.watching.stream import Beat, Reader, Stream
from streaming.watching.streams import Refusal
from streaming.web.auth import payer, principal
from streaming.web.services import services

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

#: Headers that say that a body is not sent as it was given, in small letters.
CHANGES_BYTES = frozenset({"content-encoding", "transfer-encoding", "content-length"})


def open_stream(transport: str, cursor: Cursor) -> Stream | Refusal:
    """A stream of the present request, as far as limits and the owner's rate allow one."""
    found = services()
    if not found.rates.allows("requests", payer()):
        return found.streams.refuse("rate_exceeded")
    return found.streams.open(transport, cursor, reader())


def reader() -> Reader:
    """Who makes the present request, as a reader of streams."""
    asker = principal()
    request_id = str(g.get("request_id", ""))
    return Reader(asker.owner, request.environ, request_id, asker.expires_at)


def respond_sse(cursor: Cursor, *, snapshots: bool = False, composite: bool = False) -> Response:
    """An SSE response, or the refusal that an EventSource survives (oddity 4). A snapshot may come
    first."""
    encoder = SseEncoder(
        cursor, composite=composite, named=request.args.get("named") in ("1", "true")
    )
    stream = open_stream("feed" if composite else "sse", cursor)
    if isinstance(stream, Refusal):
        refusal = encoder.opening() + encoder.closing(Closing(stream.why, retry_s()))
        return _response([refusal], wire.SSE)
    with stream.set_up():
        if not composite:
            types = cursor.types(next(iter(cursor.positions)))
            stream.lend(Form("sse", named=encoder.named, types=types))
        # Before the snapshot moves the cursor: who never gets the snapshot has not got so far.
        opening = encoder.opening() + encoder.deliveries(_first(cursor, snapshots))
        return stream_response(stream, _encoded(stream, encoder, opening), wire.SSE)


def no_content() -> Response:
    """204: nothing more will come. It stops an EventSource from coming back."""
    response = Response(status=204)
    del response.headers["Content-Type"]
    response.headers["Cache-Control"] = "no-store"
    return response


def wants_sse() -> bool:
    """Whether the client names SSE, and wants it no less than JSON."""
    return _names(wire.SSE, rather_than="application/json")


def wants_ndjson() -> bool:
    """Whether the client names NDJSON, and wants it no less than SSE."""
    return _names(wire.NDJSON, rather_than=wire.SSE)


def _names(media_type: str, *, rather_than: str) -> bool:
    if request.headers.get("Accept") == media_type:  # as most have it who name it
        return True
    accepts = request.accept_mimetypes
    named = any(kind.lower() == media_type for kind, _ in accepts)
    return named and 0 < accepts[media_type] >= accepts[rather_than]


class SseEncoder:
    """What a stream gives, as SSE blocks. The `id:` is the reader's position after each event."""

    __slots__ = ("_at", "_cursor", "_positions", "named")

    def __init__(self, cursor: Cursor, *, composite: bool, named: bool) -> None:
        self.named = named
        self._cursor = cursor
        #: As far as the encoded deliveries go; the cursor is ahead of them within a page.
        self._positions = dict(cursor.positions) if composite else None
        self._at = 0 if composite else next(iter(cursor.positions.values()))

    def opening(self) -> bytes:
        return wire.sse_opening(retry_s(), self._position())

    def deliveries(self, deliveries: Iterable[Delivery]) -> bytes:
        """Those that are there at once, as one piece."""
        return b"".join(map(self._delivery, deliveries))

    def beat(self) -> bytes:
        """A heartbeat; its `id:` tells how far the reader is beyond what is filtered out."""
        for job, position in self._cursor.positions.items():
            self._move(job, position)
        return wire.sse_position(self._position()) + wire.SSE_HEARTBEAT

    def closing(self, closing: Closing) -> bytes:
        body = wire.control_json("stream.closing", None, closing.data)
        return wire.sse_frame(body, name="stream.closing" if self.named else None)

    def _delivery(self, delivery: Delivery) -> bytes:
        position = None
        # Of the control events only a snapshot moves the reader.
        if delivery.event is not None or delivery.kind == "stream.snapshot":
            self._move(delivery.job, delivery.position)
            position = self._position()
        name = delivery.type if self.named else None
        return wire.sse_frame(delivery.json, position=position, name=name)

    def _move(self, job: str, position: int) -> None:
        if self._positions is not None:
            self._positions[job] = position
        else:
            self._at = position

    def _position(self) -> str:
        if self._positions is not None:
            return wire.format_positions(self._positions)
        return str(self._at)


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
    stream = open_stream("ndjson", cursor)
    if isinstance(stream, Refusal):
        raise Unavailable(
            "there is no room for another stream; poll instead, or try again",
            code="draining" if stream.why == "drain" else stream.why,
        )
    encoder = NdjsonEncoder()
    with stream.set_up():
        opening = encoder.deliveries(_first(cursor, snapshots))
        return stream_response(stream, _encoded(stream, encoder, opening), wire.NDJSON)


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
            data = encoder.deliveries(part)
            stream.count(len(data), len(part))
            yield data


class StreamBody:
    """The body of a response that lasts: as little as possible is held while it waits.

    The stream ends with it, however the body is wrapped: whoever iterates holds it, and not only
    its parts.
    """

    __slots__ = ("_parts", "_stream")

    def __init__(self, stream: Stream, parts: Iterator[bytes]) -> None:
        self._stream = stream
        self._parts = parts

    def sent_as_it_is(self) -> None:
        """The server sends these very bytes: the writer may take the socket over."""
        self._stream.sent_as_it_is()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._parts)
        except BaseException:  # its end, or a fault: either way the stream is over
            self._stream.close()
            raise

    def close(self) -> None:
        """Called by the server, also when the parts have never begun."""
        self._stream.close()

    __del__ = close


def stream_response(stream: Stream, parts: Iterator[bytes], media_type: str) -> Response:
    """A response that lasts as long as the stream, and closes it."""
    response = _response(StreamBody(stream, parts), media_type)
    # The server gets the body itself: werkzeug's wrappers would cost each reader a kilobyte.
    response.direct_passthrough = True
    # It keeps the request alive, for debuggers.
    request.environ.pop("werkzeug.request", None)
    return response


def _response(parts: Iterable[bytes], media_type: str) -> Response:
    response = Response(parts, content_type=f"{media_type}; charset=utf-8")
    response.headers["Cache-Control"] = "no-store, no-transform"
    response.headers["X-Accel-Buffering"] = "no"
    return response


def sent_as_it_is(app: WSGIApplication) -> WSGIApplication:
    """The app a server calls, finding out which streams it sends byte for byte.

    What hooks and middleware have wrapped is no `StreamBody` any more, or says by its headers that
    its bytes were changed: then the stream goes the way of every response.
    """

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        encoded = False

        def start(
            status: str, headers: list[tuple[str, str]], *more: OptExcInfo | None
        ) -> Callable[[bytes], object]:
            nonlocal encoded
            encoded = any(name.lower() in CHANGES_BYTES for name, _ in headers)
            return start_response(status, headers, *more)

        body = app(environ, start)
        if isinstance(body, StreamBody) and not encoded:
            body.sent_as_it_is()
        return body

    serve.__wrapped__ = app  # type: ignore[attr-defined]
    return serve
