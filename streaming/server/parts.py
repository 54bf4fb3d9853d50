"""The parts of one server, built from the bottom up, each with what it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streaming.concurrency.loop import has_event_loop
from streaming.concurrency.periodic import Periodic
from streaming.config import Settings, signing_keys
from streaming.events.observer import Observer
from streaming.jobs.receivers import Receivers
from streaming.jobs.registry import JobRegistry
from streaming.jobs.repair import Mending
from streaming.jobs.retention import Retention
from streaming.jobs.signing import signing_key
from streaming.jobs.webhooks import Webhooks
from streaming.llm.base import Model
from streaming.running.dependencies import Dependencies
from streaming.running.runner import Runner
from streaming.running.task import TaskRegistry
from streaming.server.hosting import look_after_submits, make_local_runner
from streaming.server.load import LoadMeter, Readings
from streaming.server.observer import ServerObserver
from streaming.server.process import ServingProcess
from streaming.storage.base import Storage
from streaming.storage.snapshots import Snapshots
from streaming.watching.channels import Channels
from streaming.watching.pressure import Pressure
from streaming.watching.server_end import ServerEnd
from streaming.watching.streams import Streams
from streaming.watching.traffic import Traffic
from streaming.watching.writer import StreamWriter
from streaming.web.deadlines import Deadlines
from streaming.web.metrics import Metrics, telling

if TYPE_CHECKING:  # loaded where there is a Redis
    from streaming.running.queue import JobQueue

#: Seconds between checks whether storage has gone away or come back.
LOOK_S = 0.5
#: Seconds for which Redis may owe an answer before a request is told that it is away. Workers give
#: it longer: for them it is better to wait than to leave a job to another attempt.
SILENCE_S = 2.0


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that serves one log in this process, for all apps on it."""

    storage: Storage
    snapshots: Snapshots
    tasks: TaskRegistry
    runner: Runner
    registry: JobRegistry
    streams: Streams
    pressure: Pressure
    deadlines: Deadlines
    metrics: Metrics
    webhooks: Webhooks
    #: Periodic work that belongs to none of the others.
    loops: Sequence[Periodic]

    def start(self) -> None:
        """Start everything, and take up unfinished jobs. An error stops what was started."""
        try:
            self.runner.start()
            self.registry.start()
            self.streams.start()
            self.webhooks.start()
            for loop in self.loops:
                loop.start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End every thread, the log's last: the others use it."""
        self.webhooks.stop()
        for loop in self.loops:
            loop.stop()
        self.streams.stop()
        self.registry.stop()
        self.runner.close()
        self.storage.close()

    def dead(self) -> list[str]:
        """Names of threads that have died: only a new process helps."""
        loops = (*self.loops, self.registry.supervisor.loop, self.webhooks.loop)
        dead = [loop.name for loop in loops if loop.dead]
        if self.streams.server.hangups.dead:
            dead.append("hangups")
        return [*dead, *self.runner.dead(), *self.storage.dead()]


def build(
    settings: Settings,
    storage: Storage,
    tasks: TaskRegistry,
    *,
    model: Model,
    base_url: str,
    process: ServingProcess,
    around: Callable[[str], AbstractContextManager[object]],
    served_elsewhere: Runner | None = None,
) -> Parts:
    """The parts around an open storage, not yet started.

    `served_elsewhere` passes jobs to the serving process, where this one only runs tasks.
    """
    metrics, pressure = Metrics(), Pressure()
    observer = ServerObserver(metrics, log_streams=settings.log_requests)
    snapshots, readings = Snapshots(storage.log, storage.index), Readings()
    dependencies = make_dependencies(
        settings, storage, snapshots, tasks,
        model=model, base_url=base_url, figures=readings.figures, level=pressure.at,
        observer=observer, around=around,
    )  # fmt: skip
    runner = served_elsewhere or make_runner(settings, storage, dependencies, process=process)
    receivers = Receivers(settings.webhook_hosts)
    registry = make_registry(
        settings, storage, snapshots, tasks, runner, overloaded=pressure.at_top, receivers=receivers
    )
    look_after_submits(runner, registry)
    streams = make_streams(settings, storage, pressure=pressure, observer=observer)
    deadlines = Deadlines()
    meter = LoadMeter(
        pressure,
        storage=storage,
        runner=runner,
        streams=streams,
        queue=settings.queue,
        readings=readings,
    )
    retention = make_retention(settings, storage, snapshots, registry)
    secret = settings.webhook_secret.get_secret_value()
    webhooks = Webhooks(storage, receivers, lambda: signing_keys(secret) or [signing_key(storage)])
    loops = [meter.loop, retention.loop, deadlines.loop, storage_watch(storage, streams)]
    loops += telling(metrics, streams)
    if storage.mender is not None:
        loops.append(Mending(storage, snapshots).loop)
    return Parts(
        storage=storage,
        snapshots=snapshots,
        tasks=tasks,
        runner=runner,
        registry=registry,
        streams=streams,
        pressure=pressure,
        deadlines=deadlines,
        metrics=metrics,
        webhooks=webhooks,
        loops=loops,
    )


