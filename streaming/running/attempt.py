"""One attempt at running a job: claim it, run its task, append its end."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from urllib.parse import urlsplit

from streaming.concurrency.stop_signal import StopSignal
from streaming.errors import (
    Cancelled,
    InvalidInput,
    LogRefusal,
    NotFound,
    Stop,
    TaskError,
    TimedOut,
    Unavailable,
)
from streaming.events import make
from streaming.events.event import Draft, Event
from streaming.events.snapshot import Snapshot
from streaming.events.vocabulary import TERMINAL, Json
from streaming.running.context import AttemptInputs
from streaming.running.dependencies import Dependencies
from streaming.running.driver import Driver
from streaming.running.emitter import Budget
from streaming.running.endings import Endings, Spent, note, timed_out
from streaming.running.origin import Origin
from streaming.running.steps import skip_open
from streaming.running.task import LOST_ATTEMPTS, LOST_TRIALS, Task, TaskFunction
from streaming.storage.parts import whole_input
from streaming.storage.rows import JobRow
from streaming.storage.snapshots import Standing

logger = logging.getLogger(__name__)

#: A job that leaves its server at this attempt, or a later one, is named in a warning.
OFTEN = 3

#: The pressure level from which tasks start as their basic variant.
BASIC_LEVEL = 2


class Attempt:
    """One try at a job. `run` blocks until it is over; every other method is for other threads."""

    def __init__(
        self,
        job: str,
        dependencies: Dependencies,
        *,
        on_trial: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.job = job
        self.stop = StopSignal(clock=clock)
        self._dependencies = dependencies
        self._on_trial = on_trial
        self._clock = clock
        self._log = dependencies.storage.log
        self._number: int | None = None
        #: Over, but the job has not ended: a later attempt is needed, and none has been started.
        self.left = False
        self._driver: Driver | None = None
        self._on_break: Json = None
        self._endings = Endings(
            job,
            href=f"{dependencies.base_url}/jobs/{job}",
            max_event_bytes=dependencies.max_event_bytes,
        )
        #: On `clock`: when its time limit passes, not counting waits for people and leases.
        self._deadline: float | None = None

    def run(self) -> None:
        """Run the whole attempt. When it returns, the job has ended or is left to a later attempt.

        It is left to a later one, too, when storage stays unreachable.
        """
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
        deadline, now = self._deadline, self._clock()  # of each job, ten times a second
        return deadline is not None and now > deadline and now > deadline + self.waited_s()

    def waited_s(self) -> float:
        """Seconds that its task has waited for people or leases; they do not count as running."""
        return 0.0 if self._driver is None else self._driver.waited_s()

    def end(self) -> None:
        """Append the terminal event for a task that does not react to its stop."""
        reason = self.stop.reason
        if reason is not None:
            self._append(self._stopped(reason), patient=False)

    def _run(self) -> None:
        try:
            begun = self._begin()
        except (LogRefusal, NotFound, Unavailable, Stop):
            raise
        except Exception as error:  # noqa: BLE001 - an unreadable state, a validator that raises
            note(logger.exception, "job %s cannot begin", self.job)
            self._append([self._failed(error)])
            return
        if begun is None:
            return
        try:
            self._execute(*begun)
        except (LogRefusal, NotFound, Unavailable, Stop):
            raise
        except BaseException as error:  # noqa: BLE001 - no thread ends before its job has
            note(logger.exception, "job %s cannot end as it has", self.job)
            self._append([self._endings.plainly(error)])

    def _begin(self) -> tuple[TaskFunction, Task, object] | None:
        """What is to run, its task and input, once the job is claimed; None where it has ended."""
        found = self._dependencies.snapshots.standing(self.job)
        if found is None:
            return None
        row, state, _ = found
        if row.status == "cancelling":
            self._append([self._cancelled(state.recovery.cancel_reason)])
            return None
        self._on_break = state.recovery.asked.get("on_break")
        try:
            task = _able(self._dependencies.tasks.find(row.task), row, state)
            value = task.validate(whole_input(self._dependencies.storage.blobs, state))
        except (InvalidInput, TaskError) as error:
            self._append([self._failed(error)])
            return None
        basic = self._claim(found, task, timeout_s=state.recovery.asked["timeout_s"])
        function = task.basic if basic and task.basic is not None else task.function
        return function, task, value

    def _claim(self, found: Standing, task: Task, *, timeout_s: float) -> bool:
        """Become the job's writer: an older attempt's appends are refused from here on.

        Returns whether to run the task's basic variant.
        """
        row, state, _ = found
        number = row.attempt + 1
        # A job that began as the basic variant stays with it.
        loaded = (
            number == 1 and task.basic is not None and self._dependencies.level() >= BASIC_LEVEL
        )
        basic = state.recovery.basic or loaded
        drafts = [make.job_started(number, worker_name(), on_trial=self._on_trial, basic=basic)]
        if number == 1:
            drafts += _checklist(task, state)
        claimed = self._log.append(
            self.job, drafts, attempt=number, expect={"attempt": [row.attempt]}
        )
        found = self._behind(found, drafts, claimed)
        self._number = number
        self._deadline = self._clock() + max(0.0, timeout_s - found.state.recovery.running_s)
        kept: dict[str, str] = {}
        if number > 1:
            kept = _kept(found.state)
            found = self._start_over(task, found, number)
        self._equip(found, number, kept)
        return basic

    def _start_over(self, task: Task, found: Standing, number: int) -> Standing:
        """Text and checklist of steps that had not completed begin anew; the job behind that.

        Only after the claim: until then, an older attempt that is still alive may complete one.
        """
        drafts = [make.text_reset(item) for item in found.state.unfinished_items()]
        if drafts := [*drafts, *_checklist(task, found.state)]:
            return self._behind(found, drafts, self._log.append(self.job, drafts, attempt=number))
        return found

    def _behind(self, found: Standing, drafts: list[Draft], row: JobRow) -> Standing:
        """The job behind an append; looked at again only where other events have come between."""
        if found.state.seq + len(drafts) != row.seq:
            state = self._dependencies.snapshots.state(self.job)
            return found._replace(state=state, records=self._log.records(self.job))
        for draft in drafts:
            found.state.apply(Event.of(self.job, found.state.seq + 1, draft))
        return found

    def _equip(self, found: Standing, number: int, kept: Mapping[str, str]) -> None:
        """The context of the task, and what drives it."""
        dependencies, (row, state, records) = self._dependencies, found
        root = urlsplit(Origin.of(records).root).path.rstrip("/")
        given = AttemptInputs(
            job=self.job,
            owner=row.owner,
            attempt=number,
            log=self._log,
            blobs=dependencies.storage.blobs,
            model=dependencies.model,
            stop=self.stop,
            state=state,
            records=records,
            max_event_bytes=dependencies.max_event_bytes,
            base_url=f"{root}{dependencies.base_url}",
            leases=dependencies.storage.leases,
            figures=dependencies.figures,
            around=dependencies.around,
            kept=kept,
            held_until=_held_until(row),
            budget=Budget(
                events=dependencies.max_job_events - row.seq,
                size=dependencies.max_job_bytes - row.size,
            ),
        )
        self._driver = Driver(given, clock=self._clock)

    def _execute(self, function: TaskFunction, task: Task, value: object) -> None:
        """Run the task's code and append its end, whatever it raises."""
        assert self._driver is not None
        try:
            output = self._driver.run(function, value, task.needs)
        except BaseException as error:  # noqa: BLE001 - a task's code, which may call sys.exit()
            ending = self._raised(error)
        else:
            ending = self._last(self._endings.returned(output, self._spent(), self._text))
        self._append(ending)
        self.left = ending[-1].type not in TERMINAL

    def _raised(self, error: BaseException) -> list[Draft]:
        """The events that end an attempt that was stopped or has failed."""
        reason = self.stop.reason
        if reason is not None:
            return self._stopped(reason)
        return self._last(self._endings.raised(error, self._spent(), self._text))

    def _stopped(self, reason: Stop) -> list[Draft]:
        """The events that end a stopped attempt; only a log line where a later one goes on."""
        if isinstance(reason, Cancelled):
            return self._last(self._cancelled(str(reason) or None))
        if isinstance(reason, TimedOut):
            return self._last(self._failed(timed_out(reason)))
        if self._on_break == "fail":
            message = "the server is shutting down, and the job is not to start over (on_break)"
            return self._last(self._failed(TaskError(message, code="worker_lost", retryable=True)))
        if self._number is not None and self._number >= OFTEN:
            note(
                logger.warning,
                "job %s is handed over at attempt %d: its step lasts longer than the time between "
                "restarts; raise STREAMING_DRAIN_S, or give its step a checkpoint",
                self.job,
                self._number,
            )
        message = "the server is shutting down; a later attempt goes on"
        return [make.log(message, handed_over=True)]

    def _last(self, end: Draft) -> list[Draft]:
        """The terminal event, after the checklist is closed."""
        if self._driver is not None:
            return [*self._driver.skip_open(), end]
        # It ran in another process: the log says which steps are open.
        return [*skip_open(list(self._dependencies.snapshots.state(self.job).steps.values())), end]

    def _failed(self, error: BaseException) -> Draft:
        return self._endings.failed(error, self._spent(), self._text)

    def _cancelled(self, reason: str | None) -> Draft:
        return self._endings.cancelled(reason, self._spent(), self._text)

    def _spent(self) -> Spent:
        """What the task's models have cost, and how the last answer ended."""
        return Spent() if self._driver is None else self._driver.spent

    def _text(self) -> str:
        """The text so far: as much as a terminal event may carry, and one character more."""
        return self._dependencies.snapshots.text(
            self.job, self._dependencies.max_event_bytes // 8 + 1
        )

    def _append(self, drafts: list[Draft], *, patient: bool = True) -> None:
        row = self._log.append(self.job, drafts, attempt=self._number, patient=patient)
        if row.closed:
            self._dependencies.ended(row.task, row.status, row.summary.ran_s)


