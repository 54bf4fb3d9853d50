"""Anthropic's Messages, with resuming of ours."""

from __future__ import annotations

from functools import partial
from typing import Literal

from flask import Response, g, request
from pydantic import BaseModel, ConfigDict, Field

from streaming.errors import BadRequest
from streaming.events.vocabulary import JsonMapping, JsonObject
from streaming.events.wire import parse_position
from streaming.protocols.answer import Whole
from streaming.protocols.messages import PREFIX, MessagesEncoder, completed, error_body
from streaming.protocols.messages_request import count, parse
from streaming.storage.rows import JobRow
from streaming.web import answers
from streaming.web.answers import Held
from streaming.web.foreign import foreign_blueprint, foreign_body
from streaming.web.json_response import as_json
from streaming.web.models import find_model
from streaming.web.operations import operation
from streaming.web.responses import no_content, wants_sse
from streaming.web.whole_answers import respond_whole


def _error_body(shown: JsonMapping) -> JsonObject:
    return error_body(shown, g.get("request_id"))


messages = foreign_blueprint("messages", _error_body)

_MORE = {
    404: "No such model, or no such answer",
    409: "The Idempotency-Key belongs to another request",
    413: "The body is over 32 MiB",
    415: "The body is not JSON",
    502: "The model's server failed",
}


class MessagesBody(BaseModel):
    """A request of Messages; what is not listed goes to the model as it is."""

    model_config = ConfigDict(extra="allow")

    model: str | None = Field(default=None, description="see /v1/models; without one, the first")
    max_tokens: int = Field(ge=1, description="tokens of the answer at most")
    messages: list[JsonObject] = Field(description="the conversation")
    system: str | list[JsonObject] | None = Field(default=None, description="what it is to be")
    stream: bool | None = Field(default=None, description="as events")


class MessageQuery(BaseModel):
    """How to get a message again."""

    stream: Literal["true", "false", "1", "0"] | None = Field(
        default=None, description="true: as events, behind `Last-Event-ID`"
    )


class MessageHeaders(BaseModel):
    """Where to go on."""

    last_event_id: int | None = Field(
        default=None, alias="Last-Event-ID", ge=0, description="the last `id:` that was seen"
    )


@messages.post("/messages")
@operation(
    "Ask a model (Anthropic Messages)",
    tag="protocols",
    scope="submit",
    body=MessagesBody,
    more=_MORE,
    may_stream=True,
    problem_type="application/json",
)
def create() -> Response:
    """As Anthropic's API has it. `id:` lines say where to resume."""
    body = foreign_body()
    question = parse(body)
    stream = answers.reserve("messages")
    with stream.set_up():
        row = answers.ask(question, "messages", body, stream=stream)
        return _answer(Held(stream, row), streams=question.stream)


@messages.post("/messages/count_tokens")
@operation(
    "Estimate a message's tokens",
    tag="protocols",
    body=MessagesBody,
    more=_MORE,
    problem_type="application/json",
)
def count_tokens() -> Response:
    """An estimate: about four bytes to a token, 1,500 tokens to a picture."""
    body = foreign_body()
    tokens = count(body)
    find_model(str(body.get("model") or ""))
    return as_json({"input_tokens": tokens, "estimated": True})


@messages.get("/messages/msg_<answer>")
@operation(
    "Get a message again, or the rest of its stream",
    tag="protocols",
    query=(MessageQuery,),
    headers=MessageHeaders,
    more={**_MORE, 204: "There is nothing behind that position"},
    may_stream=True,
    problem_type="application/json",
)
def resume(answer: str) -> Response:
    """With `Last-Event-ID` (or `stream=true`) the events behind it; else the whole message."""
    row = answers.find_answer(answer, PREFIX)
    after = _position(row)
    if after and row.closed and after >= row.seq:
        return answers.with_job(no_content(), row)
    streams = bool(after) or wants_sse() or request.args.get("stream", "") in ("true", "1")
    held = answers.reopen(row, "messages")
    with held.stream.set_up():
        return _answer(held, streams=streams, after=after)


def _position(row: JobRow) -> int:
    after = parse_position(request.headers.get("Last-Event-ID") or "0", name="Last-Event-ID")
    if after > row.seq:
        raise BadRequest(
            f"Last-Event-ID is {after}; the answer has come to {row.seq}", code="bad_position"
        )
    return after


def _answer(held: Held, *, streams: bool, after: int = 0) -> Response:
    about = held.about
    if streams:
        return answers.respond_stream(
            held, lambda restarts: MessagesEncoder(about, after=after, restarts=restarts)
        )
    return respond_whole(
        held,
        Whole(),
        lambda whole: as_json(completed(about, whole)),
        partial(error_body, request_id=g.get("request_id")),
    )
