"""Server-Sent Events and NDJSON, of one job or of many."""

from __future__ import annotations

from flask import Response, request

from streaming.errors import BadRequest
from streaming.web.auth import find_job
from streaming.web.blueprints import owned_blueprint
from streaming.web.operations import operation
from streaming.web.positions import start_position, start_positions, wanted_types
from streaming.web.responses import no_content, respond_ndjson, respond_sse, wants_ndjson
from streaming.web.schemas import FeedQuery, SseQuery
from streaming.web.services import services

#: Maximum jobs that one feed follows.
FEED_JOBS = 100

sse = owned_blueprint("sse")


@sse.get("/jobs/<job>/events")
@operation(
    "Watch a job",
    tag="watch",
    takes_ticket=True,
    media_type="text/event-stream",
    query=(SseQuery,),
    more={204: "It has ended and you have everything", 422: "Not valid", 503: "No room (NDJSON)"},
)
def events(job: str) -> Response:
    """Watch one job over SSE, or over NDJSON where the client accepts that."""
    row = find_job(job)
    after, from_snapshot = start_position(row)
    cursor = services().cursor({row.id: after}, wanted_types())
    if row.closed and after == row.seq and not from_snapshot:
        return no_content()
    if wants_ndjson():
        return respond_ndjson(cursor, snapshots=from_snapshot)
    return respond_sse(cursor, snapshots=from_snapshot)


@sse.get("/events")
@operation(
    "Watch many jobs",
    tag="watch",
    takes_ticket=True,
    media_type="text/event-stream",
    query=(FeedQuery,),
    more={
        204: "All have ended",
        404: "One of them is unknown",
        410: "One is removed",
        422: "Not valid",
    },
)
def feed() -> Response:
    """Watch up to 100 jobs over one SSE connection."""
    jobs = list(dict.fromkeys(request.args.getlist("job")))
    if not 1 <= len(jobs) <= FEED_JOBS:
        raise BadRequest(
            f"name 1 to {FEED_JOBS} jobs: ?job=A&job=B",
            errors=[{"field": "job", "message": f"1 to {FEED_JOBS} of them"}],
        )
    rows = [find_job(job) for job in jobs]
    positions, from_snapshot = start_positions(rows)
    cursor = services().cursor(positions, wanted_types())
    if not from_snapshot and all(row.closed and positions[row.id] == row.seq for row in rows):
        return no_content()
    return respond_sse(cursor, composite=True, snapshots=from_snapshot)
