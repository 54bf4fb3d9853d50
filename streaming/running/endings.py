"""How an attempt ends: the terminal event of what its task returned, raised or was stopped by.

Nothing that a task returns or raises can keep its job from ending: what cannot be encoded becomes
text, and where that fails, too, a plain message.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from streaming.errors import Cancelled, StreamingError, TaskError, TimedOut
from streaming.events import make
from streaming.events.event import Draft, check_depth, dumps
from streaming.events.halves import whole_json
from streaming.events.plain import TEXT, kind_of, plain, plain_text
from streaming.events.problem import problem
from streaming.events.vocabulary import Json, JsonMapping, JsonObject

logger = logging.getLogger(__name__)

#: Characters of an error's detail that are kept when the whole would be too much, and of a code.
DETAIL, CODE = 400, 100
#: The members of a problem that every client reads.
_MEMBERS = {"title": str, "type": str, "status": int, "detail": str, "code": str, "retryable": bool}


@dataclass(frozen=True, slots=True)
class Spent:
    """What a job's models have cost, and how the last answer ended."""

    #: `prompt_tokens`, `completion_tokens`; `estimated` where a server gave no count.
    usage: JsonMapping = field(default_factory=dict)
    #: `finish_reason`, `cut`, `simulated`; empty before the first answer.
    told: JsonMapping = field(default_factory=dict)

    def said(self) -> tuple[Json, JsonObject]:
        """Both, as members of a terminal event."""
        return plain(self.usage) or None, plain(self.told)


class Endings:
    """Makes the terminal events of one job; never raises, and each of them fits."""

    def __init__(self, job: str, *, href: str, max_event_bytes: int) -> None:
        self._job = job
        self._href = href
        self._limit = max_event_bytes

    def returned(self, output: Json, spent: Spent, text: Callable[[], str]) -> Draft:
        """The end of a task that has returned; a failure if its output is not valid."""
        try:
            try:
                size = len(dumps(output))
            except UnicodeEncodeError:
                output = whole_json(output)
                size = len(dumps(output))
            if size <= self._limit:
                return make.job_completed(output, *spent.said())
        except BaseException as error:  # noqa: BLE001 - of a class of the task's own: any
            message = f"the output must be JSON: {plain_text(error, DETAIL)}"
            return self.failed(TaskError(message, code="invalid_output"), spent, text)
        message = f"an output of {size} bytes is over the limit of {self._limit}; "
        failure = TaskError(message + "make it an artifact", code="output_too_large")
        return self.failed(failure, spent, text)

    def raised(self, error: BaseException, spent: Spent, text: Callable[[], str]) -> Draft:
        """The end of a task that has raised what is no stop of the server's."""
        if _is(error, Cancelled):
            return self.cancelled(plain_text(error) or None, spent, text)
        if _is(error, TimedOut):
            return self.failed(timed_out(error), spent, text)
        if not _is(error, TaskError):
            note(logger.error, "job %s failed", self._job, exc_info=error)
        return self.failed(error, spent, text)

    def failed(self, error: BaseException, spent: Spent, text: Callable[[], str]) -> Draft:
        """A `job.failed` with the error's own code and detail."""
        return self._terminal(partial(make.job_failed, self._problem(error)), spent, text)

    def cancelled(self, reason: str | None, spent: Spent, text: Callable[[], str]) -> Draft:
        """A `job.cancelled` with the text and usage so far."""
        said = None if reason is None else plain_text(reason)
        return self._terminal(partial(make.job_cancelled, said), spent, text)

    def plainly(self, error: BaseException) -> Draft:
        """A `job.failed` that says with what, and nothing else."""
        return make.job_failed(problem(_in_brief(error), instance=self._href), None, None, {})

    def _problem(self, error: BaseException) -> JsonObject:
        """The error's problem object; at the least, that it failed and with which exception."""
        try:
            whole = _standard(problem(_as_known(error), instance=self._href))
            shown: JsonObject = whole if _is_json(whole) else plain(whole)
            if len(dumps(shown)) <= self._limit // 4:
                return shown
        except BaseException:  # noqa: BLE001 - a subclass whose members raise
            note(logger.exception, "the error of job %s cannot be shown whole", self._job)
        return dict(plain(problem(_in_brief(error), instance=self._href)))

    def _terminal(
        self,
        make_draft: Callable[[Json, Json, Json], Draft],
        spent: Spent,
        text: Callable[[], str],
    ) -> Draft:
        """With usage and the text so far, cut to fit; without them if need be."""
        try:
            whole = text()
            room = self._limit // 8
            cut = {"text": whole[:room], "cut": len(whole) > room} if whole else None
            return make_draft(cut, *spent.said())
        except (TypeError, ValueError):
            note(logger.exception, "job %s ends without its usage and text", self._job)
            return make_draft(None, None, {})


def note(log: Callable[..., None], *args: object, **options: object) -> None:
    """Log a line, and end the job even if that fails: log handlers are the app's.

    One whose stream the task has closed does, and the error of another would be the job's. What
    is logged may be of a class of the task's own, whose methods raise whatever they like. A task
    that calls `logging.config` turns our loggers off (`disable_existing_loggers`).
    """
    ours = getattr(log, "__self__", None)
    if isinstance(ours, logging.Logger):
        ours.disabled = False
    with contextlib.suppress(BaseException):
        log(*args, **options)


def _is(error: BaseException, kind: type[BaseException]) -> bool:
    """`isinstance` asks the error as well, which may raise."""
    return issubclass(type(error), kind)


def _standard(shown: JsonObject) -> JsonObject:
    """The problem, its standard members of the right types whatever the error's own are."""
    usual = problem(TaskError(""))
    for name, kind in _MEMBERS.items():
        value = shown.get(name)
        if kind is str and name in ("code", "detail") and value is not None:
            shown[name] = plain_text(value, CODE if name == "code" else TEXT)
        elif not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            shown[name] = usual[name]
    return shown


def _is_json(value: Json) -> bool:
    try:
        check_depth(dumps(value))
    except (TypeError, ValueError):
        return False
    return True


def timed_out(reason: BaseException) -> TaskError:
    """The failure of a job whose running time is over."""
    return TaskError(plain_text(reason), code="timed_out")


def _as_known(error: BaseException) -> StreamingError:
    if isinstance(error, StreamingError):
        return error
    if _is(error, ValueError) and "main thread of the main interpreter" in str(error):
        return TaskError(
            "a task runs in a thread, where signal handlers cannot be set: ask ctx.cancelled, or "
            "start a process that sets its own",
            code="signal_in_task",
        )
    # The text of an unexpected error may hold what is nobody's business: it goes to the log alone.
    return TaskError(f"the task failed with {kind_of(error)}; the server's log says more")


def _in_brief(error: BaseException) -> TaskError:
    """Its detail cut, without whatever else it carries."""
    detail, code, retryable = f"the task failed with {kind_of(error)}", "task_failed", False
    try:
        if isinstance(error, StreamingError):
            detail = plain_text(error.detail, DETAIL)
            code, retryable = plain_text(error.code, 100), bool(error.retryable)
    except BaseException:  # noqa: BLE001 - as above
        note(logger.exception, "an error's own members cannot be read")
    return TaskError(detail, code=code, retryable=retryable)
