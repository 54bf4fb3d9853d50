"""JobRegistry: submit, find, list, cancel, answer, recover, drain."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import jsonschema

from streaming.concurrency.threads import offload
from streaming.errors import (
    Cancelled,
    Conflict,
    Expired,
    InvalidInput,
    LogRefusal,
    NotFound,
    StreamingError,
    TooLarge,
    TooMany,
    Unavailable,
)
from streaming.events import make
from streaming.events.event import Draft
from streaming.events.vocabulary import Json
from streaming.jobs.receivers import Receivers
from streaming.jobs.supervisor import UNFINISHED, JobKeeper
from streaming.running.runner import Runner
from streaming.running.task import TaskRegistry
from streaming.storage.base import Storage
from streaming.storage.ids import new_id
from streaming.storage.rows import JobRow, Submission
from streaming.storage.snapshots import Snapshots

#: Characters of an input above which it is checked off the event loop.
LARGE = 1 << 14


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked with a new job. Times in seconds."""

    task: str
    input: Mapping[str, Json]
    metadata: Mapping[str, Json] = field(default_factory=dict)
    #: `url`, and if wanted `events` and `form`: who is told, of what, in which protocol's words.
    webhook: Mapping[str, Json] | None = None
    #: What people call the job; without one, the task's title.
    title: str = ""
    on_disconnect: str = "continue"
    on_break: str = "restart"
    disconnect_grace_s: float = 30.0
    timeout_s: float = 3600.0
    ttl_s: float | None = None
    #: The protocol that asks, and what its answers need to know again; small.
    origin: Mapping[str, Json] | None = None
    #: The input as it is kept, where large parts of it are blobs; these live with the job.
    kept: Mapping[str, Json] | None = None
    blobs: Mapping[str, bytes] = field(default_factory=dict)


