"""`GET /v1/streams`: who is furthest behind."""

from __future__ import annotations

from flask import Response
from pydantic import BaseModel, Field

from streaming.jobs.supervisor import UNFINISHED
from streaming.web.auth import principal
from streaming.web.blueprints import owned_blueprint
from streaming.web.json_response import as_json
from streaming.web.operations import operation, parse_query
from streaming.web.services import services

#: Jobs, the newest ones, whose streams are looked at.
JOBS = 500

streams = owned_blueprint("streams")


class StreamsQuery(BaseModel):
    """How many."""

    limit: int = Field(default=20, ge=1, le=500, description="streams, the slowest first")


class OpenStream(BaseModel):
    """One stream of a job."""

    job: str
    task: str
    transport: str
    since: str
    position: int = Field(description="seq of the last event that it was given")
    lag: int = Field(description="events that it has still to get")


class StreamList(BaseModel):
    """The slowest, and how many there are in all."""

    count: int
    streams: list[OpenStream]


@streams.get("/streams")
@operation(
    "List the slowest streams",
    tag="watch",
    answers=StreamList,
    query=(StreamsQuery,),
    more={422: "Not valid"},
)
def slowest() -> Response:
    """Open streams of your jobs that go on, over all processes; with admin, of everybody's."""
    query = parse_query(StreamsQuery)
    rows = services().registry.list(principal().sees, statuses=UNFINISHED, limit=JOBS)
    found = [
        {
            "job": row.id,
            "task": row.task,
            "transport": viewer.transport,
            "since": viewer.since,
            "position": viewer.position,
            "lag": max(0, row.seq - viewer.position),
        }
        for row in rows
        for viewer in services().storage.viewers.of(row.id)
    ]
    found.sort(key=lambda each: int(each["lag"]), reverse=True)  # type: ignore[call-overload]
    return as_json({"count": len(found), "streams": found[: query.limit]})
