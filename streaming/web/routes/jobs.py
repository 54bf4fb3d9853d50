"""Tasks and jobs over HTTP."""

from __future__ import annotations

import time
from functools import partial

from flask import Response, request

from streaming.errors import Conflict, NotFound
from streaming.events.wire import parse_position
from streaming.storage.rows import JobRow
from streaming.watching.stream import Stream
from streaming.watching.streams import Refusal
from streaming.web.auth import find_job, principal
from streaming.web.blueprints import owned_blueprint
from streaming.web.bodies import json_body
from streaming.web.commands import (
    AnswerBody,
    CancelBody,
    SubmitBody,
    answer,
    cancel,
    preferred_wait_s,
    submit,
    validate,
)
from streaming.web.json_response import as_json
from streaming.web.operations import operation, parse_query
from streaming.web.positions import last_event_id
from streaming.web.responses import no_content, reader, respond_sse, wants_sse
from streaming.web.schemas import (
    JobList,
    ListQuery,
    Snapshot,
    SubmitHeaders,
    TaskList,
    ViewerList,
)
from streaming.web.services import Services, services
from streaming.web.waiting import Answer, waiting

#: Seconds that `Prefer: wait` holds an answer at most.
MAX_PREFER_S = 300.0

jobs = owned_blueprint("jobs")


@jobs.get("/tasks")
@operation("List the tasks", tag="jobs", answers=TaskList)
def list_tasks() -> Response:
    return as_json({"tasks": [task.describe() for task in services().tasks if not task.hidden]})


@jobs.post("/jobs")
@operation(
    "Start a job",
    tag="jobs",
    scope="submit",
    status=202,
    answers=Snapshot,
    headers=SubmitHeaders,
    body=SubmitBody,
    more={
        200: "The finished job (Prefer: wait), the job of an Idempotency-Key, or the stream itself",
        409: "The Idempotency-Key belongs to another request",
        413: "The body is too large",
        415: "The body is not JSON",
        422: "A field is not valid",
        429: "The queue is full",
        503: "Draining, or storage is away",
    },
)
def submit_job() -> Response:
    """Answers at once; the job goes on whatever the client does (see on_disconnect)."""
    raw = json_body(limit=services().settings.max_body_bytes)
    body = validate(SubmitBody, raw)
    key, (name, last_id) = request.headers.get("Idempotency-Key"), last_event_id()
    if last_id and key is None and wants_sse():
        raise Conflict(
            f"{name} with a POST that has no Idempotency-Key would start a second job; send the "
            "key, or go on with the job's events",
            code="resume_needs_key",
        )
    after = parse_position(last_id.strip(), name=name) if last_id else 0
    row, new = submit(body, raw, key=key)
    links = services().links(row.id)
    headers = {"Location": links["self"]}
    if not new:
        headers["Idempotency-Replayed"] = "true"
    if wants_sse():
        if row.closed and after == row.seq:
            response = no_content()
        else:
            response = respond_sse(services().cursor({row.id: after}))
        headers |= {"Content-Location": links["self"], "Location": links["events"]}
        response.headers.update(headers)
        return response
    wait_s = preferred_wait_s(MAX_PREFER_S)
    if wait_s:
        headers["Preference-Applied"] = f"wait={wait_s:g}"
        stream = services().streams.open("wait", services().cursor({row.id: row.seq}), reader())
        if not isinstance(stream, Refusal):
            made = partial(_end, services(), stream, row, wait_s, headers)
            return waiting(stream, made)
    return _state(services(), row, headers)


@jobs.get("/jobs")
@operation(
    "List jobs, the newest first",
    tag="jobs",
    answers=JobList,
    query=(ListQuery,),
    more={422: "A parameter is not valid"},
)
def list_jobs() -> Response:
    query = parse_query(ListQuery)
    rows = services().registry.list(
        principal().sees,
        statuses=(query.status,) if query.status else (),
        task=query.task,
        before=query.page_token,
        limit=query.limit + 1,
    )
    page = rows[: query.limit]
    token = page[-1].id if len(rows) > query.limit else None
    shown = [services().listed(row) for row in page]
    return as_json({"jobs": shown, "next_page_token": token})


