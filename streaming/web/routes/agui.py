"""AG-UI: run an agent, join a run, answer its question."""

from __future__ import annotations

from flask import Response, request

from streaming.errors import BadRequest, Expired, NotFound
from streaming.events.wire import MAX_POSITION, parse_position
from streaming.protocols.agui import STRIDE, AguiEncoder
from streaming.protocols.agui_request import Resume, Run, parse, parse_run
from streaming.protocols.question import refuse
from streaming.storage.rows import JobRow
from streaming.web import answers
from streaming.web.answers import Held
from streaming.web.auth import find_job, owner
from streaming.web.commands import CancelBody, cancel
from streaming.web.foreign import ForeignBody, foreign_blueprint, foreign_body
from streaming.web.models import find_model
from streaming.web.operations import operation
from streaming.web.services import services

agui = foreign_blueprint("agui")


@agui.post("/agui/<path:model>")
@operation(
    "Run an agent (AG-UI)",
    tag="protocols",
    scope="submit",
    body=ForeignBody,
    may_stream=True,
    more={
        204: "There is nothing behind that position",
        404: "No such model",
        409: "It asks for nothing, or has another answer",
        413: "The body is over 32 MiB",
        415: "The body is not JSON",
        502: "The model's server failed",
    },
)
def run(model: str) -> Response:
    """A run's events. A `runId` that is known joins that run, behind `Last-Event-ID`."""
    body = foreign_body()
    asked = parse_run(body)
    if asked.resumes:
        return _go_on(asked)
    row = _known(asked)
    if row is not None:
        held = answers.reopen(row, "agui")
        with held.stream.set_up():
            return _stream(held, asked, after=_position(row))
    if "Last-Event-ID" in request.headers:
        raise NotFound("there is no such run to join", code="run_not_found")
    answering = find_model(model)
    takes = answering.takes
    question = parse(body, model, takes_tools=takes is None or "tools" in takes)
    stream = answers.reserve("agui")
    with stream.set_up():
        row = answers.ask(question, "agui", body, stream=stream)
        services().conversations.note("agui", owner(), asked.id, row.id)
        return _stream(Held(stream, row), asked)


def _known(asked: Run) -> JobRow | None:
    """The job of that run; of a native job's id, that job."""
    row = services().conversations.find("agui", owner(), asked.id)
    if row is None and asked.id.startswith("job_"):
        try:
            return find_job(asked.id)
        except (NotFound, Expired):
            return None
    return row


def _position(row: JobRow) -> int:
    given = request.headers.get("Last-Event-ID") or "0"
    after = parse_position(given, name="Last-Event-ID")
    if after > min((row.seq + 1) * STRIDE, MAX_POSITION):
        raise BadRequest("Last-Event-ID is ahead of the run", code="bad_position")
    return after


def _go_on(asked: Run) -> Response:
    """Answer the question with which another run of the job has ended, and show the rest."""
    known = {each.job for each in asked.resumes}
    if len(known) != 1:
        raise refuse("resume", "the interrupts of one run")
    try:
        row = find_job(known.pop())
    except NotFound as error:
        raise refuse("resume.0.interruptId", "there is no such interrupt") from error
    held = answers.reopen(row, "agui")  # first, so that somebody watches when it goes on
    with held.stream.set_up():
        for each in asked.resumes:
            _answer(row, each)
        services().conversations.note("agui", owner(), asked.id, row.id)
        after = (_asked_at(row, asked.resumes[-1].request) + 1) * STRIDE - 1
        return _stream(held, asked, after=after, answered=True)


def _asked_at(row: JobRow, name: str) -> int:
    """The seq of a question: what is behind it is the answer's, however late that is repeated."""
    asked = (
        event.seq
        for event in answers.events_of(row.id)
        if event.type == "input.requested" and event.data["request"] == name
    )
    return next(asked, row.seq)


def _answer(row: JobRow, given: Resume) -> None:
    if given.resolved:
        services().registry.answer(row, given.request, given.payload)
    else:
        cancel(row, CancelBody(reason="the question was not answered"))


def _stream(held: Held, asked: Run, *, after: int = 0, answered: bool = False) -> Response:
    about, question = held.about, held.row.summary.input_request or {}
    return answers.respond_stream(
        held,
        lambda restarts: AguiEncoder(
            about,
            thread=asked.thread,
            run=asked.id,
            after=after,
            restarts=restarts,
            answered=answered,
            known=held.row.seq,
            asks=question.get("request"),
        ),
    )
