"""Every error of this project; events/problem.py makes of them what clients see.

::

    StreamingError
    ├── InvalidSettings          the start is refused
    │   └── InUse                      another process holds the storage
    ├── RequestError             the client's fault
    │   ├── BadRequest           400   malformed request or position
    │   ├── Unauthorized         401
    │   ├── Forbidden            403
    │   ├── NotFound             404   unknown, deleted, or another owner's
    │   ├── TooSlow              408   the body did not come in time
    │   ├── Conflict             409
    │   ├── Expired              410   retention has removed the whole job
    │   ├── TooLarge             413
    │   ├── UnsupportedMedia     415
    │   ├── InvalidInput         422   each field is named
    │   ├── UpgradeRequired      426   a WebSocket that is not asked for as one
    │   └── TooMany              429   a queue, a rate or a quota is full
    ├── NotSupported             501   this server cannot do it, whoever asks
    ├── Unavailable              503   overloaded, storage away
    │   ├── NotThere                   the storage's server is not reached at the start
    │   ├── Closed                     the server has been closed, or is leaving
    │   └── Damaged                    what is kept cannot be read
    ├── LogRefusal               the event log refuses an append
    │   ├── LogClosed                  a terminal event is there already
    │   ├── Fenced                     a newer attempt writes this log
    │   └── Unexpected                 the job's row is not as the append expects
    └── TaskError                how a job fails; raised by tasks, kept in job.failed

    Stop (BaseException)         unwinds a task; code that catches Exception does not catch it
    ├── Cancelled                the job was cancelled
    ├── TimedOut                 its running time is over
    ├── Interrupted              the process is shutting down; a later attempt goes on
    └── Superseded               the log refuses this attempt: it is closed or has a newer one
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self


class StreamingError(Exception):
    """The root. `detail` is for people, `code` for programs."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    code: str = "internal_error"
    retryable: bool = False

    def __init__(self, detail: str = "", *, code: str | None = None, **extra: Any) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.code = code or self.code
        #: More members of the problem object: `errors`, `line`, `column`, `retry_after_s`, …
        self.extra = extra

    def again(self) -> Self:
        """An equal error to raise elsewhere: to raise one changes it."""
        made = type(self).__new__(type(self), *self.args)
        made.__dict__.update(self.__dict__, extra=dict(self.extra))
        return made


class InvalidSettings(StreamingError):
    """Raised at start when a setting has a value that is not allowed."""

    title = "Invalid settings"
    code = "invalid_settings"


def missing_extra(package: str, extra: str) -> str:
    """What to do where a package of an extra is needed and not there."""
    return (
        f"{package} is not installed: install streaming-jobs with its extra [{extra}], from its "
        f"folder (pip install '.[{extra}]') or from a wheel"
    )


class InUse(InvalidSettings):
    """Raised when another process holds the storage."""

    code = "storage_in_use"

    def __init__(self, detail: str, *, by_predecessor: bool) -> None:
        super().__init__(detail)
        #: It is this server's own, and will leave.
        self.by_predecessor = by_predecessor


class RequestError(StreamingError):
    """The client's fault: the same request fails again."""

    status = 400
    title = "Bad request"


class BadRequest(RequestError):
    """Raised for a malformed request or position."""

    code = "bad_request"


class Unauthorized(RequestError):
    """Raised when a valid API key is missing."""

    status = 401
    title = "Unauthorized"
    code = "unauthorized"


class Forbidden(RequestError):
    """Raised when the client is known and still not allowed."""

    status = 403
    title = "Forbidden"
    code = "forbidden"


class NotFound(RequestError):
    """Raised for what is unknown, deleted, or another owner's."""

    status = 404
    title = "Not found"
    code = "not_found"


class TooSlow(RequestError):
    """Raised when a body does not come in its time."""

    status = 408
    title = "Request timeout"
    code = "too_slow"
    retryable = True


