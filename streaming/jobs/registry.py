"""JobRegistry: submit, find, list, cancel, answer, recover, drain."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Collection, Mapping

from streaming.concurrency.threads import offload
from streaming.errors import (
    Cancelled,
    Conflict,
    Expired,
    LogRefusal,
    NotFound,
    StreamingError,
    TooMany,
    Unavailable,
)
from streaming.events import make
from streaming.events.vocabulary import Json
from streaming.jobs.inputs import Inputs, fitting
from streaming.jobs.receivers import Receivers
from streaming.jobs.request import Request
from streaming.jobs.supervisor import UNFINISHED, Supervisor
from streaming.running.runner import Runner
from streaming.running.task import TaskRegistry
from streaming.storage.base import Storage
from streaming.storage.ids import new_id
from streaming.storage.rows import JobRow, Submission
from streaming.storage.snapshots import Snapshots

#: Characters of an input above which it is checked off the event loop.
LARGE = 1 << 14


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
        self._inputs = Inputs(storage.log, snapshots, tasks, max_event_bytes=max_event_bytes)
        self._owner_jobs = owner_jobs
        self._receivers = receivers or Receivers()
        #: Whether new jobs are refused until the load is less.
        self._overloaded = overloaded
        #: Looks after jobs that go on.
        self.supervisor = Supervisor(
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
        self.supervisor.loop.start()

    def stop(self) -> None:
        """Look after jobs no longer."""
        self.supervisor.loop.stop()

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
            asked = request.asked(task.title, position, retention_s=self._retention_s)
            queued = fitting(make.job_queued(asked), self._max_event_bytes)
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
        self.supervisor.watch(row)
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
        if self._runner.stop(row.id, Cancelled(reason or "")) or self.supervisor.release(row.id):
            self._end_queued(row.id, reason)
        return self._storage.index.get(row.id) or row

    def answer(self, row: JobRow, request: str | None, data: Json) -> JobRow:
        """Give a job the input that it asked for, or feed one that takes input while it runs.

        The same answer again is taken; `Conflict` for another one and when nothing is asked,
        `InvalidInput` when the data do not fit what was asked.
        """
        return self._inputs.give(row, request, data)

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
        self.supervisor.adopt_all()

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

    def _known(self, submission: Submission, refusal: StreamingError) -> tuple[JobRow, bool]:
        """The job that has the submission's key: there is no room for a new one."""
        if submission.key is None:
            raise refusal
        try:
            return self._storage.index.submit(submission, only_known=True)
        except NotFound:
            raise refusal from None

    def _end_queued(self, job: str, reason: str | None) -> None:
        """The end of a job that was taken out of the queue before it began."""
        ended = make.job_cancelled(reason, None)
        with contextlib.suppress(LogRefusal, NotFound):  # begun and ended by a worker meanwhile
            self._storage.log.append(job, [ended])


def unknown_job(job: str) -> NotFound:
    """What is said of jobs that are not there, and of those that are not the asker's."""
    return NotFound(f"there is no job {job[:40]!r}", code="job_not_found")
