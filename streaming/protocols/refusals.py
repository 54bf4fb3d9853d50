"""What a failure means to a client of another protocol: status, code, and whether to try again."""

from __future__ import annotations

from streaming.errors import StreamingError, TaskError
from streaming.events.vocabulary import JsonMapping, JsonObject
from streaming.protocols.answer import Ended

#: Statuses that the official SDKs ask again by themselves, unless they are told not to.
RETRIED = frozenset({408, 409, 429, *range(500, 600)})
#: An upstream that refuses *our* key, or wants money: the caller's own key is not meant.
_OURS = (401, 402, 403, 407)


def status_of(error: JsonMapping) -> int:
    """The HTTP status of a failed job's problem object: upstream's own, where it has one."""
    upstream = error.get("upstream_status")
    if upstream in _OURS:
        return 502
    if isinstance(upstream, int) and 400 <= upstream < 600:
        return upstream
    status = error.get("status")
    return status if isinstance(status, int) and 400 <= status < 600 else 500


def failure_of(ended: Ended, job: str) -> StreamingError:
    """The end of a job that has not completed, as an error; its status is `status_of`."""
    if ended.status == "cancelled":
        reason = f": {ended.reason}" if ended.reason else ""
        return TaskError(f"the answer was cancelled{reason}", code="cancelled", job=job)
    known: JsonObject = {
        name: ended.error[name]
        for name in ("retry_after_s", "upstream_status")
        if name in ended.error
    }
    return TaskError(
        str(ended.error.get("detail") or "the job failed"),
        code=str(ended.error.get("code") or "task_failed"),
        retryable=bool(ended.error.get("retryable")),
        status_of=status_of(ended.error),
        job=job,
        **known,
    )


def http_status(error: StreamingError) -> int:
    """The status with which an error is answered."""
    if error.code == "cancelled":
        return 409
    return int(error.extra.get("status_of") or error.status)


def kind_of(status: int) -> str:
    """OpenAI's `type` of an error."""
    if status == 429:
        return "rate_limit_error"
    return "invalid_request_error" if status < 500 else "server_error"


def openai_error(error: StreamingError) -> JsonObject:
    """`error` as OpenAI's clients read it."""
    fields = error.extra.get("errors") or [{"field": None}]
    return {
        "message": error.detail,
        "type": kind_of(http_status(error)),
        "param": fields[0]["field"],
        "code": error.code,
    }
