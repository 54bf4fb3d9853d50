"""The workers of all machines, and their queue: which worker runs what, and what waits where."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass

import msgspec

from streaming.concurrency.platform import native_lock
from streaming.errors import Unavailable
from streaming.running.runner import HostFigures
from streaming.storage.base import Storage
from streaming.storage.redis.link import Link

#: Seconds between a worker's reports when nothing changes, and for which changes are collected.
TELL_S, GATHER_S = 1.0, 0.05
#: Maximum age in seconds of a view of the fleet that need not be exact.
VIEW_S = 0.5


@dataclass(frozen=True, slots=True)
class Worker:
    """What a worker has reported of itself."""

    name: str
    #: Jobs at once.
    threads: int
    #: Jobs that run there, and those that it has taken but not started.
    jobs: frozenset[str]
    taken: frozenset[str]
    #: Threads whose code has not stopped with its job.
    stuck: int
    #: Its task hosts, if it reports them.
    hosts: HostFigures | None = None


@dataclass(frozen=True, slots=True)
class View:
    """The fleet at one moment."""

    #: Place in the queue of each job that waits, from 1.
    waiting: Mapping[str, int]
    workers: Collection[Worker]

    @property
    def threads(self) -> int:
        return sum(worker.threads for worker in self.workers)

    @property
    def running(self) -> frozenset[str]:
        return frozenset[str]().union(*(worker.jobs for worker in self.workers))

    @property
    def hosts(self) -> HostFigures | None:
        """The task hosts of all workers."""
        return HostFigures.of_all([each.hosts for each in self.workers if each.hosts is not None])

    def has(self, job: str) -> bool:
        """Whether a job waits in the queue, or a worker has it."""
        return job in self.waiting or any(
            job in worker.jobs or job in worker.taken for worker in self.workers
        )


class Fleet:
    """Reads and writes the workers' reports. Times are those of the Redis server."""

    def __init__(
        self,
        link: Link,
        *,
        queue: str,
        workers: str,
        timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`queue` and `workers` are keys; a worker silent for `timeout_s` is gone.

        The queue's items are message ids that begin with their job's id and a colon.
        """
        self._link = link
        self._queue = queue
        self._workers = workers
        self._timeout_s = timeout_s
        self._clock = clock
        self._view = View({}, ())
        self._seen_at: float | None = None

    def view(self, *, age_s: float = VIEW_S, within_s: float | None = None) -> View:
        """The fleet as it was at most `age_s` ago. `Unavailable` when Redis is away.

        `within_s`: how long to wait for its answer.
        """
        now = self._clock()
        if self._seen_at is None or now - self._seen_at > age_s:
            self._view = self._look(within_s)
            self._seen_at = now
        return self._view

    def tell(self, worker: Worker) -> None:
        """Store a worker's report."""
        now = _seconds(self._link.call(("TIME",))[0])
        told = {
            "at": now,
            "threads": worker.threads,
            "jobs": sorted(worker.jobs),
            "taken": sorted(worker.taken),
            "stuck": worker.stuck,
            "hosts": None if worker.hosts is None else asdict(worker.hosts),
        }
        self._link.call(("HSET", self._workers, worker.name, json.dumps(told)))

    def sign_off(self, name: str) -> None:
        """Remove a worker that leaves."""
        self._link.call(("HDEL", self._workers, name))

    def withdraw(self, job: str) -> bool:
        """Take a job out of the queue; whether it was there."""
        [queue] = self._link.call(("LRANGE", self._queue, 0, -1))
        ids = [each for each in queue if each.startswith(f"{job}:".encode())]
        taken = self._link.call(*[("LREM", self._queue, 0, each) for each in ids])
        self._link.call(*[("HDEL", f"{self._queue}.msgs", each) for each in ids])
        return any(taken)

    def _look(self, within_s: float | None) -> View:
        clock, queue, workers = self._link.call(
            ("TIME",),
            ("LRANGE", self._queue, 0, -1),
            ("HGETALL", self._workers),
            within_s=within_s,
        )
        now = _seconds(clock)
        waiting = {
            message.decode().partition(":")[0]: place for place, message in enumerate(queue, 1)
        }
        found, gone = [], []
        for name, value in workers.items():
            told = json.loads(value)
            if now - told["at"] > self._timeout_s:
                gone.append(name)
                continue
            jobs, taken = frozenset(told["jobs"]), frozenset(told.get("taken", ()))
            hosts = msgspec.convert(told.get("hosts"), HostFigures | None)
            found.append(Worker(name.decode(), told["threads"], jobs, taken, told["stuck"], hosts))
        if gone:
            self._link.post(("HDEL", self._workers, *gone))
        return View(waiting, found)


class FleetFigures:
    """The deployment's figures as a worker knows them, for `monitor`: no streams, no event loop."""

    def __init__(
        self, fleet: Fleet, storage: Storage, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fleet = fleet
        self._storage = storage
        self._clock = clock
        self._lock = native_lock()
        #: When events were counted, how many there were, and how many a second before that.
        self._counted = (clock(), 0, 0.0)

    def look(self) -> dict[str, tuple[float, str]]:
        """Value and unit of jobs, queue, workers and log of all; of the events of this process.

        Empty while Redis is away.
        """
        try:
            view, size = self._fleet.view(), self._storage.size()
        except Unavailable:
            return {}
        hosts = {} if view.hosts is None else {"service_hosts": (view.hosts.ready, "1")}
        return {
            **hosts,
            "service_jobs": (len(view.running), "1"),
            "service_queue": (len(view.waiting), "1"),
            "service_workers": (len(view.workers), "1"),
            "service_events": (round(self._events_per_s(), 1), "1/s"),
            "service_log": (size, "B"),
        }

    def _events_per_s(self) -> float:
        """Since the previous count (perhaps for another monitor), at least half a second ago."""
        now, appended = self._clock(), self._storage.appended()
        with self._lock:
            at, before, rate = self._counted
            if now - at >= VIEW_S:
                rate = (appended - before) / (now - at)
                self._counted = (now, appended, rate)
            return rate


def _seconds(clock: tuple[int, int]) -> float:
    return int(clock[0]) + int(clock[1]) / 1e6