@jobs.get("/jobs/<job>")
@operation(
    "Poll a job's snapshot",
    tag="jobs",
    takes_ticket=True,
    answers=Snapshot,
    more={304: "Not changed"},
)
def get_job(job: str) -> Response:
    """The polling endpoint; with If-None-Match it costs next to nothing while nothing changes."""
    row = find_job(job)
    etag = _etag(row)
    if request.if_none_match.contains_weak(etag):
        return Response(status=304, headers={"ETag": f'"{etag}"', "Cache-Control": "no-cache"})
    snapshot = services().snapshot(job)
    response = as_json(snapshot, headers={"Cache-Control": "no-cache"})
    response.set_etag(f"{snapshot['seq']}-{snapshot['queue_position'] or 0}")
    return response


@jobs.get("/jobs/<job>/viewers")
@operation("Who watches a job", tag="watch", answers=ViewerList)
def viewers(job: str) -> Response:
    row = find_job(job)
    found = services().storage.viewers.of(row.id)
    transports = [viewer.transport for viewer in found]
    return as_json(
        {
            "count": len(found),
            "by_transport": {name: transports.count(name) for name in sorted(set(transports))},
            "viewers": [
                {
                    "transport": viewer.transport,
                    "since": viewer.since,
                    "position": viewer.position,
                    "lag": max(0, row.seq - viewer.position),
                }
                for viewer in found
            ],
        }
    )


@jobs.post("/jobs/<job>/cancel")
@operation(
    "Cancel a job",
    tag="jobs",
    scope="cancel",
    status=202,
    answers=Snapshot,
    body=CancelBody,
    needs_body=False,
    more={200: "It has ended", 413: "The body is too large", 415: "Not JSON", 422: "Not valid"},
)
def cancel_job(job: str) -> Response:
    """Idempotent; the body may be missing."""
    row = find_job(job)
    body = json_body(limit=services().settings.max_body_bytes, optional=True)
    row = cancel(row, validate(CancelBody, body))
    return as_json(services().snapshot(job), 200 if row.closed else 202)


@jobs.post("/jobs/<job>/input")
@operation(
    "Give a job the input that it waits for",
    tag="jobs",
    scope="submit",
    answers=Snapshot,
    body=AnswerBody,
    more={
        409: "Nothing is asked, or it has another answer",
        413: "The body is too large",
        415: "Not JSON",
        422: "Not what was asked for",
    },
)
def give_input(job: str) -> Response:
    row = find_job(job)
    body = validate(AnswerBody, json_body(limit=services().settings.max_body_bytes))
    answer(row, body)
    return as_json(services().snapshot(job))


@jobs.delete("/jobs/<job>")
@operation(
    "Remove a job that has ended",
    tag="jobs",
    scope="cancel",
    status=204,
    more={409: "It goes on"},
)
def delete_job(job: str) -> Response:
    services().registry.delete(find_job(job))
    return no_content()


@jobs.get("/jobs/<job>/artifacts/<name>")
@operation("Get an artifact", tag="jobs", takes_ticket=True, media_type="*/*")
def get_artifact(job: str, name: str) -> Response:
    """The bytes; a browser may show them, but runs nothing in them."""
    row = find_job(job)
    shown = row.summary.artifacts.get(name)
    if shown is None:
        raise NotFound(f"job {job} has no artifact {name[:100]!r}", code="artifact_not_found")
    file = services().storage.blobs.open(f"{row.id}/{name}")
    response = Response(iter(lambda: file.read(1 << 16), b""), content_type=shown["media_type"])
    response.call_on_close(file.close)
    response.content_length = file.seek(0, 2)
    file.seek(0)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = (
        "sandbox; default-src 'none'; style-src 'unsafe-inline'"
    )
    return response


def _etag(row: JobRow) -> str:
    return f"{row.seq}-{services().runner.position(row.id) or 0}"


def _end(
    found: Services, stream: Stream, row: JobRow, wait_s: float, headers: dict[str, str]
) -> Answer:
    """Hold the answer until the job has ended, as one of its viewers, or the time is over."""
    until, cursor = time.monotonic() + wait_s, stream.cursor
    stream.watch()
    while not (cursor.ended or stream.lifetime.closing() or stream.hung_up()):
        left = until - time.monotonic()
        if left <= 0:
            break
        cursor.read(left, stream.waker)
    row = found.storage.index.get(row.id) or row
    return Answer.of(_state(found, row, headers))


def _state(found: Services, row: JobRow, headers: dict[str, str]) -> Response:
    return as_json(found.snapshot(row.id), 200 if row.closed else 202, headers)
