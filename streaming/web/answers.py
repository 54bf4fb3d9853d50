"""Questions of the protocols of others as jobs, and jobs as their answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from flask import Response, request

from streaming.errors import (
    BadRequest,
    InvalidInput,
    StreamingError,
    TaskError,
    Unavailable,
)
from streaming.events.event import Event
from streaming.events.vocabulary import Json, JsonObject
from streaming.events.wire import SSE
from streaming.jobs.registry import unknown_job
from streaming.jobs.request import Request, digest_of
from streaming.protocols.answer import last_restarts
from streaming.protocols.frames import About, Encoder
from streaming.protocols.question import Question, last_text, task_input
from streaming.protocols.refusals import failure_of
from streaming.storage import parts
from streaming.storage.rows import JobRow
from streaming.watching.lifetime import Closing
from streaming.watching.stream import AWAY_S, Stream
from streaming.watching.streams import Refusal
from streaming.web import answer_errors
from streaming.web.auth import find_job, owner
from streaming.web.commands import KEY_LENGTH, check_open
from streaming.web.models import find_model
from streaming.web.responses import no_content, open_stream, stream_response
from streaming.web.retries import USER
from streaming.web.services import services

#: Seconds without anybody who asks, after which an answer stops that nobody can come back to.
GRACE_S = 2.0
#: Seconds that the status line waits for the first piece.
HOLD_S = 2.0
#: Characters of a question that its job is called by.
TITLE = 80


@dataclass(frozen=True, slots=True)
class Held:
    """A reader's slot, with the job that it reads."""

    stream: Stream
    row: JobRow

    @property
    def about(self) -> About:
        """What encoders know of the job."""
        return about(self.row)


def about(row: JobRow) -> About:
    """What encoders know of a job, whoever started it."""
    origin = row.options.get("origin") or {}
    return About(
        job=row.id,
        model=str(origin.get("model") or row.task),
        created_at=row.summary.created_at,
        origin=origin,
        metadata=row.summary.metadata,
    )


def reserve(transport: str) -> Stream:
    """A slot for the present request's answer; 429 and 503 before there is a job."""
    stream = open_stream(transport, services().cursor({}))
    if isinstance(stream, Refusal):
        raise answer_errors.refused(stream)
    stream.lifetime.stay_open()
    return stream


def ask(question: Question, protocol: str, body: Json, *, stream: Stream | None) -> JobRow:
    """The job that answers: a new one, or that of the request which this one repeats.

    `stream`, if any, becomes a viewer of it. Errors of the question are 400, before a job exists.
    """
    model = find_model(question.model)
    check_open(model.task)
    at_hang_up = on_disconnect(question.goes_on)
    grace = {"on_disconnect": at_hang_up, "disconnect_grace_s": GRACE_S}
    digest = digest_of([protocol, body, request.headers.get(USER, "")])
    row = services().retries.find(owner(), digest)
    if row is None:
        given = _input(question, model.name, is_upstream=model.is_upstream, takes=model.takes)
        kept, blobs = parts.split(given)
        known: JsonObject = {"protocol": protocol, "model": model.name, "digest": digest}
        if question.stream and at_hang_up == "cancel":
            known["held_s"] = HOLD_S  # a failure is to come by then, so that it has a status
        asked = Request(
            task=model.task.name,
            input=given,
            metadata=question.metadata,
            webhook=question.webhook,
            title=" ".join(last_text(question.messages)[: 2 * TITLE].split())[:TITLE],
            origin={**question.origin, **known},
            kept=kept if blobs else None,
            blobs=blobs,
            **grace,  # type: ignore[arg-type]
        )
        row = _submit(asked, digest)
    if stream is not None:
        stream.cursor.follow(row.id, 0)
        stream.enter(row.id)
    return row


def find_answer(id: str, prefix: str) -> JobRow:
    """The job behind the id of an answer, if the asker may see it and it was to be kept."""
    row = find_job(id.removeprefix(prefix))
    origin = row.options.get("origin") or {}
    if origin.get("store") is False:
        raise unknown_job(id)
    return row


def reopen(row: JobRow, transport: str) -> Held:
    """A slot for reading a job's answer again. A refusal is no hang-up of the one who comes."""
    try:
        stream = reserve(transport)
    except StreamingError:
        viewers = services().storage.viewers
        viewers.leave(row.id, viewers.enter(row.id, transport, lambda: 0), sent_away=True)
        raise
    stream.cursor.follow(row.id, 0)
    stream.enter(row.id)
    return Held(stream, row)


def respond_stream(
    held: Held,
    make: Callable[[Mapping[str, int]], Encoder],
    headers: Mapping[str, str] | None = None,
    *,
    again: bool = False,
) -> Response:
    """The answer as a stream, behind the encoder's position; `make` takes `last_restarts`.

    A failure before the first piece has its own status, within `HOLD_S`; not where the answer is
    read `again`, and its end is what is asked for. Behind the end: 204.
    """
    stream, row = held.stream, held.row
    with stream.set_up():
        encoder = make(restarts(row))
        body, closing = _first(stream, encoder)
        if closing is not None:
            raise answer_errors.draining(row)
        if encoder.ended is not None and encoder.done and not body:
            stream.close()
            return with_job(no_content(), row)
        if not again and _failed_early(encoder):
            raise failure_of(encoder.ended, row.id)  # type: ignore[arg-type]
        response = stream_response(stream, _rest(stream, encoder, body), SSE)
    response.headers.update(headers or {})
    return with_job(response, row)