def make_dependencies(
    settings: Settings,
    storage: Storage,
    snapshots: Snapshots,
    tasks: TaskRegistry,
    *,
    model: Model,
    base_url: str,
    around: Callable[[str], AbstractContextManager[object]],
    figures: Callable[[], dict[str, tuple[float, str]]] = dict,
    level: Callable[[], int] = lambda: 0,
    observer: Observer | None = None,
    ended: Callable[[str, str, float], object] | None = None,
) -> Dependencies:
    """What attempts of this process work with; `ended`, or the observer, is called at each end."""
    return Dependencies(
        storage=storage,
        snapshots=snapshots,
        tasks=tasks,
        model=model,
        max_event_bytes=settings.max_event_bytes,
        max_job_events=settings.max_job_events,
        max_job_bytes=settings.max_job_bytes,
        base_url=base_url,
        figures=figures,
        level=level,
        ended=ended or (observer or Observer()).job_ended,
        around=around,
    )


def make_runner(
    settings: Settings, storage: Storage, dependencies: Dependencies, *, process: ServingProcess
) -> Runner:
    """The runner of jobs submitted here: in this process, or in workers on Redis."""
    if settings.shared:
        queue = make_queue(settings, silence_s=SILENCE_S)
        return make_shared_runner(settings, storage, queue)
    return make_local_runner(
        settings, dependencies, app_uri=process.app_uri, succeeded=process.succeeded
    )


def make_shared_runner(settings: Settings, storage: Storage, queue: JobQueue) -> Runner:
    """The runner that passes jobs submitted here to the shared workers."""
    from streaming.running.queue import DramatiqRunner

    return DramatiqRunner(queue, storage, limit=settings.queue)


def make_queue(settings: Settings, *, silence_s: float | None = None) -> JobQueue:
    """The queue of jobs in Redis, not yet started.

    `silence_s`: of a Redis that owes an answer, after which who waits is told that it is away.
    """
    from streaming.running.queue import JobQueue
    from streaming.storage.redis.connection import Server as RedisServer

    redis = RedisServer(settings.queue_url, verify=settings.redis_verify)
    return JobQueue(redis, timeout_s=settings.worker_timeout_s, silence_s=silence_s)


def make_registry(
    settings: Settings,
    storage: Storage,
    snapshots: Snapshots,
    tasks: TaskRegistry,
    runner: Runner,
    *,
    overloaded: Callable[[], bool],
    receivers: Receivers,
) -> JobRegistry:
    """The registry, by which the log's jobs are submitted, found, cancelled and answered."""
    return JobRegistry(
        storage=storage,
        snapshots=snapshots,
        tasks=tasks,
        runner=runner,
        retention_s=settings.retention_s,
        max_event_bytes=settings.max_event_bytes,
        owner_jobs=settings.owner_jobs,
        overloaded=overloaded,
        receivers=receivers,
    )


def make_retention(
    settings: Settings, storage: Storage, snapshots: Snapshots, registry: JobRegistry
) -> Retention:
    """Removes jobs that are too old, and trims logs that are too long."""
    return Retention(
        storage,
        snapshots,
        forget=registry.expire,
        retention_s=settings.retention_s,
        events=settings.retention_events,
        size=settings.retention_bytes,
    )


def make_streams(
    settings: Settings, storage: Storage, *, pressure: Pressure, observer: Observer
) -> Streams:
    """The open streams, and under gevent the writer that sends to all of them."""
    traffic, channels = Traffic(observer), None
    if has_event_loop() and settings.direct_writes:
        channels = Channels(
            StreamWriter(
                storage.log, traffic, write_events=settings.events_per_write, level=pressure.at
            )
        )
    server = ServerEnd(
        storage,
        heartbeat_s=settings.heartbeat_s,
        rotate_s=settings.rotate_s,
        pressure=pressure,
        traffic=traffic,
        channels=channels,
        observer=observer,
    )
    return Streams(server, limit=settings.max_streams or 1, owner_limit=settings.owner_streams)


def storage_watch(storage: Storage, streams: Streams) -> Periodic:
    """Lets streams report to their clients when storage goes away, and when it is back."""
    away = [False]

    def look() -> None:
        before, away[0] = away[0], storage.fault() is not None
        if away[0] != before:
            streams.wake()

    return Periodic(look, every_s=LOOK_S, name="storage-watcher")
