"""One attempt at running a job: claim it, run its task, append its end."""

from __future__ import annotations

import logging
import math
import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from streaming.concurrency.stop_signal import StopSignal
from streaming.errors import (
    Cancelled,
    InvalidInput,
    LogRefusal,
    NotFound,
    Stop,
    StreamingError,
    TaskError,
    TimedOut,
    Unavailable,
    problem,
)
from streaming.events.event import Draft, dumps
from streaming.events.snapshot import Snapshot
from streaming.events.vocabulary import TERMINAL, Json
from streaming.llm.base import Model
from streaming.running.context import JobContext, Work
from streaming.running.emitter import Budget
from streaming.running.task import LOST_ATTEMPTS, LOST_TRIALS, Task, TaskRegistry
from streaming.storage.base import Storage
from streaming.storage.parts import whole_input
from streaming.storage.rows import JobRow
from streaming.storage.snapshots import Snapshots

logger = logging.getLogger(__name__)


#: The pressure level from which tasks start as their basic variant.
BASIC_LEVEL = 2
#: Characters of an error's detail that are kept when the whole would be too much.
DETAIL = 400


@dataclass(frozen=True, slots=True)
class Shop:
    """What attempts work with."""

    storage: Storage
    snapshots: Snapshots
    tasks: TaskRegistry
    model: Model
    max_event_bytes: int
    base_url: str
    #: What a job may write over all of its attempts.
    max_job_events: float = math.inf
    max_job_bytes: float = math.inf
    #: Value and unit of this service's own figures, by name.
    figures: Callable[[], Mapping[str, tuple[float, str]]] = dict
    #: The present pressure level.
    level: Callable[[], int] = lambda: 0
    #: Hears of each end: task, status, seconds since the job's first start.
    ended: Callable[[str, str, float], object] = lambda *_: None


