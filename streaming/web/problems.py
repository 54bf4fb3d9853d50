"""Errors as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import logging
import math
import random

from flask import Response, current_app, request
from werkzeug.exceptions import HTTPException

from streaming.errors import StreamingError, TooMany, Unavailable
from streaming.events.event import dumps
from streaming.events.problem import problem
from streaming.web.services import EXTENSION

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

#: Statuses of what is turned away: `/metrics` counts them by code.
REFUSALS = (401, 403, 408, 413, 429, 503)
#: Codes of the statuses that come from Flask itself.
_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
}


def problem_response(error: StreamingError, path: str | None = None) -> Response:
    """An error as the client gets it; 429 and 503 say when to come again.

    With the request's `path` it may be made when the request is over; who does counts refusals.
    """
    body = problem(error, instance=path or request.path)
    retry_after_s = body.pop("retry_after_s", None)
    if path is None and error.status in REFUSALS:
        _count(error.code)
    response = Response(dumps(body), status=error.status, content_type=MEDIA_TYPE)
    if isinstance(error, TooMany | Unavailable):
        wait_s = random.uniform(1, 5) if retry_after_s is None else retry_after_s
        response.headers["Retry-After"] = str(math.ceil(wait_s))
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    response.headers["Cache-Control"] = "no-store"
    return response


def _count(code: str) -> None:
    server = current_app.extensions[EXTENSION]
    if server.started:
        server.services().metrics.refused(code)


def http_problem(error: HTTPException) -> Response:
    """An error of Flask's own (no route, wrong method, body too large) in the same form."""
    response = problem_response(error_of_http(error))
    if error.response is not None:
        return error.response  # type: ignore[return-value]
    for name, value in error.get_headers():
        if name.lower() in ("allow", "location", "retry-after"):
            response.headers[name] = value
    return response


def error_of_http(error: HTTPException) -> StreamingError:
    """An error of Flask's own as one of ours."""
    status = error.code or 500
    kind = type(
        "HttpError",
        (StreamingError,),
        {"status": status, "title": error.name, "code": _CODES.get(status, f"http_{status}")},
    )
    made: StreamingError = kind(error.description or error.name)
    return made


def unexpected_problem(error: Exception) -> Response:
    """A bug of ours: logged, and told without its details."""
    if isinstance(error, ConnectionError):  # the client has gone before it had its answer
        logger.info("%s %s: %s", request.method, request.path, error)
        return Response(status=400)
    logger.error("request failed: %s %s", request.method, request.path, exc_info=error)
    return problem_response(StreamingError("the server failed to answer; see its log"))
