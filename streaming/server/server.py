"""One server: its parts, how they start, and how they end."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from streaming.concurrency.locks import Latch, Mutex
from streaming.concurrency.loop import adopt_event_loop, has_event_loop, spawn_greenlet
from streaming.concurrency.threads import Thread
from streaming.concurrency.waking import make_waker
from streaming.config import Settings, durable_disk, signing_keys
from streaming.errors import InUse, InvalidSettings, Unavailable
from streaming.jobs.receivers import Receivers
from streaming.jobs.registry import JobRegistry
from streaming.jobs.repair import Mending
from streaming.jobs.retention import Retention
from streaming.jobs.webhooks import Webhooks, signing_key
from streaming.llm.base import Model
from streaming.running.attempt import Attempt, Shop
from streaming.running.task import TaskRegistry
from streaming.running.threads import ThreadRunner
from streaming.server.deployment import body_places
from streaming.server.load import LoadMeter
from streaming.storage import make_storage
from streaming.storage.base import Storage
from streaming.storage.snapshots import Snapshots
from streaming.watching.channel import StreamWriter
from streaming.watching.pressure import TOP, Pressure
from streaming.watching.stream import Streams
from streaming.watching.traffic import Traffic
from streaming.web.bodies import BodyPlaces
from streaming.web.deadlines import Deadlines
from streaming.web.keys import KeyRing
from streaming.web.metrics import Figures, Metrics
from streaming.web.rates import Rates
from streaming.web.request_log import stream_ended
from streaming.web.services import Services
from streaming.web.tickets import Tickets

if TYPE_CHECKING:  # loaded where there is a Redis
    from streaming.running.queue import DramatiqRunner, JobQueue

logger = logging.getLogger(__name__)

#: Seconds that a request waits for the storage that a predecessor still holds.
START_S = 30.0
#: Of the time to leave: how much of it jobs may use to finish, and to be unwound.
FINISH_SHARE, UNWIND_SHARE = 0.5, 0.2
#: Seconds for which a worker that leaves may still be given requests, at the most, and that the
#: last of them has to be answered.
LISTENER_S, LAST_REQUEST_S = 5.0, 0.2
#: Seconds between looks whether storage has gone or come back, and whether requests still come.
LOOK_S, LISTEN_LOOK_S = 0.5, 0.05


class Server:
    """Built when the app is made; started in the process that serves, once."""

    def __init__(
        self,
        settings: Settings,
        *,
        tasks: TaskRegistry,
        model: Model,
        base_url: str,
        around: Callable[[Storage, str], AbstractContextManager[object]],
    ) -> None:
        """`around` is entered round the code of a task, with the storage and the job's id."""
        self.settings = settings
        self.tasks = tasks
        self._around = around
        self._model = model
        self._base_url = base_url
        self._keys = KeyRing(settings)
        self._starting = Mutex()
        self._started = Latch()
        self._ended = Latch()
        self._services: Services | None = None
        self._webhooks: Webhooks | None = None
        #: Whether another process is about to take over: jobs may be stored for it.
        self.succeeded: Callable[[], bool] = lambda: False
        #: Whether this process still takes requests.
        self.listening: Callable[[], bool] = lambda: False

    @property
    def started(self) -> bool:
        return self._started.is_open

    @property
    def ended(self) -> bool:
        """Whether it was drained: it starts no more."""
        return self._ended.is_open

    def services(self) -> Services:
        """The parts, started; by the first who asks, where no server hook has done it."""
        if self._services is None:
            self.start(timeout=START_S)
        assert self._services is not None
        return self._services

    def start(self, *, timeout: float) -> None:
        """Open the storage, waiting for a predecessor's drain, and take up the jobs it left.

        `InvalidSettings` when another server holds the storage.
        """
        with self._starting:
            if self._services is not None:
                return
            if self._ended.is_open:
                raise Unavailable("the server has been stopped", code="draining")
            adopt_event_loop()
            self._check_needs()
            storage = make_storage(self.settings)
            storage.open(timeout=timeout)
            self._services = self._assemble(storage)
            self._started.open()
        if self.settings.sqlite_path is not None and not durable_disk():
            logger.warning(
                "this platform's disk does not outlast a restart: jobs are lost then; "
                "set %s, or STREAMING_VAR_DIR to a disk that lasts",
                self.settings.redis_name,
            )

    def start_or_wait(self) -> None:
        """Start now; or, when a predecessor in the same server still drains, as soon as it is gone.

        Requests wait meanwhile. `InUse` when another server holds the storage.
        """
        try:
            self.start(timeout=0)
        except InUse as error:
            if not error.by_predecessor:
                raise
            logger.info("waiting for the worker before this one to leave")
            if not spawn_greenlet(self._start_later):
                Thread(self._start_later, name="start").start()

    def drain(self) -> None:
        """End everything within STREAMING_DRAIN_S; returns when it is done. Once."""
        found = self._services
        if found is None or self._ended.is_open:
            self._ended.open()
            return
        total_s, began = self.settings.drain_s, time.monotonic()
        # 1. Streams are told first, so that their clients are on their way to another process.
        found.streams.drain()
        # 2. Jobs finish, or are handed over to their next attempt: they still need the log.
        found.registry.drain(finish_s=total_s * FINISH_SHARE, unwind_s=total_s * UNWIND_SHARE)
        # 3. What streams have still to send.
        found.streams.wait_until_closed(total_s * UNWIND_SHARE)
        # 4. Requests that the worker still accepts: jobs that they store are the successor's.
        self._outlast_listener(began)
        # 5. Calls of webhooks are the next process's; what has come of ours is stored.
        if self._webhooks is not None:
            self._webhooks.stop()
        # 6. The log last: a successor may open it now.
        found.runner.close()
        found.storage.close()
        self._ended.open()

    def wait_until_ended(self) -> None:
        """Wait for `drain`, which another thread runs."""
        self._ended.wait(self.settings.drain_s)

    def _outlast_listener(self, began: float) -> None:
        """gunicorn's gevent worker accepts for a second, or more, after it is told to leave."""
        if not (self.succeeded() or self.settings.shared):
            return
        waker, listened = make_waker(), False
        while self.listening() and time.monotonic() < began + LISTENER_S:
            listened = True
            waker.wait(LISTEN_LOOK_S)
        if listened:
            waker.wait(LAST_REQUEST_S)

    def _start_later(self) -> None:
        try:
            self.start(timeout=START_S)
        except InvalidSettings as error:
            logger.critical("cannot start: %s", error)
            os.kill(os.getpid(), signal.SIGTERM)

    def make_shop(
        self,
        storage: Storage,
        snapshots: Snapshots,
        *,
        figures: Callable[[], dict[str, tuple[float, str]]] = dict,
        level: Callable[[], int] = lambda: 0,
        ended: Callable[[str, str, float], object] = lambda *_: None,
    ) -> Shop:
        """What attempts work with, in this process."""
        return Shop(
            storage=storage,
            snapshots=snapshots,
            tasks=self.tasks,
            model=self._model,
            max_event_bytes=self.settings.max_event_bytes,
            max_job_events=self.settings.max_job_events,
            max_job_bytes=self.settings.max_job_bytes,
            base_url=self._base_url,
            figures=figures,
            level=level,
            ended=ended,
            around=lambda job: self._around(storage, job),
        )

    def _make_runner(
        self, storage: Storage, make_shop: Callable[[], Shop]
    ) -> ThreadRunner | DramatiqRunner:
        settings = self.settings
        if settings.shared:
            from streaming.running.queue import DramatiqRunner

            return DramatiqRunner(make_queue(settings), storage, limit=settings.queue)
        shop = make_shop()
        return ThreadRunner(
            lambda job, on_trial: Attempt(job, shop, on_trial=on_trial),
            threads=settings.jobs,
            greenlets=settings.jobs_cooperative,
            queue=settings.queue,
            succeeded=lambda: self.succeeded(),
        )

    def _assemble(self, storage: Storage) -> Services:
        settings = self.settings
        snapshots, pressure = Snapshots(storage.log, storage.index), Pressure()
        runner = self._make_runner(
            storage,
            lambda: self.make_shop(
                storage,
                snapshots,
                figures=lambda: meter.figures(),
                level=lambda: pressure.level,
                ended=lambda *end: metrics.ended(*end),
            ),
        )
        receivers = Receivers(settings.webhook_hosts)
        registry = JobRegistry(
            storage=storage,
            snapshots=snapshots,
            tasks=self.tasks,
            runner=runner,
            retention_s=settings.retention_s,
            max_event_bytes=settings.max_event_bytes,
            owner_jobs=settings.owner_jobs,
            overloaded=lambda: pressure.level >= TOP,
            receivers=receivers,
        )
        secret = settings.webhook_secret.get_secret_value()
        self._webhooks = Webhooks(
            storage, receivers, lambda: signing_keys(secret) or [signing_key(storage)]
        )
        metrics = Metrics(
            lambda: Figures(
                streams=streams.count(),
                sent=traffic.sent(),
                lag=meter.lag,
                loop_lag_s=pressure.signals.loop_lag_s,
                pressure=pressure.level,
                draining=streams.draining,
            )
        )
        traffic = Traffic(metrics.delayed)
        writer = None
        if has_event_loop() and settings.direct_writes:
            writer = StreamWriter(
                storage.log,
                traffic,
                write_events=settings.events_per_write,
                level=lambda: pressure.level,
            )
        streams = Streams(
            storage,
            traffic=traffic,
            writer=writer,
            limit=settings.max_streams or 1,
            owner_limit=settings.owner_streams,
            heartbeat_s=settings.heartbeat_s,
            rotate_s=settings.rotate_s,
            pressure=pressure,
            refused=metrics.refused,
            ended=stream_ended if settings.log_requests else lambda _: None,
        )
        retention = Retention(
            storage,
            snapshots,
            forget=lambda job: registry.forget(job, tombstone=True),
            retention_s=settings.retention_s,
            events=settings.retention_events,
            size=settings.retention_bytes,
        )
        meter = LoadMeter(
            pressure,
            storage=storage,
            runner=runner,
            streams=streams,
            queue=settings.queue,
            changed=streams.wake,
        )
        deadlines = Deadlines()
        for part in (runner, registry, streams, retention, meter, deadlines, metrics):
            part.start()
        Thread(lambda: self._watch_storage(storage, streams), name="storage-watcher").start()
        Mending(storage, snapshots).start()
        self._webhooks.start()
        return Services(
            settings=settings,
            storage=storage,
            snapshots=snapshots,
            tasks=self.tasks,
            runner=runner,
            registry=registry,
            streams=streams,
            pressure=pressure,
            base_url=self._base_url,
            authorize=None,
            open_submit=False,
            keys=self._keys,
            tickets=Tickets(lambda: settings.secret.get_secret_value() or storage.secret()),
            rates=Rates(settings),
            deadlines=deadlines,
            body_places=BodyPlaces(body_places(settings)),
            metrics=metrics,
        )

    def _check_needs(self) -> None:
        """`InvalidSettings` when a task needs more of a pool than there is: it could never run."""
        for each in self.tasks:
            for name, units in each.needs.items():
                size = self.settings.resources.get(name, units)
                if units > size:
                    raise InvalidSettings(
                        f"STREAMING_RESOURCES has {name}={size}; task {each.name!r} needs {units}"
                    )

    def _watch_storage(self, storage: Storage, streams: Streams) -> None:
        """Have the streams tell their clients when storage goes away and when it is back."""
        waker, was_away = make_waker(), False
        while not self._ended.is_open:
            away = storage.fault() is not None
            if away != was_away:
                was_away = away
                streams.wake()
            waker.wait(LOOK_S)


def make_queue(settings: Settings) -> JobQueue:
    """The queue of jobs in Redis, not yet started."""
    from streaming.running.queue import JobQueue
    from streaming.storage.redis.connection import Server as RedisServer

    redis = RedisServer(settings.queue_url, verify=settings.redis_verify)
    return JobQueue(redis, timeout_s=settings.worker_timeout_s)
