"""OpenAI's Chat Completions, with resuming and cancelling of ours."""

from __future__ import annotations

from typing import Literal

from flask import Response, request
from pydantic import BaseModel, ConfigDict, Field

from streaming.errors import BadRequest
from streaming.events.vocabulary import JsonObject
from streaming.events.wire import MAX_POSITION, parse_position
from streaming.protocols.answer import Whole
from streaming.protocols.chat import PREFIX, ChatEncoder, completed, parse
from streaming.storage.rows import JobRow
from streaming.web import answers
from streaming.web.answers import Held
from streaming.web.commands import CancelBody, cancel
from streaming.web.foreign import foreign_blueprint, foreign_body
from streaming.web.json_response import as_json
from streaming.web.operations import operation
from streaming.web.responses import no_content
from streaming.web.whole_answers import respond_whole

chat = foreign_blueprint("chat")


class ChatBody(BaseModel):
    """A request of Chat Completions; what is not listed goes to the model as it is."""

    model_config = ConfigDict(extra="allow")

    model: str | None = Field(default=None, description="see /v1/models; without one, the first")
    messages: list[JsonObject] = Field(description="the conversation")
    stream: bool | None = Field(default=None, description="as chunks")


class AnswerQuery(BaseModel):
    """Which part of an answer, and how."""

    stream: Literal["true", "false", "1", "0"] | None = Field(
        default=None, description="true: as chunks, to the end"
    )
    starting_after: int | None = Field(
        default=None, ge=0, le=MAX_POSITION, description="an `x_position`: chunks behind it alone"
    )


_MORE = {
    404: "No such model, or no such answer",
    409: "Cancelled, or the Idempotency-Key belongs to another request",
    413: "The body is over 32 MiB",
    415: "The body is not JSON",
    502: "The model's server failed",
}


@chat.post("/chat/completions")
@operation(
    "Ask a model (OpenAI Chat Completions)",
    tag="protocols",
    scope="submit",
    body=ChatBody,
    more=_MORE,
    may_stream=True,
)
def create() -> Response:
    """As OpenAI's API has it. Every chunk says in `x_position` where to resume behind it."""
    body = foreign_body()
    question = parse(body)
    stream = answers.reserve("chat")
    with stream.set_up():
        row = answers.ask(question, "chat", body, stream=stream)
        return _answer(Held(stream, row), streams=question.stream)


@chat.get("/chat/completions/<answer>")
@operation(
    "Get a chat completion again, or the rest of its stream",
    tag="protocols",
    query=(AnswerQuery,),
    more={**_MORE, 204: "There is nothing behind that position"},
    may_stream=True,
)
def resume(answer: str) -> Response:
    """With `stream=true` the chunks behind `starting_after`, an `x_position`; else the whole."""
    row = answers.find_answer(answer, PREFIX)
    after = position(row)
    if row.closed and after >= row.seq:
        return answers.with_job(no_content(), row)
    held = answers.reopen(row, "chat")
    with held.stream.set_up():
        return _answer(held, streams=wants_stream(), after=after)


@chat.post("/chat/completions/<answer>/cancel")
@operation("Stop a chat completion", tag="protocols", scope="cancel", more=_MORE)
def stop(answer: str) -> Response:
    """Idempotent. The model stops; the stream ends with an error, code `cancelled`."""
    row = cancel(answers.find_answer(answer, PREFIX), CancelBody())
    shown = {"id": f"{PREFIX}{row.id}", "object": "chat.completion", "status": row.status}
    return answers.with_job(as_json(shown), row)


def position(row: JobRow) -> int:
    """The query's `starting_after`, which is not ahead of the log; 0 without one."""
    after = parse_position(request.args.get("starting_after", "0"), name="starting_after")
    if after > row.seq:
        raise BadRequest(
            f"starting_after is {after}; the answer has come to {row.seq}",
            code="bad_position",
            errors=[{"field": "starting_after", "message": "ahead of the answer"}],
        )
    return after


def wants_stream() -> bool:
    """Whether the query asks for a stream."""
    return request.args.get("stream", "").lower() in ("1", "true")


def _answer(held: Held, *, streams: bool, after: int = 0) -> Response:
    about = held.about
    if streams:
        return answers.respond_stream(
            held, lambda restarts: ChatEncoder(about, after=after, restarts=restarts)
        )
    return respond_whole(held, Whole(), lambda whole: as_json(completed(about, whole)))