class JobRegistry:
    """All that happens to jobs from outside."""

    def __init__(
        self,
        *,
        storage: Storage,
        snapshots: Snapshots,
        tasks: TaskRegistry,
        runner: Runner,
        retention_s: float,
        max_event_bytes: int,
        owner_jobs: int | None = None,
        overloaded: Callable[[], bool] = lambda: False,
        receivers: Receivers | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._storage = storage
        self._snapshots = snapshots
        self._tasks = tasks
        self._runner = runner
        self._retention_s = retention_s
        self._max_event_bytes = max_event_bytes
        self._owner_jobs = owner_jobs
        self._receivers = receivers or Receivers()
        #: Whether new jobs are refused until the load is less.
        self._overloaded = overloaded
        #: Looks after jobs that go on.
        self.keeper = JobKeeper(
            storage=storage,
            snapshots=snapshots,
            tasks=tasks,
            runner=runner,
            cancel=self.cancel,
            clock=clock,
        )

    def start(self) -> None:
        """Take up the jobs that an earlier process left, and look after all from now on."""
        if not self._runner.shared:  # else others run them
            self.recover()
        self.keeper.loop.start()

    def stop(self) -> None:
        """Look after jobs no longer."""
        self.keeper.loop.stop()

    def submit(
        self,
        owner: str,
        request: Request,
        *,
        key: str | None = None,
        digest: str = "",
        records: Mapping[str, bytes] | None = None,
    ) -> tuple[JobRow, bool]:
        """Store a job and have it run; or find the one that has `key`: `(row, whether it is new)`.

        `records` are kept with it and are not in its log.

        Raises `InvalidInput`, `TooMany` (the queue is full), `Conflict` (the key belongs to
        another request), `Unavailable`. Once it has returned, the job outlasts a crash.
        """
        task = self._tasks.get(request.task)
        if len(str(request.input)) < LARGE:
            task.validate(request.input)
        else:
            offload(lambda: task.validate(request.input))  # a large table takes its time
        if request.webhook is not None:
            self._receivers.admit(request.webhook["url"])

        job = new_id("job_")

        def submission(position: int) -> Submission:
            asked = self._asked(request, request.title or task.title, position)
            queued = self._fitting(make.job_queued(asked))
            return Submission(job, owner, task.name, queued, key, digest, records or {})

        try:
            self._refuse_when_overloaded()
            self._refuse_over_quota(owner)
            position = self._runner.reserve(cooperative=task.cooperative)
        except (TooMany, Unavailable) as refusal:
            return self._known(submission(0), refusal)
        try:
            for name, content in request.blobs.items():
                self._storage.blobs.put(f"{job}/{name}", [content])
            row, new = self._storage.index.submit(submission(position))
        except BaseException:
            self._forgo(job, request, cooperative=task.cooperative)
            raise
        if not new:
            self._forgo(job, request, cooperative=task.cooperative)
            return row, False
        self.keeper.watch(row)
        self._runner.enqueue(row.id, cooperative=task.cooperative, reserved=True)
        return row, True

    def _forgo(self, job: str, request: Request, *, cooperative: bool) -> None:
        """Give back what a submission that makes no job has taken."""
        self._runner.release(cooperative=cooperative)
        if request.blobs:
            self._storage.blobs.delete(job)

    def find(self, job: str, owner: str | None) -> JobRow:
        """The job's row. `NotFound` when unknown or another owner's, `Expired` when removed.

        Without an owner, anyone's.
        """
        row = self._storage.index.get(job)
        if row is None or owner not in (None, row.owner):
            raise unknown_job(job)
        if row.expired:
            raise Expired(f"job {job} was removed after its retention time")
        return row

    def list(
        self,
        owner: str | None,
        *,
        statuses: Collection[str] = (),
        task: str | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> list[JobRow]:
        """The owner's jobs (None: everybody's), newest first, ids below `before`."""
        return self._storage.index.list(
            owner=owner, statuses=statuses, task=task, before=before, limit=limit
        )

    def cancel(self, row: JobRow, reason: str | None = None) -> JobRow:
        """Cancel a job; again or at its end nothing happens. The row afterwards."""
        requested = make.job_cancel_requested(reason)
        expect = {"status": ("queued", "running", "waiting_for_input")}
        try:
            self._storage.log.append(row.id, [requested], expect=expect, patient=False)
        except (LogRefusal, NotFound):
            return self._storage.index.get(row.id) or row
        if self._runner.stop(row.id, Cancelled(reason or "")) or self.keeper.release(row.id):
            self._end_queued(row.id, reason)
        return self._storage.index.get(row.id) or row

    def answer(self, row: JobRow, request: str | None, data: Json) -> JobRow:
        """Give a job the input that it asked for, or feed one that takes input while it runs.

        The same answer again is taken; `Conflict` for another one and when nothing is asked,
        `InvalidInput` when the data do not fit what was asked.
        """
        asked = row.summary.input_request
        if asked is not None and request in (None, asked["request"]):
            _check_answer(asked["schema"], data)
            return self._answer(row, asked["request"], data)
        if request is not None:
            return self._answered_before(row, request, data)
        task = self._tasks.find(row.task)
        if task is None or not task.takes_input:
            return self._answered_before(row, None, data)
        if row.closed or row.status == "cancelling":
            raise _nothing_asked(row)
        task.check_fed(data)
        received = self._fitting(make.input_received(None, data))
        return self._storage.log.append(row.id, [received], patient=False)

    def delete(self, row: JobRow) -> None:
        """Remove a job that has ended; `Conflict` before."""
        if not row.closed:
            raise Conflict(
                f"job {row.id} is {row.status}; cancel it first", code="job_not_terminal"
            )
        self.forget(row.id, tombstone=False)

    def forget(self, job: str, *, tombstone: bool) -> None:
        """Remove a job with all that belongs to it."""
        self._storage.index.remove(job, tombstone=tombstone)
        self._storage.blobs.delete(job)
        self._snapshots.drop(job)

    def expire(self, job: str) -> None:
        """Remove a job whose time is over: what asks for it is told so for a while."""
        self.forget(job, tombstone=True)

    def recover(self) -> None:
        """Run the jobs that an earlier process left, from their last checkpoints."""
        self.keeper.adopt_all()

    def drain(self, *, finish_s: float, unwind_s: float) -> None:
        """Take no more jobs, and finish or hand over those that run."""
        self._runner.drain(finish_s=finish_s, unwind_s=unwind_s)

    def _refuse_when_overloaded(self) -> None:
        if self._overloaded():
            raise Unavailable(
                "the server is overloaded; try again later",
                code="overloaded",
                retry_after_s=random.uniform(2, 10),
            )

    def _refuse_over_quota(self, owner: str) -> None:
        """Two at the same moment may both be the last one."""
        limit = self._owner_jobs
        if limit is None:
            return
        if len(self._storage.index.list(owner=owner, statuses=UNFINISHED, limit=limit)) >= limit:
            raise TooMany(
                f"you have {limit} jobs that have not ended; wait for one, or cancel one "
                "(STREAMING_OWNER_JOBS)",
                code="too_many_jobs",
                retry_after_s=random.uniform(2, 10),
            )

    def _fitting(self, draft: Draft) -> Draft:
        """What a client has sent, as an event; `TooLarge` when it does not fit."""
        if len(draft.encoded) > self._max_event_bytes:
            raise TooLarge(
                f"this makes an event of {len(draft.encoded)} bytes; the limit is "
                f"{self._max_event_bytes} (STREAMING_MAX_EVENT_BYTES). Upload it as a file."
            )
        return draft

    def _known(self, submission: Submission, refusal: StreamingError) -> tuple[JobRow, bool]:
        """The job that has the submission's key: there is no room for a new one."""
        if submission.key is None:
            raise refusal
        try:
            return self._storage.index.submit(submission, only_known=True)
        except NotFound:
            raise refusal from None

    def _asked(self, request: Request, title: str, position: int) -> dict[str, Json]:
        ttl_s = self._retention_s if request.ttl_s is None else request.ttl_s
        return {
            "position": position,
            "task": request.task,
            "title": title,
            "input": request.input if request.kept is None else request.kept,
            "metadata": request.metadata,
            "webhook": request.webhook,
            "on_break": request.on_break,
            "on_disconnect": request.on_disconnect,
            "disconnect_grace_s": request.disconnect_grace_s,
            "timeout_s": request.timeout_s,
            "ttl_s": min(ttl_s, self._retention_s),
            **({} if request.origin is None else {"origin": request.origin}),
            **({"blobs": sorted(request.blobs)} if request.blobs else {}),
        }

    def _end_queued(self, job: str, reason: str | None) -> None:
        """The end of a job that was taken out of the queue before it began."""
        ended = make.job_cancelled(reason, None)
        with contextlib.suppress(LogRefusal, NotFound):  # begun and ended by a worker meanwhile
            self._storage.log.append(job, [ended])

    def _answer(self, row: JobRow, request: str, data: Json) -> JobRow:
        received = self._fitting(make.input_received(request, data))
        try:
            expect = {"input_request.request": (request,)}
            return self._storage.log.append(row.id, [received], expect=expect, patient=False)
        except LogRefusal:
            return self._answered_before(row, request, data)

    def _answered_before(self, row: JobRow, request: str | None, data: Json) -> JobRow:
        """The same answer again, to `request` or to the last one that was answered."""
        answers = self._snapshots.look(row.id, lambda state: dict(state.recovery.answers))
        request = request or next(reversed(answers), None)
        if request is None or request not in answers:
            raise _nothing_asked(row)
        if answers[request] != data:
            raise Conflict(
                f"request {request!r} has another answer already", code="already_answered"
            )
        return row


def unknown_job(job: str) -> NotFound:
    """What is said of jobs that are not there, and of those that are not the asker's."""
    return NotFound(f"there is no job {job[:40]!r}", code="job_not_found")


def digest_of(body: Any) -> str:
    """A digest of a parsed request body: equal for equal JSON, whatever the order of members."""
    canonical = json.dumps(body, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _check_answer(schema: Mapping[str, Json] | None, data: Json) -> None:
    if schema is None:
        return
    validator = jsonschema.Draft202012Validator(schema)
    errors = [
        (".".join(["data", *map(str, error.absolute_path)]), error.message)
        for error in validator.iter_errors(data)
    ]
    if errors:
        raise InvalidInput.of(errors)


def _nothing_asked(row: JobRow) -> Conflict:
    return Conflict(f"job {row.id} ({row.status}) asks for no input", code="input_not_requested")