def _failed_early(encoder: Encoder) -> bool:
    """Whether the job failed before there was anything to show of it."""
    failed = encoder.ended is not None and encoder.ended.status != "completed"
    return failed and encoder.after <= 0 and not encoder.has_content


def with_job(response: Response, row: JobRow) -> Response:
    """The answer, naming its job."""
    response.headers["X-Job-Id"] = row.id
    return response


def on_disconnect(goes_on: bool) -> str:
    """What happens when nobody is left: what `X-On-Disconnect` says, else by the protocol."""
    said = request.headers.get("X-On-Disconnect", "").strip().lower()
    if said not in ("", "continue", "cancel"):
        raise BadRequest("X-On-Disconnect is continue or cancel", code="bad_header")
    return said or ("continue" if goes_on else "cancel")


def _input(
    question: Question, model: str, *, is_upstream: bool, takes: frozenset[str] | None
) -> JsonObject:
    if not is_upstream:
        return task_input(question, takes)
    messages, parameters = list(question.messages), dict(question.parameters)
    return {"model": model, "messages": messages, "parameters": parameters}


def _submit(asked: Request, digest: str) -> JobRow:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not 1 <= len(key) <= KEY_LENGTH:
        raise BadRequest(f"an idempotency key is 1 to {KEY_LENGTH} characters")
    try:
        row, _ = services().registry.submit(owner(), asked, key=key, digest=digest)
    except InvalidInput as error:
        errors = [
            {**each, "field": each["field"].removeprefix("input.").removeprefix("parameters.")}
            for each in error.extra.get("errors", [])
        ]
        raise BadRequest(error.detail, code="invalid_request", errors=errors) from error
    return row


def restarts(row: JobRow) -> Mapping[str, int]:
    """What the log's attempts have made void so far."""
    if row.attempt < 2:
        return {}
    return last_restarts(events_of(row.id))


def events_of(job: str) -> Iterator[Event]:
    """All events that are there."""
    log, after = services().storage.log, 0
    while page := log.read(job, after).events:
        yield from page
        after = page[-1].seq


def _first(stream: Stream, encoder: Encoder) -> tuple[bytes, Closing | None]:
    """What there is once the answer has begun, has ended, or `HOLD_S` are over."""
    stream.watch()
    until, body = time.monotonic() + HOLD_S, b""
    while not (encoder.begun or stream.cursor.ended or stream.hung_up()):
        if (closing := stream.lifetime.closing()) is not None:
            return body, closing
        left = until - time.monotonic()
        if left <= 0:
            break
        for event in read_events(stream, left):
            body += encoder.take(event)
    return body, None


def _rest(stream: Stream, encoder: Encoder, body: bytes) -> Iterator[bytes]:
    """The stream's bytes, to the protocol's end, whoever ends it."""
    heartbeat_s = services().streams.server.heartbeat_s
    return _bytes(stream, encoder, body, heartbeat_s)


def _bytes(stream: Stream, encoder: Encoder, body: bytes, heartbeat_s: float) -> Iterator[bytes]:
    try:
        yield body or encoder.beat()
        quiet_since = time.monotonic()
        while not (encoder.done or stream.hung_up()):
            if (closing := stream.lifetime.closing()) is not None:
                yield encoder.failure(answer_errors.closed(closing, encoder))
                return
            out = _next(stream, encoder, quiet_since + heartbeat_s - time.monotonic())
            if not out and time.monotonic() - quiet_since >= heartbeat_s:
                out = encoder.beat()
            if out:
                stream.count(len(out), 1)
                if not stream.send(out):
                    yield out
                quiet_since = time.monotonic()
    finally:  # a wrapped body is not closed
        stream.close()


def _next(stream: Stream, encoder: Encoder, timeout: float) -> bytes:
    """The frames of what comes next; the end of a log that ends without one."""
    try:
        out = b"".join(map(encoder.take, read_events(stream, timeout)))
    except TaskError as error:
        return encoder.failure(error)
    if stream.cursor.ended and not encoder.done:
        out += encoder.failure(answer_errors.gone(encoder.about.job))
    return out


def read_events(stream: Stream, timeout: float) -> list[Event]:
    """The next events, each of them; `TaskError` where some are missing."""
    try:
        found = stream.cursor.read(stream.patience(timeout), stream.waker)
    except Unavailable:  # storage is away: the reader stays, and reads on later
        stream.waker.wait(stream.patience(min(timeout, AWAY_S)))
        return []
    events = [delivery.event for delivery in found if delivery.event is not None]
    if len(events) < len(found):
        raise answer_errors.gone(found[0].job)
    return events
