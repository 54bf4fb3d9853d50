"""Blueprints whose errors are problems, and whose requests all need a right."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Flask, Response, after_this_request, current_app, request
from werkzeug.exceptions import HTTPException

from streaming.errors import StreamingError
from streaming.web.auth import SAFE, check_origin, count, refuse_ticket, require
from streaming.web.csrf import protect
from streaming.web.operations import operation_of
from streaming.web.problems import http_problem, problem_response, unexpected_problem
from streaming.web.request_log import begin_request, end_request
from streaming.web.services import settings


class _Blueprint(Blueprint):
    """Routes that are there with a trailing slash, too."""

    def add_url_rule(self, rule: str, *args: Any, **options: Any) -> None:
        super().add_url_rule(rule, *args, **{"strict_slashes": False, **options})


def owned_blueprint(name: str) -> Blueprint:
    """A blueprint that asks of every request whose it is, and whether they may, before its view."""
    made = open_blueprint(name)

    @made.before_request
    def begin() -> None:  # one function: Flask's way to each is longer than most of what they do
        begin_request()
        _check_rights()
        if settings().allowed_origins:
            after_this_request(_vary_by_origin)

    made.after_request(end_request)
    return made


def _check_rights() -> None:
    method = request.method
    if method == "OPTIONS":  # a browser asks without credentials what it may send
        return
    asked = operation_of(current_app, str(request.endpoint))
    if not asked.takes_ticket:
        refuse_ticket()
    require(asked.scope)
    if not asked.streams:  # they are refused in a way of their own
        count(asked.scope)
    if method not in SAFE:
        check_origin()
        protect(current_app._get_current_object())  # type: ignore[attr-defined]  # noqa: SLF001


def _vary_by_origin(response: Response) -> Response:
    if "Origin" not in response.vary:
        response.vary.add("Origin")
    return response


def open_blueprint(name: str, **options: Any) -> Blueprint:
    """A blueprint for everybody; options are Flask's."""
    made = _Blueprint(f"streaming_{name}", __name__, template_folder="templates", **options)
    answer_with_problems(made)
    return made


def answer_with_problems(place: Flask | Blueprint) -> None:
    """Answer the errors of an app or blueprint as problem+json."""
    place.register_error_handler(StreamingError, problem_response)
    place.register_error_handler(HTTPException, http_problem)
    place.register_error_handler(Exception, unexpected_problem)
