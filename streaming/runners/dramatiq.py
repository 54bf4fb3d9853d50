"""Jobs on any number of machines: Dramatiq carries their ids, the log says everything else.

A message is acknowledged when its attempt is over. That of a worker that has died goes to
another; should two run the same job after all, the log refuses the older attempt.
"""

from __future__ import annotations

import contextlib
import logging
import random
import time
import uuid
from collections import deque
from collections.abc import Callable

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from streaming.concurrency import Latch, Thread, Waker, make_waker, native_lock
from streaming.errors import (
    LogRefusal,
    NotFound,
    Stop,
    StreamingError,
    TooMany,
    Unavailable,
)
from streaming.events import Draft
from streaming.runners.attempt import Attempt, worker_name
from streaming.runners.base import Load, Runner
from streaming.runners.cells import Cells
from streaming.runners.fleet import GATHER_S, TELL_S, Fleet, Worker
from streaming.runners.stops import StopWatch
from streaming.runners.threads import ThreadRunner
from streaming.snapshot import SUSPICIOUS, Snapshots
from streaming.storage.base import JobRow, Storage
from streaming.storage.redis.connection import Server
from streaming.storage.redis.link import Link

logger = logging.getLogger(__name__)

#: What Dramatiq's keys start with, and its one queue.
NAMESPACE, QUEUE = "streaming-queue", "jobs"
#: Where workers tell of themselves, beside Dramatiq's keys.
WORKERS = f"{NAMESPACE}:workers"
#: Dramatiq looks for dead workers at this many of a million commands: at each, so that their
#: jobs wait no longer than the time-out.
MAINTENANCE = 1_000_000
#: Milliseconds after which an idle worker looks for jobs again, at the most.
IDLE_MS = 200
#: Milliseconds to end Dramatiq's threads, when the jobs have ended.
STOP_MS = 2000
#: Seconds that a submission waits until its job is in the queue.
SENT_S = 1.0
#: Seconds that a view of the queue may be old: a list of jobs asks for each of them.
POSITION_S = 0.005
#: Seconds between looks whether another worker still has a job.
LOOK_S = 0.25
#: Seconds between tries to queue a job while Redis is away.
RETRY_S = 0.5


class JobQueue:
    """The queue, and the fleet behind it. Every process has one; workers take from it."""

    def __init__(self, server: Server, *, timeout_s: float) -> None:
        #: Seconds of silence after which a worker is gone.
        self.timeout_s = timeout_s
        self._link = Link(server, name="queue-link")
        self.fleet = Fleet(
            self._link, queue=f"{NAMESPACE}:{QUEUE}", workers=WORKERS, timeout_s=timeout_s
        )
        self.broker = RedisBroker(  # type: ignore[no-untyped-call]
            client=server.shared(),
            namespace=NAMESPACE,
            heartbeat_timeout=int(timeout_s * 1000),
            maintenance_chance=MAINTENANCE,
            middleware=[],  # its time limits and retries are ours already
        )
        self.broker.declare_queue(QUEUE)
        self._lock = native_lock()
        #: Jobs to be sent, and what opens when they are.
        self._unsent: deque[tuple[str, Latch]] = deque()
        self._idle: Waker | None = None
        self._stopping = False
        self._thread = Thread(self._work, name="job-sender")

    def start(self) -> None:
        self._link.start()
        self._thread.start()

    def stop(self) -> None:
        """Send what was put, unless Redis is away: then the keeper finds those jobs."""
        self._stopping = True
        self._ring()
        self._thread.join(timeout=2)
        self._link.stop()

    def put(self, job: str) -> Latch:
        """Have a worker run the job; returns at once, and sends it as soon as Redis is there.

        What it returns opens when the job is in the queue.
        """
        sent = Latch()
        with self._lock:
            self._unsent.append((job, sent))
        self._ring()
        return sent

    @property
    def unsent(self) -> int:
        return len(self._unsent)

    def has(self, job: str) -> bool:
        """Whether it is about to be sent."""
        with self._lock:
            return any(job == each for each, _ in self._unsent)

    def _ring(self) -> None:
        if self._idle is not None:
            self._idle.wake()

    def _work(self) -> None:
        self._idle = make_waker()
        while self._unsent or not self._stopping:
            if not self._unsent:
                self._idle.wait(1.0)
                continue
            job, sent = self._unsent[0]
            try:
                self._send(job)
            except Exception as error:  # whatever the driver raises, the job must be sent
                logger.warning("queueing job %s has to wait", job, exc_info=error)
                if self._stopping:
                    return
                self._idle.wait(RETRY_S)
                continue
            with self._lock:
                self._unsent.popleft()
            sent.open()

    def _send(self, job: str) -> None:
        # The queue shows the jobs that wait: an id begins with its job's.
        message_id = f"{job}:{uuid.uuid4().hex[:8]}"
        message = dramatiq.Message[None](
            queue_name=QUEUE,
            actor_name=RUN,
            args=(job,),
            kwargs={},
            options={"redis_message_id": message_id},
        )
        self.broker.do_enqueue(QUEUE, message_id, message.encode())


