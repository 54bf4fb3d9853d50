"""The problem object (RFC 9457): what clients see of an error, and what job.failed carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streaming.errors import StreamingError
from streaming.events.vocabulary import Json, JsonObject

#: Status, title of the failures that only `job.failed` knows, by code.
JOB_FAILURES: Mapping[str, tuple[int, str]] = {
    "timed_out": (504, "The job's running time is over"),
    "worker_lost": (500, "The job's worker was lost"),
    "output_too_large": (500, "An event of the job is over the size limit"),
    "upstream_error": (502, "The model failed"),
    "model_unavailable": (503, "The model is not there"),
    "rate_limited": (429, "The model takes no more questions at present"),
    "context_too_long": (400, "The prompt is too long for the model"),
    "content_filtered": (400, "The model's server stopped the answer"),
}


def problem(error: StreamingError, *, instance: str | None = None) -> JsonObject:
    """The problem object (RFC 9457), with `error.message` beside it for OpenAI clients."""
    status, title = JOB_FAILURES.get(error.code, (error.status, error.title))
    body: JsonObject = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": error.detail,
        "instance": instance,
        "code": error.code,
        "retryable": error.retryable,
        **error.extra,
    }
    kind = "invalid_request_error" if status < 500 else "server_error"
    body["error"] = {
        "message": error.detail,
        "type": kind,
        "code": error.code,
        "param": _first_field(error.extra.get("errors")),
    }
    return body


def _first_field(errors: object) -> Json:
    """The field that the first of the errors names."""
    first = errors[0] if isinstance(errors, Sequence) and errors else None
    return first.get("field") if isinstance(first, Mapping) else None
