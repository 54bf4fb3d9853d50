"""Blueprints of the protocols of others: their errors, bodies and statuses."""

from __future__ import annotations

import math
from collections.abc import Callable

from flask import Blueprint, Response, request
from pydantic import BaseModel, ConfigDict
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from streaming.errors import StreamingError
from streaming.events.event import dumps
from streaming.events.problem import problem
from streaming.events.vocabulary import Json, JsonMapping, JsonObject
from streaming.protocols.refusals import RETRIED, http_status, kind_of
from streaming.web.blueprints import owned_blueprint
from streaming.web.bodies import json_body
from streaming.web.problems import (
    MEDIA_TYPE,
    error_of_http,
    problem_response,
    unexpected_problem,
)

#: Bytes of a request body: conversations with pictures.
BODY_BYTES = 32 << 20


class ForeignBody(BaseModel):
    """A JSON object, as the protocol's specification has it."""

    model_config = ConfigDict(extra="allow")


#: From a problem object (RFC 9457) to the body of an error as the protocol has it.
ErrorBody = Callable[[JsonMapping], Json]


def openai_body(shown: JsonMapping) -> Json:
    """A problem with `error` beside its members: as OpenAI's clients read it."""
    status = shown["status"]
    assert isinstance(status, int)
    return {**shown, "error": {**shown["error"], "type": kind_of(status)}}


def foreign_blueprint(name: str, error_body: ErrorBody = openai_body) -> Blueprint:
    """A blueprint whose errors look as the protocol has them; each request needs a right."""
    made = owned_blueprint(name)

    def answer(error: StreamingError) -> Response:
        return error_response(error, error_body)

    def answer_http(error: HTTPException) -> Response:
        response = answer(error_of_http(error))
        if isinstance(error, MethodNotAllowed) and error.valid_methods:
            response.headers["Allow"] = ", ".join(error.valid_methods)
        return response

    def answer_unexpected(error: Exception) -> Response:
        response = unexpected_problem(error)
        if response.status_code != 500:
            return response
        return answer(StreamingError("the server failed to answer; see its log"))

    made.register_error_handler(StreamingError, answer)
    made.register_error_handler(HTTPException, answer_http)
    made.register_error_handler(Exception, answer_unexpected)
    return made


def error_response(
    error: StreamingError, error_body: ErrorBody, path: str | None = None
) -> Response:
    """An error before the first byte, with what the SDKs need to try again, or not to.

    With the request's `path` it may be made when the request is over.
    """
    status, job = http_status(error), error.extra.get("job")
    retryable = error.retryable and status in RETRIED
    error.extra.pop("status_of", None)
    after_s = error.extra.get("retry_after_s", 1)
    response = problem_response(error, path)
    shown: JsonObject = {**problem(error, instance=path or request.path), "status": status}
    response.set_data(dumps(error_body(shown)))
    response.status_code = status
    response.content_type = MEDIA_TYPE if error_body is openai_body else "application/json"
    if retryable and "Retry-After" not in response.headers:
        response.headers["Retry-After"] = str(math.ceil(after_s))
    if status in RETRIED and not retryable:
        response.headers["X-Should-Retry"] = "false"
    if job is not None:
        response.headers["X-Job-Id"] = str(job)
    return response


def foreign_body() -> Json:
    """The JSON body of a request, 32 MiB at most."""
    return json_body(limit=BODY_BYTES)


def is_rpc_id(id: Json) -> bool:
    """Whether JSON-RPC 2.0 lets a message have this id: text, a number, or none."""
    return id is None or (isinstance(id, str | int | float) and not isinstance(id, bool))