#: The name of the one actor.
RUN = "run_job"


class DramatiqRunner(Runner):
    """The web's side: queues jobs for the fleet, within one limit for all."""

    shared = True
    isolates = True

    def __init__(self, queue: JobQueue, storage: Storage, *, limit: int) -> None:
        self._queue = queue
        self._storage = storage
        self._limit = limit
        self._lock = native_lock()
        #: Places that were given and whose jobs are not queued yet.
        self._reserved = 0

    def start(self) -> None:
        self._queue.start()

    def reserve(self, *, cooperative: bool) -> int:  # noqa: ARG002 - workers know one kind
        view = self._queue.fleet.view(age_s=0)
        with self._lock:
            ahead = len(view.waiting) + self._reserved + self._queue.unsent
            position = max(0, ahead + len(view.running) + 1 - view.threads)
            if position and ahead >= self._limit:
                raise TooMany(
                    f"{ahead} jobs are waiting, the limit is {self._limit}; try again later",
                    code="queue_full",
                    retry_after_s=random.uniform(1, 5),
                )
            self._reserved += 1
        return position

    def release(self, *, cooperative: bool) -> None:  # noqa: ARG002
        with self._lock:
            self._reserved -= 1

    def enqueue(
        self,
        job: str,
        *,
        cooperative: bool,
        reserved: bool = False,
        on_trial: bool = False,  # noqa: ARG002 - workers have cells for suspects
    ) -> None:
        sent = self._queue.put(job)
        if reserved:
            # So that whoever is told of the job finds it in its place.
            sent.wait(SENT_S)
            self.release(cooperative=cooperative)

    def stop(self, job: str, reason: Stop) -> bool:  # noqa: ARG002 - its worker reads it in the log
        if self._queue.fleet.withdraw(job):
            return True
        row = self._storage.index.get(job)
        return row is not None and row.attempt == 0

    def knows(self, job: str) -> bool:
        return self._queue.fleet.view().has(job) or self._queue.has(job)

    def position(self, job: str) -> int | None:
        try:
            return self._queue.fleet.view(age_s=POSITION_S).waiting.get(job)
        except Unavailable:  # what else is known of the job is worth telling
            return None

    def load(self) -> Load:
        try:
            view = self._queue.fleet.view()
        except Unavailable:
            return Load(running=0, queued=self._queue.unsent, stuck=0, threads=0)
        return Load(
            running=len(view.running),
            queued=len(view.waiting) + self._queue.unsent,
            stuck=sum(worker.stuck for worker in view.workers),
            threads=view.threads,
        )

    def drain(self, *, finish_s: float, unwind_s: float) -> None:
        """No job runs here, and what is still submitted here is run elsewhere."""

    def close(self) -> None:
        self._queue.stop()


