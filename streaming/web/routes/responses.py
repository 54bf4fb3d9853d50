"""OpenAI's Responses: background, resuming, cancelling, input items, and the WebSocket."""

from __future__ import annotations

from typing import Literal

from flask import Response, request
from flask_sock import Sock
from pydantic import BaseModel, ConfigDict, Field
from simple_websocket import Server
from werkzeug.exceptions import HTTPException

from streaming.events.vocabulary import Json, JsonObject
from streaming.events.wire import MAX_POSITION, parse_position
from streaming.protocols.question import refuse
from streaming.protocols.refusals import failure_of
from streaming.protocols.responses import PREFIX, ResponsesEncoder
from streaming.protocols.responses_request import input_items
from streaming.web import answers
from streaming.web.answers import Held
from streaming.web.foreign import (
    BODY_BYTES,
    error_response,
    foreign_blueprint,
    foreign_body,
    openai_body,
)
from streaming.web.handshake import begin, check_handshake, hand_over
from streaming.web.json_response import as_json
from streaming.web.operations import operation, parse_query
from streaming.web.problems import error_of_http
from streaming.web.response_requests import asked_of, folded, parse_body
from streaming.web.response_session import ResponseSession
from streaming.web.responses import no_content
from streaming.web.services import services
from streaming.web.stopping import stopped
from streaming.web.whole_answers import respond_whole

_MORE = {
    404: "No such model, or no such response",
    409: "The Idempotency-Key belongs to another request",
    413: "The body is over 32 MiB",
    415: "The body is not JSON",
    502: "The model's server failed",
}

responses = foreign_blueprint("responses")
sock = Sock()


class ResponsesBody(BaseModel):
    """A request of Responses; what is not listed goes to the model as it is."""

    model_config = ConfigDict(extra="allow")

    model: str | None = Field(default=None, description="see /v1/models; without one, the first")
    input: str | list[JsonObject] = Field(description="a text, or items")
    background: bool | None = Field(default=None, description="it goes on without its client")
    stream: bool | None = Field(default=None, description="as events")


class ResponseQuery(BaseModel):
    """Which part of a response, and how."""

    stream: Literal["true", "false", "1", "0"] | None = Field(
        default=None, description="true: as events, to the end"
    )
    starting_after: int | None = Field(
        default=None, ge=0, le=MAX_POSITION, description="a `sequence_number`: what is behind it"
    )


class ItemsQuery(BaseModel):
    """Which input items."""

    limit: int = Field(default=20, ge=1, le=100, description="items in a page")
    order: Literal["asc", "desc"] = Field(default="desc", description="desc: the last one first")
    after: str | None = Field(default=None, description="the id of the last item seen")


@responses.post("/responses")
@operation(
    "Ask a model (OpenAI Responses)",
    tag="protocols",
    scope="submit",
    body=ResponsesBody,
    more=_MORE,
    may_stream=True,
)
def create() -> Response:
    """As OpenAI's API has it; `background` goes on without its client."""
    body = foreign_body()
    question = parse_body(body)
    if question.goes_on and not question.stream:
        row = answers.ask(question, "responses", body, stream=None)
        return answers.with_job(as_json(folded(row).response()), row)
    stream = answers.reserve("responses")
    with stream.set_up():
        row = answers.ask(question, "responses", body, stream=stream)
        return _answer(Held(stream, row), streams=question.stream)


@sock.route("/responses", bp=responses)  # type: ignore[untyped-decorator]
@operation("Ask a model over a WebSocket (OpenAI Responses)", tag="protocols", status=101)
def response_socket(ws: Server) -> None:
    """Messages {"type": "response.create", …}; the same events, one a frame. It stays open."""
    begin(ws, services().cursor({}), ResponseSession, max_message_bytes=BODY_BYTES)


