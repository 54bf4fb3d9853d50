"""Long polling: a page of events, held until there is one."""

from __future__ import annotations

import time
from functools import partial

from flask import Response, request
from pydantic import BaseModel, Field

from streaming.watching.cursor import Cursor, Delivery
from streaming.watching.pace import thinned
from streaming.watching.stream import Stream
from streaming.watching.streams import Refusal
from streaming.web.auth import find_job
from streaming.web.blueprints import owned_blueprint
from streaming.web.operations import operation, parse_query
from streaming.web.positions import start_position, wanted_types
from streaming.web.responses import reader
from streaming.web.schemas import EventPage, PositionQuery
from streaming.web.services import Services, services
from streaming.web.waiting import Answer, waiting

#: Seconds that a poll is held when it does not say, and at most: below what proxies allow.
WAIT_S, MAX_WAIT_S = 25.0, 30.0
#: Events in a page when the poll does not say, and the most that it may ask for: more is 422.
LIMIT, MAX_LIMIT = 500, 5000
#: What is said of every page.
HEADERS = {"Content-Type": "application/json", "Cache-Control": "no-store"}


class PollQuery(BaseModel):
    """How long to wait for how much."""

    wait: float = Field(default=WAIT_S, ge=0, description="seconds to wait, 30 at most")
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
    wait_s, limit = min(MAX_WAIT_S, query.wait), min(MAX_LIMIT, query.limit)
    if request.method == "HEAD":  # there is no body to wait for
        wait_s = 0
    found = services()
    cursor = found.cursor({row.id: after}, wanted_types())
    etag = f"{row.seq}-{row.base}-{after}"
    if wait_s == 0 and request.if_none_match.contains_weak(etag):
        return Response(status=304, headers={"ETag": f'"{etag}"'})

    if from_snapshot:
        given = [cursor.snapshot(row.id), *cursor.read(0, limit=limit)]
    else:
        before = dict(cursor.positions)
        given = thinned(cursor.read(0, limit=limit), before, found.pressure.level)
    if given or wait_s <= 0 or cursor.ended:
        if wait_s > 0 and row.options.get("on_disconnect") == "cancel":  # where it counts
            _count_viewer(found, row.id, after)
        response = _page(found, cursor, row.id, given)
        if wait_s == 0:
            response.set_etag(etag)
        return response
    stream = found.streams.open("poll", cursor, reader())
    if isinstance(stream, Refusal):  # no slot: the poll is not held
        return _page(found, cursor, row.id, [])
    return waiting(stream, partial(_wait, found, stream, row.id, wait_s, limit))


def _count_viewer(found: Services, job: str, after: int) -> None:
    """Whose polls are answered at once is a viewer as well, who has left for now."""
    viewers = found.storage.viewers
    viewers.leave(job, viewers.enter(job, "poll", lambda: after))


def _wait(found: Services, stream: Stream, job: str, wait_s: float, limit: int) -> Answer:
    """The page of what comes, when something passes or the time is over."""
    before = dict(stream.cursor.positions)
    given = _read(stream, time.monotonic() + wait_s, limit)
    given = thinned(given, before, found.pressure.level)
    return Answer(_body(found, stream.cursor, job, given), HEADERS)


def _read(stream: Stream, until: float, limit: int) -> list[Delivery]:
    stream.watch()
    stream.take_state_as_known()
    while not (stream.cursor.ended or stream.lifetime.closing() or stream.hung_up()):
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


def _page(found: Services, cursor: Cursor, job: str, given: list[Delivery]) -> Response:
    return Response(_body(found, cursor, job, given), headers=HEADERS)


def _body(found: Services, cursor: Cursor, job: str, given: list[Delivery]) -> bytes:
    """The page; `next` is where to go on from, also beyond what was filtered out."""
    entries = b",".join([delivery.json for delivery in given])
    status = found.registry.find(job, None).status
    closed = "true" if cursor.ended else "false"
    tail = f'"next":{cursor.positions[job]},"status":"{status}","closed":{closed}}}'
    return b'{"events":[%b],%b' % (entries, tail.encode())