class Attempt:
    """A try at a job. `run` blocks until it is over; all else is for other threads."""

    def __init__(
        self,
        job: str,
        shop: Shop,
        *,
        on_trial: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.job = job
        self.stop = StopSignal(clock=clock)
        self._shop = shop
        self._on_trial = on_trial
        self._clock = clock
        self._log = shop.storage.log
        self._number: int | None = None
        #: Over without an end of the job: a later attempt is to go on, and nobody has begun it.
        self.left = False
        self._context: JobContext | None = None
        #: On `clock`: when its running time is over, waiting for people left out.
        self._deadline: float | None = None

    def run(self) -> None:
        """The whole attempt. A storage that stays away leaves the job to a later attempt."""
        try:
            self._run()
        except (LogRefusal, NotFound) as refusal:
            logger.info("job %s goes on without this attempt: %s", self.job, refusal.detail)
        except Unavailable as error:
            logger.warning("job %s is left to a later attempt: %s", self.job, error.detail)
            self.left = True

    def ask_to_stop(self, reason: Stop) -> None:
        """Unwind the task; from any thread."""
        self.stop.set(reason)

    def overdue(self) -> bool:
        """Whether its running time is over."""
        if self._deadline is None or self._context is None:
            return False
        return self._clock() > self._deadline + self._context.waited_s()

    def end(self) -> None:
        """Append the terminal event over the head of a task that does not listen."""
        reason = self.stop.reason
        if reason is not None:
            self._append(self._stopped(reason), patient=False)

    def _run(self) -> None:
        row = self._shop.storage.index.get(self.job)
        if row is None or row.closed:
            return
        state = self._shop.snapshots.state(self.job)
        if row.status == "cancelling":
            self._append([self._terminal("job.cancelled", reason=state.cancel_reason)])
            return
        task = self._shop.tasks.find(row.task)
        failure = _refuse(task, row, state)
        if failure is not None or task is None:
            self._append([self._failed(failure or TaskError())])
            return
        try:
            value = task.validate(whole_input(self._shop.storage.blobs, state))
        except InvalidInput as error:
            self._append([self._failed(error)])
            return
        basic = self._claim(row, state, task, timeout_s=state.asked["timeout_s"])
        self._execute(task, value, basic=basic)

    def _claim(self, row: JobRow, state: Snapshot, task: Task, *, timeout_s: float) -> bool:
        """Become the job's writer: an older attempt's appends are refused from here on.

        Whether it is to run the task's basic variant.
        """
        number = row.attempt + 1
        started: dict[str, Json] = {"attempt": number, "worker": worker_name()}
        if self._on_trial:
            started["on_trial"] = True
        # What one attempt has begun as the basic variant, the next one goes on with.
        if state.basic or (number == 1 and task.basic and self._shop.level() >= BASIC_LEVEL):
            started["basic"] = True
        drafts = [Draft("job.started", started)]
        if number == 1:
            drafts += _checklist(task, state)
        self._log.append(self.job, drafts, attempt=number, expect={"attempt": [row.attempt]})
        if number > 1:
            state = self._start_over(task, number)
        self._number = number
        self._deadline = self._clock() + max(0.0, timeout_s - state.running_s)
        self._context = JobContext(
            Work(
                job=self.job,
                owner=row.owner,
                attempt=number,
                log=self._log,
                blobs=self._shop.storage.blobs,
                model=self._shop.model,
                stop=self.stop,
                state=self._shop.snapshots.state(self.job),
                records=self._log.records(self.job) if row.attempt else {},
                max_event_bytes=self._shop.max_event_bytes,
                base_url=self._shop.base_url,
                leases=self._shop.storage.leases,
                figures=self._shop.figures,
                budget=Budget(
                    events=self._shop.max_job_events - row.seq,
                    size=self._shop.max_job_bytes - row.size,
                ),
            ),
            clock=self._clock,
        )
        return "basic" in started

    def _start_over(self, task: Task, number: int) -> Snapshot:
        """Text and checklist of steps that had not completed begin anew; the state before that.

        Only now: until the claim an older attempt that was not dead may have completed one.
        """
        state = self._shop.snapshots.state(self.job)
        drafts = [Draft("text.reset", {"item": item}) for item in state.unfinished_items()]
        drafts += _checklist(task, state)
        if drafts:
            self._log.append(self.job, drafts, attempt=number)
        return state

    def _execute(self, task: Task, value: Any, *, basic: bool) -> None:
        """Run the task's code and append its end, whatever it raises."""
        assert self._context is not None
        function = task.basic if basic and task.basic is not None else task.function
        try:
            try:
                with self._context.leased(task.needs):
                    output = self._context.run(function(self._context, value))
            finally:
                self._context.settle()  # the end comes behind all that the task has said
        except BaseException as error:  # noqa: BLE001 - people's code: sys.exit() as well
            ending = self._ending(error)
        else:
            ending = self._completed(output)
        self._append(ending)
        self.left = ending[-1].type not in TERMINAL

    def _ending(self, error: BaseException) -> list[Draft]:
        """The events that end an attempt that was stopped or has failed."""
        reason = self.stop.reason or error
        if isinstance(reason, Stop):
            return self._stopped(reason)
        if not isinstance(reason, TaskError):
            logger.error("job %s failed", self.job, exc_info=reason)
        return self._last(self._failed(_as_task_error(reason)))

    def _completed(self, output: Json) -> list[Draft]:
        """The end of a job that went well, if its output fits."""
        assert self._context is not None
        limit = self._shop.max_event_bytes
        try:
            size = len(dumps(output))
        except (TypeError, ValueError) as error:
            failure = TaskError(f"the output must be JSON: {error}", code="invalid_output")
            return self._last(self._failed(failure))
        if size > limit:
            message = f"an output of {size} bytes is over the limit of {limit}; make it an artifact"
            return self._last(self._failed(TaskError(message, code="output_too_large")))
        usage = self._context.usage or None
        return self._last(Draft("job.completed", {"output": output, "usage": usage}))

    def _stopped(self, reason: Stop) -> list[Draft]:
        """The events that end an attempt that was stopped; where a later one goes on, a note."""
        if isinstance(reason, Cancelled):
            return self._last(self._terminal("job.cancelled", reason=str(reason) or None))
        if isinstance(reason, TimedOut):
            return self._last(self._failed(TaskError(str(reason), code="timed_out")))
        message = "the server is shutting down; a later attempt goes on"
        return [Draft("log", {"level": "info", "message": message, "handed_over": True})]

    def _last(self, end: Draft) -> list[Draft]:
        """The terminal event, after the checklist is closed."""
        return [*(self._context.skip_open() if self._context else []), end]

    def _failed(self, error: StreamingError) -> Draft:
        shown = problem(error, instance=f"{self._shop.base_url}/jobs/{self.job}")
        if len(dumps(shown)) > self._shop.max_event_bytes // 4:  # a terminal event always fits
            brief = TaskError(error.detail[:DETAIL], code=error.code, retryable=error.retryable)
            shown = problem(brief, instance=shown["instance"])
        return self._terminal("job.failed", error=shown)

    def _terminal(self, kind: str, **data: Json) -> Draft:
        """A terminal event with usage and the text so far, cut so that it always fits."""
        text = self._shop.snapshots.state(self.job).text
        room = self._shop.max_event_bytes // 8
        partial = {"text": text[:room], "cut": len(text) > room} if text else None
        usage = self._context.usage or None if self._context is not None else None
        return Draft(kind, {**data, "usage": usage, "partial": partial})

    def _append(self, drafts: list[Draft], *, patient: bool = True) -> None:
        row = self._log.append(self.job, drafts, attempt=self._number, patient=patient)
        if row.closed:
            self._shop.ended(row.task, row.status, _running_s(row))


def worker_name() -> str:
    """Who runs the attempts of this process, as job.started tells."""
    return f"{socket.gethostname()}:{os.getpid()}"


def _running_s(row: JobRow) -> float:
    """Seconds from a job's first start to its end; 0 when it was never started."""
    began, ended = row.summary["started_at"], row.summary["finished_at"]
    if began is None or ended is None:
        return 0.0
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()


def _refuse(task: Task | None, row: JobRow, state: Snapshot) -> TaskError | None:
    """Why a job cannot have another attempt, if so."""
    if task is None:
        message = f"this server has no task {row.task!r} any more"
        return TaskError(message, code="unknown_task", retryable=True)
    lost = state.lost_trials >= LOST_TRIALS or state.lost_attempts >= LOST_ATTEMPTS
    if row.attempt and (not task.retry or lost):
        message = f"the worker of attempt {row.attempt} was lost"
        if state.lost_trials >= LOST_TRIALS:
            message += "; it died each time that this job ran there alone"
        return TaskError(message, code="worker_lost", retryable=True)
    return None


def _checklist(task: Task, state: Snapshot) -> list[Draft]:
    """The declared steps that have not completed, for the start of an attempt."""
    total = len(task.steps)
    return [
        Draft(
            "step.updated",
            {
                "id": step.id,
                "index": index,
                "total": total,
                "title": step.title,
                "status": "pending",
                "duration_s": None,
                "detail": None,
            },
        )
        for index, step in enumerate(task.steps, start=1)
        if state.steps.get(step.id, {}).get("status") != "completed"
    ]


def _as_task_error(error: BaseException) -> StreamingError:
    if isinstance(error, StreamingError):
        return error
    # The text of an unexpected error may hold what is nobody's business: it goes to the log alone.
    return TaskError(f"the task failed with {type(error).__name__}; the server's log says more")
