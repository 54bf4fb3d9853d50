"""Jobs on any number of machines: Dramatiq carries their ids, the log says everything else.

A message is acknowledged when its attempt is over. The messages of a dead worker go to another;
should two workers run the same job after all, the log refuses the older attempt.
"""

from __future__ import annotations

import logging
import random
import uuid
from collections import deque
from collections.abc import Callable

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from streaming.concurrency.locks import Latch
from streaming.concurrency.platform import native_lock
from streaming.concurrency.threads import Thread
from streaming.concurrency.waking import Waker, make_waker
from streaming.errors import Stop, TooMany, Unavailable
from streaming.running.fleet import Fleet
from streaming.running.runner import Load, Runner
from streaming.storage.base import Storage
from streaming.storage.redis.connection import Server, disconnect
from streaming.storage.redis.link import Link

logger = logging.getLogger(__name__)

#: Prefix of Dramatiq's keys, and the name of its one queue.
NAMESPACE, QUEUE = "streaming-queue", "jobs"
#: The name of the one actor.
RUN = "run_job"
#: Key of the workers' reports, beside Dramatiq's keys.
WORKERS = f"{NAMESPACE}:workers"
#: Dramatiq looks for dead workers at this many of a million commands: at each, so that their
#: jobs wait no longer than the time-out.
MAINTENANCE = 1_000_000
#: Maximum milliseconds after which an idle worker looks for jobs again.
IDLE_MS = 200
#: Milliseconds to end Dramatiq's threads, when the jobs have ended.
STOP_MS = 2000
#: Seconds that a submission waits until its job is in the queue.
SENT_S = 1.0
#: Maximum age in seconds of a view of the queue: a list of jobs asks once for each job.
POSITION_S = 0.005
#: Maximum seconds that a look at the load waits for Redis.
LOOK_S = 1.0
#: Seconds between tries to queue a job while Redis is away.
RETRY_S = 0.5


class JobQueue:
    """The queue and its fleet of workers. Every process has one; only workers take from it."""

    def __init__(self, server: Server, *, timeout_s: float, silence_s: float | None = None) -> None:
        """`silence_s`: of a Redis that owes an answer, after which it is away for who waits."""
        #: Seconds of silence after which a worker is gone.
        self.timeout_s = timeout_s
        self._link = Link(server, name="queue-link", silence_s=silence_s)
        self.fleet = Fleet(
            self._link, queue=f"{NAMESPACE}:{QUEUE}", workers=WORKERS, timeout_s=timeout_s
        )
        self.broker = RedisBroker(  # type: ignore[no-untyped-call]
            client=server.shared(),
            namespace=NAMESPACE,
            heartbeat_timeout=int(timeout_s * 1000),
            maintenance_chance=MAINTENANCE,
            middleware=[],  # time limits and retries are ours already
        )
        self.broker.declare_queue(QUEUE)
        self._lock = native_lock()
        #: Jobs to be queued, each with the latch that opens when it is.
        self._unsent: deque[tuple[str, Latch]] = deque()
        self._idle: Waker | None = None
        self._stopping = False
        self._thread = Thread(self._work, name="job-sender")

    def start(self) -> None:
        self._link.start()
        self._thread.start()

    def stop(self) -> None:
        """Queue what was put; if Redis is away, the supervisor finds those jobs later."""
        self._stopping = True
        self._ring()
        self._thread.join(timeout=10)
        self._link.stop()

    def dead(self) -> list[str]:
        """Threads of its own that have ended by themselves."""
        return [each.name for each in (self._link, self._thread) if each.dead]

    def put(self, job: str) -> Latch:
        """Queue the job as soon as Redis answers; returns at once.

        The latch that it returns opens when the job is in the queue.
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
        """Whether a job is about to be queued."""
        with self._lock:
            return any(job == each for each, _ in self._unsent)

    def _ring(self) -> None:
        if self._idle is not None:
            self._idle.wake()

    def _work(self) -> None:
        self._idle = make_waker()
        try:
            self._serve(self._idle)
        finally:
            # Here: under gevent a connection belongs to the thread that has made it.
            disconnect(self.broker.client)

    def _serve(self, idle: Waker) -> None:
        while self._unsent or not self._stopping:
            if not self._unsent:
                idle.wait(1.0)
                continue
            job, sent = self._unsent[0]
            try:
                self._send(job)
            except Exception as error:  # whatever the driver raises, the job must be queued
                logger.warning("queueing job %s has to wait", job, exc_info=error)
                if self._stopping:
                    return
                idle.wait(RETRY_S)
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


class Consumer:
    """Takes messages from the queue and gives their jobs to `run`, several at a time."""

    def __init__(self, queue: JobQueue, run: Callable[..., None], *, threads: int) -> None:
        """`run` is called with a job's id and the rest of its message, in one of the threads.

        The message is acknowledged when it returns; it must not raise.
        """
        actor: dramatiq.Actor[..., None] = dramatiq.Actor(
            run, broker=queue.broker, actor_name=RUN, queue_name=QUEUE, priority=0, options={}
        )
        queue.broker.declare_actor(actor)
        self._worker = dramatiq.Worker(queue.broker, worker_threads=threads, worker_timeout=IDLE_MS)
        # No job waits here behind another while a worker elsewhere is idle.
        self._worker.queue_prefetch = threads

    def start(self) -> None:
        self._worker.start()

    def pause(self) -> None:
        """Take no more messages."""
        for consumer in self._worker.consumers.values():
            consumer.pause()

    def stop(self) -> None:
        """End the threads; messages taken but not begun go back into the queue."""
        self._worker.stop(timeout=STOP_MS)


class DramatiqRunner(Runner):
    """The web process's side: queues jobs for the fleet, within one limit for all processes."""

    shared = True
    isolates = True

    def __init__(self, queue: JobQueue, storage: Storage, *, limit: int) -> None:
        self._queue = queue
        self._storage = storage
        self._limit = limit
        self._lock = native_lock()
        #: Places that were reserved, and whose jobs are not queued yet.
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
        on_trial: bool = False,  # noqa: ARG002 - workers look by themselves
    ) -> None:
        sent = self._queue.put(job)
        if reserved:
            # So that whoever learns of the job finds its place in the queue.
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
            place = self._queue.fleet.view(age_s=POSITION_S).waiting.get(job)
            if place is None:  # it may have come to the queue since
                place = self._queue.fleet.view(age_s=0).waiting.get(job)
            return place
        except Unavailable:  # without its place, the rest of the job can still be shown
            return None

    def load(self) -> Load:
        unsent = self._queue.unsent
        try:
            view = self._queue.fleet.view(within_s=LOOK_S)
        except Unavailable as error:
            return Load(running=0, queued=unsent, stuck=0, threads=0, unknown=error.detail)
        return Load(
            running=len(view.running),
            queued=len(view.waiting) + unsent,
            stuck=sum(worker.stuck for worker in view.workers),
            threads=view.threads,
            hosts=view.hosts,
        )

    def drain(self, *, finish_s: float, unwind_s: float) -> None:
        """No job runs here, and what is still submitted here is run elsewhere."""

    def close(self) -> None:
        self._queue.stop()

    def dead(self) -> list[str]:
        return self._queue.dead()
