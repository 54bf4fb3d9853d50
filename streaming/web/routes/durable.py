"""Durable Streams: a job's log to read, in pages, by long polling, or over SSE."""

from __future__ import annotations

import time
from collections.abc import Iterator

from flask import Response, request

from streaming.errors import Expired, Unavailable
from streaming.events import wire
from streaming.protocols.durable import (
    items,
    next_cursor,
    offset_of,
    position_of,
    sse_control,
    sse_data,
)
from streaming.protocols.question import refuse
from streaming.storage.rows import JobRow
from streaming.watching.cursor import Cursor, Delivery
from streaming.watching.stream import AWAY_S, Stream
from streaming.watching.streams import Refusal
from streaming.web.auth import find_job
from streaming.web.blueprints import owned_blueprint
from streaming.web.operations import operation
from streaming.web.responses import open_stream, stream_response
from streaming.web.services import services

#: Seconds that a poll is held: below what proxies allow.
WAIT_S = 25.0

durable = owned_blueprint("durable")


@durable.get("/jobs/<job>/stream")
@operation(
    "Read a job's log (Durable Streams)",
    tag="protocols",
    takes_ticket=True,
    more={
        204: "Nothing new",
        304: "It is as If-None-Match has it",
        410: "Retention has removed what is there",
        422: "Not valid",
    },
)
def read(job: str) -> Response:
    """Behind `offset`: what is there; with `live=long-poll` or `live=sse` what comes, too."""
    row = find_job(job)
    live, given = request.args.get("live"), request.args.get("offset")
    if request.method == "HEAD":
        response = Response(content_type="application/json")
        return _headed(response, row.seq, caught_up=False, closed=row.closed)
    if live not in (None, "long-poll", "sse"):
        raise refuse("live", "long-poll or sse")
    if live is not None and given is None:
        raise refuse("offset", f"live={live} needs one")
    after = position_of(given, row.seq)
    cursor = services().cursor({row.id: after})
    if live == "sse":
        return _follow(row, cursor)
    found = _events(cursor.read(0))
    if not found and live == "long-poll" and not cursor.ended:
        found = _wait(cursor)
    return _page(row, cursor, after, found, held=live is not None)


def _page(
    row: JobRow, cursor: Cursor, after: int, found: list[Delivery], *, held: bool
) -> Response:
    position = cursor.positions[row.id]
    if held and not found:
        response = Response(status=204)
        del response.headers["Content-Type"]
    else:
        body = items(delivery.json for delivery in found)
        response = Response(body, content_type="application/json")
        response.set_etag(f"{row.id}:{offset_of(after)}:{offset_of(position)}")
    if held:
        response.headers["Stream-Cursor"] = next_cursor(time.time(), request.args.get("cursor"))
    else:
        response.make_conditional(request.environ)
    return _headed(response, position, caught_up=cursor.caught_up, closed=cursor.ended)


def _headed(response: Response, position: int, *, caught_up: bool, closed: bool) -> Response:
    response.headers["Stream-Next-Offset"] = offset_of(position)
    if caught_up:
        response.headers["Stream-Up-To-Date"] = "true"
    if closed:
        response.headers["Stream-Closed"] = "true"
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _wait(cursor: Cursor) -> list[Delivery]:
    """Hold the poll until something comes, as a viewer with a slot."""
    stream = _opened("durable", cursor)
    with stream.set_up():
        stream.watch()
        until = time.monotonic() + WAIT_S
        found: list[Delivery] = []
        while not (found or cursor.ended or stream.lifetime.closing() or stream.hung_up()):
            left = until - time.monotonic()
            if left <= 0:
                break
            found = _events(cursor.read(stream.patience(left), stream.waker))
        stream.close()
        return found


def _follow(row: JobRow, cursor: Cursor) -> Response:
    stream = _opened("durable", cursor)
    with stream.set_up():
        heartbeat_s = services().streams.server.heartbeat_s
        parts = _batches(stream, row, cursor, heartbeat_s)
        return stream_response(stream, parts, wire.SSE)


def _batches(stream: Stream, row: JobRow, cursor: Cursor, heartbeat_s: float) -> Iterator[bytes]:
    """Batches, each with where it ends; behind the last one the stream is over."""

    def control() -> bytes:
        position, step = cursor.positions[row.id], next_cursor(time.time(), None)
        return sse_control(position, step, caught_up=cursor.caught_up, closed=cursor.ended)

    try:
        first = _events(cursor.read(0))
        data = sse_data(each.json for each in first) if first else b""
        yield data + control()
        stream.watch()
        while not (cursor.ended or stream.hung_up() or stream.lifetime.closing()):
            found = _next(stream, cursor, heartbeat_s)
            if found:
                data = sse_data(each.json for each in found) + control()
                stream.count(len(data), len(found))
                yield data
            elif not cursor.ended:
                yield b": beat\n\n"
    except Expired:  # the reader comes back, and is told so with a status
        return
    finally:  # a wrapped body is not closed
        stream.close()


def _next(stream: Stream, cursor: Cursor, quiet_s: float) -> list[Delivery]:
    """What comes within that time, never merged: whoever reads again gets the same items."""
    until = time.monotonic() + quiet_s
    while (left := until - time.monotonic()) > 0:
        try:
            found = _events(cursor.read(stream.patience(left), stream.waker))
        except Unavailable:  # storage is away: the reader stays, and reads on later
            stream.waker.wait(stream.patience(min(left, AWAY_S)))
            found = []
        if found or cursor.ended or stream.hung_up() or stream.lifetime.closing():
            return found
    return []


def _opened(transport: str, cursor: Cursor) -> Stream:
    stream = open_stream(transport, cursor)
    if isinstance(stream, Refusal):
        raise Unavailable("there is no room for another stream; try again", code=stream.why)
    return stream


def _events(found: list[Delivery]) -> list[Delivery]:
    """The events; `Expired` where some are missing. What merely tells of the load is left out."""
    if any(each.kind in ("stream.gap", "stream.snapshot") for each in found):
        raise Expired("retention has removed the events behind this offset")
    return [each for each in found if each.event is not None]