class JobWorker:
    """A worker's side: takes jobs from the queue and runs them in this process."""

    def __init__(
        self,
        queue: JobQueue,
        storage: Storage,
        snapshots: Snapshots,
        make_attempt: Callable[[str, bool], Attempt],
        *,
        threads: int,
        cells: Cells,
    ) -> None:
        self._queue = queue
        self._storage = storage
        self._cells = cells
        self._snapshots = snapshots
        self._threads = threads
        self.name = f"{worker_name()}:{uuid.uuid4().hex[:6]}"
        self._runner = ThreadRunner(
            make_attempt, threads=threads, greenlets=1, queue=threads, ended=self._ended
        )
        self._stops = StopWatch(storage.log, self._runner)
        self._lock = native_lock()
        #: Jobs that run here; each is acknowledged when its latch opens.
        self._running: dict[str, Latch] = {}
        #: Jobs whose message is here, and that have not begun.
        self._taken: set[str] = set()
        self._draining = Latch()
        self._left = Latch()
        #: Wakes the herald.
        self._news: Waker | None = None
        self._herald = Thread(self._tell, name="worker-herald")
        actor: dramatiq.Actor[..., None] = dramatiq.Actor(
            self._run, broker=queue.broker, actor_name=RUN, queue_name=QUEUE, priority=0, options={}
        )
        queue.broker.declare_actor(actor)
        self._dramatiq = dramatiq.Worker(
            queue.broker, worker_threads=threads, worker_timeout=IDLE_MS
        )
        # No job waits here behind another while a worker elsewhere is idle.
        self._dramatiq.queue_prefetch = threads

    def start(self) -> None:
        self._queue.start()
        self._runner.start()
        self._stops.start()
        self._herald.start()
        self._dramatiq.start()

    def drain(self, *, finish_s: float, unwind_s: float) -> None:
        """Take no more; let jobs finish for `finish_s`, then hand over what still runs."""
        for consumer in self._dramatiq.consumers.values():
            consumer.pause()
        self._draining.open()
        self._cells.leave()
        until = time.monotonic() + finish_s + unwind_s
        self._runner.drain(finish_s=finish_s, unwind_s=unwind_s)
        self._cells.kill(after_s=until - time.monotonic())
        with self._lock:
            still = list(self._running.values())
        for latch in still:  # stuck ones are left to the time-out
            latch.open()
        self._dramatiq.stop(timeout=STOP_MS)
        self._left.open()
        self._ring()
        self._herald.join(timeout=2)
        self._queue.stop()

    def jobs(self) -> frozenset[str]:
        """The jobs that run here."""
        with self._lock:
            return frozenset(self._running)

    def _run(self, job: str, **_newer: object) -> None:
        """One message: an attempt, or nothing where there is nothing to do.

        What a newer or older program says besides is left alone.
        """
        try:
            if self._draining.is_open:
                self._queue.put(job)
            elif self._find(job) and self._take(job):
                self._run_taken(job)
        except StreamingError as error:
            logger.warning("job %s is left to a later attempt: %s", job, error.detail)
        except Exception:  # else Dramatiq would put it away as a dead letter
            logger.exception("running job %s failed", job)

    def _find(self, job: str) -> JobRow | None:
        """The row of a job that goes on."""
        row = self._storage.index.get(job)
        return None if row is None or row.closed or row.expired else row

    def _take(self, job: str) -> bool:
        """Whether the job is to run here: nobody else has it, as far as they tell."""
        with self._lock:
            if job in self._running or job in self._taken:  # a second message for the same job
                return False
            self._taken.add(job)
        self._ring()
        try:
            elsewhere = self._is_elsewhere(job)
        finally:
            with self._lock:
                self._taken.discard(job)
        if not elsewhere:
            with self._lock:
                self._running[job] = Latch()
            self._ring()
        return not elsewhere

    def _run_taken(self, job: str) -> None:
        """Run it here; or in a cell, if it may be what its last workers died of."""
        ended = self._running[job]
        try:
            row = self._find(job)
            if row is None:
                return
            if row.attempt and self._snapshots.state(job).lost_attempts >= SUSPICIOUS:
                self._run_apart(row)
                return
            self._stops.begin(job, row.seq)
            self._runner.enqueue(job, cooperative=False)
            ended.wait()
        finally:
            self._release(job)

    def _run_apart(self, row: JobRow) -> None:
        """An attempt in a process of its own; when that dies, it is this job that it died of."""
        logger.warning("job %s has lost %d workers: it runs in a cell", row.id, SUSPICIOUS)
        code = self._cells.run(row.id)
        left = self._find(row.id)
        if left is None:
            return
        if code:
            self._blame(left, code, since=row.attempt)
        self._queue.put(row.id)

    def _blame(self, row: JobRow, code: int, *, since: int) -> None:
        """Say that the process of a job that ran alone has died, unless it goes on elsewhere."""
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        logger.error("the process in which job %s ran alone has died: %s", row.id, how)
        said = {"level": "error", "message": f"its process died ({how})", "lost_alone": True}
        with contextlib.suppress(LogRefusal, NotFound):
            self._storage.log.append(
                row.id, [Draft("log", said)], expect={"attempt": [since, since + 1]}
            )

    def _is_elsewhere(self, job: str) -> bool:
        """Whether another worker has it, and goes on telling so: this message is one too many.

        A worker that has died still seems to have its jobs for a while: that is waited for.
        """
        until = time.monotonic() + self._queue.timeout_s + 2 * TELL_S
        while any(
            job in worker.jobs and worker.name != self.name
            for worker in self._queue.fleet.view().workers
        ):
            if time.monotonic() > until or self._draining.wait(LOOK_S):
                return True
        return False

    def _ended(self, attempt: Attempt) -> None:
        if attempt.left:
            self._queue.put(attempt.job)
        self._release(attempt.job)

    def _release(self, job: str) -> None:
        with self._lock:
            ended = self._running.pop(job, None)
        self._ring()
        if ended is not None:
            ended.open()

    def _ring(self) -> None:
        if self._news is not None:
            self._news.wake()

    def _tell(self) -> None:
        """Tell the fleet what runs here, until this worker has left."""
        self._news = make_waker()
        while not self._left.is_open:
            threads = 0 if self._draining.is_open else self._threads
            stuck = self._runner.load().stuck
            try:
                with self._lock:
                    taken = frozenset(self._taken)
                self._queue.fleet.tell(Worker(self.name, threads, self.jobs(), taken, stuck))
            except Unavailable as error:
                logger.debug("the fleet is told later: %s", error.detail)
            except Exception:  # whatever it was, the next telling must come
                logger.exception("telling the fleet failed")
            self._left.wait(GATHER_S)
            self._news.wait(TELL_S)
        try:
            self._queue.fleet.sign_off(self.name)
        except Unavailable:
            return
