"""Long polling: a page of events, held until there is one."""

from __future__ import annotations

import time

from flask import Response, request
from pydantic import BaseModel, Field

from streaming.events.event import dumps
from streaming.watching.cursor import Cursor, Delivery
from streaming.watching.pace import thinned
from streaming.watching.stream import Refusal, Stream
from streaming.web.auth import find_job, principal
from streaming.web.blueprints import owned_blueprint
from streaming.web.operations import operation, parse_query
from streaming.web.positions import start_position, wanted_types
from streaming.web.schemas import EventPage, PositionQuery
from streaming.web.services import services

#: Seconds that a poll is held when it does not say, and at the most: below what proxies allow.
WAIT_S, MAX_WAIT_S = 25.0, 30.0
#: Events in a page when the poll does not say, and the most that it may ask for: more is 422.
LIMIT, MAX_LIMIT = 500, 5000


class PollQuery(BaseModel):
    """How long to wait for how much."""

    wait: float = Field(default=WAIT_S, ge=0, description="seconds to wait, 30 at the most")
    limit: int = Field(default=LIMIT, ge=1, le=MAX_LIMIT, description="events in a page")


longpoll = owned_blueprint("longpoll")


@longpoll.get("/jobs/<job>/poll")
@operation(
    "Long-poll a job's events",
    tag="watch",
    takes_ticket=True,
    query=(PositionQuery, PollQuery),
    answers=EventPage,
    more={304: "Not changed", 422: "Not valid"},
)
def poll(job: str) -> Response:
    """The events behind `after`; waits up to `wait` seconds for the first."""
    row = find_job(job)
    after, from_snapshot = start_position(row)
    query = parse_query(PollQuery)
    wait_s, limit = min(MAX_WAIT_S, query.wait), query.limit
    cursor = services().cursor({row.id: after}, wanted_types())
    etag = f"{row.seq}-{row.base}-{after}"
    if wait_s == 0 and request.if_none_match.contains_weak(etag):
        return Response(status=304, headers={"ETag": f'"{etag}"'})

    if from_snapshot:
        found = [cursor.snapshot(row.id), *cursor.read(0, limit=limit)]
    else:
        before = dict(cursor.positions)
        found = cursor.read(0, limit=limit) or _wait(cursor, wait_s, limit)
        found = thinned(found, before, services().pressure.level)
    response = Response(_page(cursor, row.id, found), content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    if wait_s == 0:
        response.set_etag(etag)
    return response


def _wait(cursor: Cursor, wait_s: float, limit: int) -> list[Delivery]:
    """Hold the poll until something passes, as a viewer with a slot; without one, not at all."""
    if wait_s <= 0 or cursor.ended:
        return []
    stream = services().streams.open("poll", cursor, principal())
    if isinstance(stream, Refusal):
        return []
    try:
        return _read(stream, time.monotonic() + wait_s, limit)
    finally:
        stream.close()


def _read(stream: Stream, until: float, limit: int) -> list[Delivery]:
    stream.watch()
    stream.take_state_as_known()
    while not (stream.cursor.ended or stream.closing() or stream.hung_up()):
        left = until - time.monotonic()
        told = stream.degraded_news()
        if told is not None:
            return [told]
        if left <= 0:
            break
        found = stream.cursor.read(stream.patience(left), stream.waker, limit)
        if found:
            return found
    return []


def _page(cursor: Cursor, job: str, found: list[Delivery]) -> bytes:
    """The page; `next` is where to go on from, also beyond what was filtered out."""
    entries = b",".join(delivery.json for delivery in found)
    row = find_job(job)
    tail = {"next": cursor.positions[job], "status": row.status, "closed": cursor.ended}
    return b'{"events":[%b],%b' % (entries, dumps(tail)[1:])