class Conflict(RequestError):
    """Raised when the job's state does not allow the request."""

    status = 409
    title = "Conflict"
    code = "conflict"


class Expired(RequestError):
    """Raised for a job that retention has removed, while its tombstone lasts."""

    status = 410
    title = "Expired"
    code = "job_expired"


class TooLarge(RequestError):
    """Raised for a body, input or upload over its limit."""

    status = 413
    title = "Too large"
    code = "too_large"


class UnsupportedMedia(RequestError):
    """Raised for a body that is not of the expected media type."""

    status = 415
    title = "Unsupported media type"
    code = "unsupported_media_type"


class InvalidInput(RequestError):
    """Raised when fields do not validate; `extra["errors"]` has `field` and `message` of each."""

    status = 422
    title = "Invalid input"
    code = "invalid_input"

    @classmethod
    def of(cls, errors: Sequence[tuple[str, str]], **extra: Any) -> InvalidInput:
        """One error for all the fields: `[(field, message), …]`."""
        detail = "; ".join(f"{field}: {message}" for field, message in errors)
        listed = [{"field": field, "message": message} for field, message in errors]
        return cls(detail, errors=listed, **extra)


class UpgradeRequired(RequestError):
    """Raised for a request to a WebSocket that does not ask for one as it should."""

    status = 426
    title = "Upgrade required"
    code = "upgrade_required"


class TooMany(RequestError):
    """Raised when a queue, a rate or a quota is full."""

    status = 429
    title = "Too many requests"
    code = "too_many_requests"
    retryable = True


class Unavailable(StreamingError):
    """Raised while the server is draining, overloaded, or cannot reach its storage."""

    status = 503
    title = "Service unavailable"
    code = "unavailable"
    retryable = True


class NotSupported(StreamingError):
    """Raised for what cannot be done here, whoever asks: by this server, or in this version."""

    status = 501
    title = "Not supported"
    code = "not_supported"


class NotThere(Unavailable, InvalidSettings):
    """Raised at start when the storage's server is not reached: by a wrong address, or as yet."""

    code = "storage_away"


class Closed(Unavailable):
    """Raised by what has been closed, or is about to be: another process may answer."""

    code = "draining"

    def __init__(self, detail: str = "the server is shutting down", **extra: Any) -> None:
        super().__init__(detail, **extra)


class Damaged(Unavailable):
    """Raised where what is kept cannot be read: trying again does not help."""

    code = "log_damaged"
    retryable = False


class LogRefusal(StreamingError):
    """The event log refuses an append; nothing of it was written."""

    status = 409
    title = "Refused by the event log"
    code = "log_refused"


class LogClosed(LogRefusal):
    """Raised by an append to a log that has its terminal event."""

    code = "log_closed"


class Fenced(LogRefusal):
    """Raised by an append from an older attempt."""

    code = "fenced"


class Unexpected(LogRefusal):
    """Raised when a field of the job's row is not what the append expects of it."""

    code = "unexpected_state"


class TaskError(StreamingError):
    """Raised by a task to fail its job with a code of its own choice.

    `TaskError("no column is numeric", code="bad_csv", line=3, column="revenue")`.
    """

    title = "The job failed"
    code = "task_failed"

    def __init__(
        self, detail: str = "", *, code: str | None = None, retryable: bool = False, **extra: Any
    ) -> None:
        super().__init__(detail, code=code, **extra)
        self.retryable = retryable


class Stop(BaseException):
    """Unwinds a running task. A broad `except Exception` lets it pass (oddity 7)."""


class Cancelled(Stop):
    """Raised in a task when its job has been cancelled."""


class TimedOut(Stop):
    """Raised in a task when its job's running time is over."""


class Interrupted(Stop):
    """Raised in a task when the process shuts down: the job goes on as a later attempt."""


class Superseded(Stop):
    """Raised in a task whose log is closed or belongs to a newer attempt."""
