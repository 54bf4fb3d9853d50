"""Answers in JSON."""

from __future__ import annotations

from flask import Response

from streaming.events.event import dumps
from streaming.events.vocabulary import Json


def as_json(body: Json, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer in UTF-8, not \\u-escaped, that no cache keeps."""
    response = Response(dumps(body), status=status, content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    response.headers.update(headers or {})
    return response