@responses.get("/responses")
@operation(
    "Ask a model over a WebSocket (OpenAI Responses)",
    tag="protocols",
    status=101,
    more={426: "It is no WebSocket handshake"},
)
def no_handshake() -> Response:
    """Messages {"type": "response.create", …}; events, one a frame. Without a handshake: 426."""
    response = error_response(error_of_http(_UpgradeRequired()), openai_body)
    response.headers.update({"Upgrade": "websocket", "Sec-WebSocket-Version": "13"})
    return response


class _UpgradeRequired(HTTPException):
    code = 426
    description = "this is a WebSocket; a response is made by a POST"


@responses.before_request
def before_upgrade() -> None:
    """Refuse with an HTTP status what can be refused."""
    if request.endpoint == f"{responses.name}.response_socket":
        check_handshake()


responses.after_request(hand_over)


@responses.get("/responses/<answer>")
@operation(
    "Get a response, or the rest of its stream",
    tag="protocols",
    query=(ResponseQuery,),
    more={**_MORE, 204: "There is nothing behind that position"},
    may_stream=True,
)
def resume(answer: str) -> Response:
    """With `stream=true` the events behind `starting_after`; else the response as it is now."""
    row = answers.find_answer(answer, PREFIX)
    if request.args.get("stream", "").lower() not in ("1", "true"):
        return answers.with_job(as_json(folded(row).response()), row)
    given = request.args.get("starting_after")
    after = -1 if given is None else parse_position(given, name="starting_after")
    encoder = folded(row)
    if after > encoder.position:
        raise refuse("starting_after", f"the response has come to {encoder.position}")
    if encoder.done and after >= encoder.position:
        return answers.with_job(no_content(), row)
    held = answers.reopen(row, "responses")
    with held.stream.set_up():
        return _answer(held, streams=True, after=after, again=True)


@responses.post("/responses/<answer>/cancel")
@operation("Stop a response", tag="protocols", scope="cancel", more=_MORE)
def stop(answer: str) -> Response:
    """Idempotent; the response afterwards."""
    row = stopped(answers.find_answer(answer, PREFIX))
    return answers.with_job(as_json(folded(row).response()), row)


@responses.delete("/responses/<answer>")
@operation("Remove a response", tag="protocols", scope="cancel", more=_MORE)
def delete(answer: str) -> Response:
    """One that goes on is stopped first."""
    row = answers.find_answer(answer, PREFIX)
    if not row.closed:
        row = stopped(row)
    services().registry.delete(row)
    return as_json({"id": f"{PREFIX}{row.id}", "object": "response", "deleted": True})


@responses.get("/responses/<answer>/input_items")
@operation("List a response's input", tag="protocols", query=(ItemsQuery,), more=_MORE)
def list_input_items(answer: str) -> Response:
    """What was asked with it, without what was said before (`previous_response_id`)."""
    row = answers.find_answer(answer, PREFIX)
    query = parse_query(ItemsQuery)
    begins = int((row.options.get("origin") or {}).get("begins") or 0)
    found: list[Json] = input_items(asked_of(row).get("messages") or [], row.id, begins)
    if query.order == "desc":
        found.reverse()
    if query.after is not None:
        ids = [item["id"] for item in found]
        if query.after not in ids:
            raise refuse("after", "there is no such item")
        found = found[ids.index(query.after) + 1 :]
    page = found[: query.limit]
    ends = {
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
    }
    more = len(found) > len(page)
    return as_json({"object": "list", "data": page, "has_more": more, **ends})


def _answer(held: Held, *, streams: bool, after: int = -1, again: bool = False) -> Response:
    about = held.about
    if streams:
        return answers.respond_stream(
            held,
            lambda restarts: ResponsesEncoder(about, after=after, restarts=restarts),
            again=again,
        )
    return respond_whole(held, ResponsesEncoder(about), _whole)


def _whole(encoder: ResponsesEncoder) -> Response:
    if encoder.ended is not None and encoder.ended.status == "failed":
        raise failure_of(encoder.ended, encoder.about.job)
    return as_json(encoder.response())
