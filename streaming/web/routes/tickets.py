"""Tickets: what lets a page's EventSource and WebSocket in, which can set no headers."""

from __future__ import annotations

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from streaming.events.event import rfc3339
from streaming.web.auth import find_job, principal
from streaming.web.blueprints import owned_blueprint
from streaming.web.bodies import json_body
from streaming.web.commands import validate
from streaming.web.json_response import as_json
from streaming.web.operations import operation
from streaming.web.services import services

#: Maximum jobs that one ticket is for: as many as a feed has.
MAX_JOBS = 100
#: Seconds that a ticket lasts when the request does not say, and at most.
TTL_S, MAX_TTL_S = 300.0, 3600.0

tickets = owned_blueprint("tickets")


class TicketBody(BaseModel):
    """What a ticket is to be for."""

    model_config = ConfigDict(extra="forbid", strict=True)

    jobs: list[str] = Field(
        description="ids of jobs that you may read", min_length=1, max_length=MAX_JOBS
    )
    ttl_s: float = Field(default=TTL_S, ge=1, le=MAX_TTL_S, description="seconds that it lasts")


class Ticket(BaseModel):
    """A right to read these jobs, for whoever has it."""

    ticket: str = Field(description="for `?ticket=`; safe in a URL as it is")
    expires_at: str
    jobs: list[str]


@tickets.post("/tickets")
@operation(
    "Get a ticket",
    tag="watch",
    status=201,
    answers=Ticket,
    body=TicketBody,
    more={
        404: "One of the jobs is unknown",
        410: "One was removed by retention",
        413: "The body is too large",
        415: "Not JSON",
        422: "Not valid",
    },
)
def issue() -> Response:
    """For EventSource and WebSocket in a browser: a short-lived right to read the named jobs.

    It is good for the snapshot, the artifacts and every way to watch. A stream ends with
    `stream.closing` when its ticket is over; a new one goes on from the position.
    """
    body = validate(TicketBody, json_body(limit=services().settings.max_body_bytes))
    jobs = [find_job(job).id for job in dict.fromkeys(body.jobs)]
    text, expires_at = services().tickets.issue(principal(), jobs, body.ttl_s)
    return as_json({"ticket": text, "expires_at": rfc3339(expires_at), "jobs": jobs}, 201)