def worker_name() -> str:
    """The name of this process in `job.started`."""
    return f"{socket.gethostname()}:{os.getpid()}"


def _able(task: Task | None, row: JobRow, state: Snapshot) -> Task:
    """The job's task, if it may have another attempt; else raises the `TaskError` that ends it."""
    if task is None:
        message = f"this server has no task {row.task!r} any more"
        raise TaskError(message, code="unknown_task", retryable=True)
    known = state.recovery
    lost = known.lost_trials >= LOST_TRIALS or known.lost_attempts >= LOST_ATTEMPTS
    stays = not task.retry or known.asked.get("on_break") == "fail"
    if row.attempt and (stays or lost):
        message = f"the worker of attempt {row.attempt} was lost"
        if known.lost_trials >= LOST_TRIALS:
            message += "; it died each time that this job ran there alone"
        raise TaskError(message, code="worker_lost", retryable=True)
    return task


def _held_until(row: JobRow) -> float:
    """Epoch seconds until which a client's status line waits for the job's first piece."""
    held_s = (row.options.get("origin") or {}).get("held_s", 0)
    return datetime.fromisoformat(row.summary.created_at).timestamp() + held_s if held_s else 0.0


def _kept(state: Snapshot) -> dict[str, str]:
    """The unfinished texts, if the job asks for answers to be continued (`on_break`)."""
    if state.recovery.asked.get("on_break") != "continue":
        return {}
    return {item: state.text_of(item) for item in state.unfinished_items()}


def _checklist(task: Task, state: Snapshot) -> list[Draft]:
    """The declared steps that have not completed, for the start of an attempt."""
    done = frozenset(id for id, step in state.steps.items() if step["status"] == "completed")
    return make.checklist([(step.id, step.title) for step in task.steps], done)
