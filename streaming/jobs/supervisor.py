"""Supervisor: looks after jobs that go on without viewers, without a runner, or suspicious."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Collection

from streaming.concurrency.periodic import Periodic
from streaming.concurrency.platform import native_lock
from streaming.errors import LogRefusal, NotFound
from streaming.events import make
from streaming.events.recovery import SUSPICIOUS
from streaming.events.snapshot import Snapshot
from streaming.running.runner import Runner
from streaming.running.task import TaskRegistry
from streaming.storage.base import Storage
from streaming.storage.rows import JobRow
from streaming.storage.snapshots import Snapshots
from streaming.storage.viewers import SENT_AWAY_S

logger = logging.getLogger(__name__)

#: Seconds between looks for viewers of jobs that end without them.
TICK_S = 0.25
#: Seconds between looks for jobs that nobody runs.
ORPHANS_S = 5.0
#: Seconds that a suspicious job must run alone to be cleared.
TRIAL_S = 1.0
#: Seconds after which a cancelled job is ended without its worker: more than that needs itself.
STOP_S = 8.0
#: States of jobs that go on.
UNFINISHED = ("queued", "running", "waiting_for_input", "cancelling")
#: Seconds that an answer may take to a question that has ended its asker's stream: some protocols
#: put questions so, and their clients come back with the answer.
ANSWER_S = 600.0


class Supervisor:
    """Owns the loop that looks after jobs."""

    def __init__(
        self,
        *,
        storage: Storage,
        snapshots: Snapshots,
        tasks: TaskRegistry,
        runner: Runner,
        cancel: Callable[[JobRow, str], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._storage = storage
        self._snapshots = snapshots
        self._tasks = tasks
        self._runner = runner
        self._cancel = cancel
        self._clock = clock
        self._lock = native_lock()
        #: Jobs that end without viewers: their grace, when they were accepted here, and when
        #: the grace can be over at the earliest.
        self._watched: dict[str, tuple[float, float, float]] = {}
        #: Whether this process has looked after the jobs of all before.
        self._has_looked = False
        #: Jobs that nobody ran at the last look.
        self._orphans: set[str] = set()
        #: Jobs that are to stop, and since when that is known here.
        self._cancelling: dict[str, float] = {}
        #: Jobs whose attempts were lost twice in a row: they run one after the other.
        self._suspects: list[JobRow] = []
        #: The one of them that runs, and since when.
        self._on_trial: tuple[JobRow, float] | None = None
        self._next_look = clock() + ORPHANS_S
        self.loop = Periodic(self.look, every_s=TICK_S, name="job-supervisor")

    def look(self) -> None:
        """One look: at the jobs accepted here, and at those of all where it is the turn for it."""
        has_turn = self._storage.turn("keeper")  # as older programs call it
        self.cancel_unwatched()
        if not has_turn:
            self._stand_down()
            return
        self.try_suspects()
        if self._clock() >= self._next_look:
            self._next_look = self._clock() + ORPHANS_S
            self.adopt_orphans()

    def watch(self, row: JobRow, *, taken_up: bool = False) -> None:
        """Cancel the job when nobody watches it for its grace, if it asks for that.

        One that is taken up from a process that is gone has been left by nobody: its viewers have
        `SENT_AWAY_S` to come back.
        """
        if row.options.get("on_disconnect") == "cancel":
            with self._lock:
                now, grace_s = self._clock(), row.options["disconnect_grace_s"]
                grace_s += self._storage.viewers.lag_s
                accepted_at = now + max(0.0, SENT_AWAY_S - grace_s) if taken_up else now
                self._watched.setdefault(row.id, (grace_s, accepted_at, now))

    @property
    def watched(self) -> int:
        """How many jobs are looked after that end without viewers."""
        return len(self._watched)

    def adopt_all(self) -> None:
        """Have all jobs that go on run: nobody does at the start of a process."""
        self._adopt(self._unfinished())

    def adopt_orphans(self) -> None:
        """Have jobs run that nobody ran at two looks, as after a time without storage."""
        with self._lock:
            waiting = {row.id for row in self._suspects}
        unfinished = self._unfinished()
        orphans = [
            row for row in unfinished if row.id not in waiting and not self._runner.knows(row.id)
        ]
        self._adopt([row for row in orphans if row.id in self._orphans])
        self._orphans = {row.id for row in orphans}
        if self._runner.shared:
            self._look_after(unfinished)

    def cancel_unwatched(self) -> None:
        """Cancel the jobs whose last viewer left longer ago than their grace."""
        now = self._clock()
        with self._lock:
            due = [(job, *known) for job, known in self._watched.items() if known[2] <= now]
        for job, known_s, accepted_at, _ in due:
            grace_s = known_s
            row = self._storage.index.get(job)
            if row is None or row.closed:
                with self._lock:
                    self._watched.pop(job, None)
                continue
            origin = row.options.get("origin") or {}
            if row.status == "waiting_for_input" and origin.get("asks_by_ending"):
                grace_s = max(grace_s, ANSWER_S)
            absent_s = self._storage.viewers.absent_s(job)
            if absent_s == math.inf:  # none has come, or none that is known of
                absent_s = max(0.0, now - accepted_at)
            with self._lock:
                look_at = now + min(known_s, max(0.0, grace_s - absent_s))
                self._watched[job] = (known_s, accepted_at, look_at)
            if absent_s > grace_s and row.status != "cancelling":
                self._cancel(row, "nobody watches it any more")

    def try_suspects(self) -> None:
        """Jobs that may have killed their worker run one after the other: so it shows which."""
        if self._on_trial is not None:
            tried, since = self._on_trial
            running = self._runner.knows(tried.id)
            if running and not self._has_begun(tried):
                self._on_trial = (tried, self._clock())  # it waits for its turn
                return
            if running and self._clock() - since < TRIAL_S:
                return
            self._on_trial = None
            if running:
                self._acquit(tried)
        with self._lock:
            row = self._suspects.pop(0) if self._suspects else None
        if row is not None:
            self._on_trial = (row, self._clock())
            self._runner.enqueue(row.id, cooperative=self._is_cooperative(row), on_trial=True)

    def release(self, job: str) -> bool:
        """Whether the job waited for its trial; it does no longer."""
        with self._lock:
            before = len(self._suspects)
            self._suspects = [row for row in self._suspects if row.id != job]
            return len(self._suspects) < before

    def _stand_down(self) -> None:
        """Another process keeps the jobs of all: what is known here will be out of date.

        Not what is watched: who accepted a job knows of it at once, and goes on looking.
        """
        self._orphans, self._cancelling, self._on_trial = set(), {}, None
        self._has_looked = False
        with self._lock:
            self._suspects = []

    def _adopt(self, rows: Collection[JobRow]) -> None:
        """Run jobs from their last checkpoints; those that may have killed a worker, by turns."""
        if rows:
            logger.warning("taking up %d jobs that were under way", len(rows))
        suspects = []
        for row in rows:
            self.watch(row, taken_up=True)
            needs_turns = row.attempt and not self._runner.isolates
            lost, trials = self._snapshots.look(row.id, _lost) if needs_turns else (0, 0)
            if lost >= SUSPICIOUS:
                suspects.append((trials, row))
            else:
                self._runner.enqueue(row.id, cooperative=self._is_cooperative(row))
        # Who died on trial before goes first, then the newest: the others went on for a while.
        suspects.sort(key=lambda each: (each[0], each[1].id), reverse=True)
        with self._lock:
            self._suspects += [row for _, row in suspects]

    def _look_after(self, unfinished: Collection[JobRow]) -> None:
        """What only the process that accepted a job, or its worker, would know else."""
        for row in unfinished:
            self.watch(row, taken_up=not self._has_looked)
        self._has_looked = True
        now = self._clock()
        stopping = {row.id for row in unfinished if row.status == "cancelling"}
        self._cancelling = {job: self._cancelling.get(job, now) for job in stopping}
        for job, since in self._cancelling.items():
            if now - since > STOP_S or not self._runner.knows(job):
                self._end_cancelled(job)

    def _end_cancelled(self, job: str) -> None:
        """The end of a cancelled job whose worker does not give it: it is gone, or hangs."""
        ended = make.job_cancelled(None, None)
        with contextlib.suppress(LogRefusal, NotFound):  # it has just ended
            self._storage.log.append(
                job, [ended], expect={"status": ("cancelling",)}, patient=False
            )

    def _acquit(self, row: JobRow) -> None:
        message = "it is not this job that its worker died of"
        acquitted = make.log(message, level="debug", acquitted=True)
        with contextlib.suppress(LogRefusal, NotFound):  # it has just ended
            self._storage.log.append(row.id, [acquitted], patient=False)

    def _has_begun(self, tried: JobRow) -> bool:
        row = self._storage.index.get(tried.id)
        return row is None or row.attempt > tried.attempt or row.closed

    def _is_cooperative(self, row: JobRow) -> bool:
        task = self._tasks.find(row.task)
        return task is not None and task.cooperative

    def _unfinished(self) -> Collection[JobRow]:
        """All jobs that go on, the oldest first."""
        rows: list[JobRow] = []
        before = None
        while page := self._storage.index.list(statuses=UNFINISHED, before=before, limit=1000):
            rows += page
            before = page[-1].id
        return rows[::-1]


def _lost(state: Snapshot) -> tuple[int, int]:
    """Attempts that were lost in a row, and how many of them on trial."""
    return state.recovery.lost_attempts, state.recovery.lost_trials
