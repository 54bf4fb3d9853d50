"""The worker's side of the queue: takes jobs, has them run, acknowledges those that are over."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable

from streaming.concurrency.locks import Latch
from streaming.concurrency.periodic import Periodic
from streaming.concurrency.platform import native_lock
from streaming.errors import StreamingError, Unavailable
from streaming.events.recovery import SUSPICIOUS
from streaming.running.attempt import worker_name
from streaming.running.fleet import GATHER_S, TELL_S, Worker
from streaming.running.queue import Consumer, JobQueue
from streaming.running.stops import StopWatch
from streaming.running.threads import Running, ThreadRunner
from streaming.storage.base import Storage
from streaming.storage.rows import JobRow
from streaming.storage.snapshots import Snapshots

logger = logging.getLogger(__name__)

#: Seconds between checks whether another worker still has a job.
LOOK_S = 0.25


class JobWorker:
    """Owns the worker's threads. A message says only that a job waits; its log says the rest."""

    def __init__(
        self,
        queue: JobQueue,
        storage: Storage,
        snapshots: Snapshots,
        make_runner: Callable[[Callable[[Running], object]], ThreadRunner],
        *,
        threads: int,
    ) -> None:
        """`make_runner` is given the callback for attempts that are over."""
        self._queue = queue
        self._storage = storage
        self._snapshots = snapshots
        self._threads = threads
        self.name = f"{worker_name()}:{uuid.uuid4().hex[:6]}"
        self._runner = make_runner(self._ended)
        self._stops = StopWatch(storage.log, self._runner)
        self._lock = native_lock()
        #: Jobs that run here; each is acknowledged when its latch opens.
        self._running: dict[str, Latch] = {}
        #: Jobs whose message is here, but which have not begun.
        self._taken: set[str] = set()
        self._draining = Latch()
        self._herald = Periodic(
            self._tell, every_s=TELL_S, gather_s=GATHER_S, at_once=True, name="worker-herald"
        )
        self._consumer = Consumer(queue, self._run, threads=threads)

    def start(self) -> None:
        self._queue.start()
        self._runner.start()
        self._stops.start()
        self._herald.start()
        self._consumer.start()

    def drain(self, *, finish_s: float, unwind_s: float) -> None:
        """Take no more; let jobs finish for `finish_s`, then hand over what still runs."""
        self._consumer.pause()
        self._draining.open()
        self._runner.drain(finish_s=finish_s, unwind_s=unwind_s)
        with self._lock:
            still = list(self._running.values())
        for latch in still:  # stuck ones are left to the time-out
            latch.open()
        self._consumer.stop()
        self._stops.stop()
        self._runner.close()
        self._herald.stop()
        self._sign_off()
        self._queue.stop()

    def jobs(self) -> frozenset[str]:
        """The jobs that run here."""
        with self._lock:
            return frozenset(self._running)

    def _run(self, job: str, **_newer: object) -> None:
        """Handle one message: run an attempt, if one is due.

        Unknown members, of newer or older programs, are ignored.
        """
        try:
            if self._draining.is_open:
                self._queue.put(job)
            elif self._find(job) and (ended := self._take(job)):
                self._run_taken(job, ended)
        except StreamingError as error:
            logger.warning("job %s is left to a later attempt: %s", job, error.detail)
        except Exception:  # else Dramatiq would make it a dead letter
            logger.exception("running job %s failed", job)

    def _find(self, job: str) -> JobRow | None:
        """The row of a job that has not ended."""
        row = self._storage.index.get(job)
        return None if row is None or row.closed or row.expired else row

    def _take(self, job: str) -> Latch | None:
        """The latch that opens when the job has run here; None if another worker has the job."""
        with self._lock:
            if job in self._running or job in self._taken:  # a second message for the same job
                return None
            self._taken.add(job)
        self._ring()
        ended = None
        try:
            if not self._is_elsewhere(job):
                ended = Latch()
        finally:
            with self._lock:
                self._taken.discard(job)
                if ended is not None:
                    self._running[job] = ended
        self._ring()
        return ended

    def _run_taken(self, job: str, ended: Latch) -> None:
        """Run the job; on trial, if it may have killed its last workers."""
        try:
            row = self._find(job)
            if row is None:
                return
            lost = self._snapshots.look(job, lambda state: state.recovery.lost_attempts)
            on_trial = row.attempt > 0 and lost >= SUSPICIOUS
            if on_trial:
                logger.warning("job %s has lost %d workers: it runs apart", job, SUSPICIOUS)
            self._stops.begin(job, row.seq)
            self._runner.enqueue(job, cooperative=False, on_trial=on_trial)
            ended.wait()
        finally:
            self._release(job, ended)

    def _is_elsewhere(self, job: str) -> bool:
        """Whether another worker has the job and keeps reporting so: this message is a duplicate.

        A dead worker seems to keep its jobs for a while; this waits until that is over.
        """
        until = time.monotonic() + self._queue.timeout_s + 2 * TELL_S
        while any(
            job in worker.jobs and worker.name != self.name
            for worker in self._queue.fleet.view().workers
        ):
            if time.monotonic() > until:
                return True
            if self._draining.wait(LOOK_S):
                self._queue.put(job)
                return True
        return False

    def _ended(self, attempt: Running) -> None:
        with self._lock:
            ended = self._running.get(attempt.job)
        if ended is not None:
            self._release(attempt.job, ended)
        if attempt.left:  # not before: while it runs here, another message for it is a duplicate
            self._queue.put(attempt.job)

    def _release(self, job: str, ended: Latch) -> None:
        """Forget a job that has run, unless another message has started it anew."""
        with self._lock:
            if self._running.get(job) is ended:
                del self._running[job]
        self._stops.end(job)
        self._ring()
        ended.open()

    def _ring(self) -> None:
        """Have the herald report what has changed."""
        self._herald.wake()

    def _tell(self) -> None:
        """Report to the fleet what runs here."""
        threads = 0 if self._draining.is_open else self._threads
        with self._lock:
            taken = frozenset(self._taken)
        load = self._runner.load()
        self._queue.fleet.tell(
            Worker(self.name, threads, self.jobs(), taken, load.stuck, load.hosts)
        )

    def _sign_off(self) -> None:
        try:
            self._queue.fleet.sign_off(self.name)
        except Unavailable as error:  # its silence will show it
            logger.debug("the fleet is not told that this worker leaves: %s", error.detail)
