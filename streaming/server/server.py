"""The server of one log in this process: how it starts, and how it shuts down."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

from streaming.concurrency.locks import Latch, Mutex
from streaming.concurrency.loop import adopt_event_loop, spawn_greenlet
from streaming.concurrency.threads import Thread
from streaming.config import Settings, durable_disk
from streaming.errors import Closed, Damaged, InUse, InvalidSettings, NotThere
from streaming.jobs.conversations import Conversations
from streaming.llm.base import Model
from streaming.running.dependencies import Dependencies
from streaming.running.runner import Runner
from streaming.running.task import TaskRegistry
from streaming.server.deployment import body_places
from streaming.server.draining import drain
from streaming.server.logging import keep_ours
from streaming.server.parts import SILENCE_S, Parts, build, make_dependencies
from streaming.server.process import ServingProcess
from streaming.storage import make_storage
from streaming.storage.base import Storage
from streaming.storage.snapshots import Snapshots
from streaming.web.body_places import BodyPlaces
from streaming.web.keys import KeyRing
from streaming.web.rates import Rates
from streaming.web.retries import Retries
from streaming.web.services import Services
from streaming.web.tickets import Tickets

logger = logging.getLogger(__name__)

#: Seconds that a request waits for the storage that a predecessor still holds; and that a start
#: in a worker of gunicorn, or of jobs, waits for Redis.
START_S, REDIS_S = 30.0, 20.0


class Server:
    """Made for the first app on its log; started once, in the serving process; then closed."""

    def __init__(
        self,
        settings: Settings,
        *,
        tasks: TaskRegistry,
        model: Model,
        base_url: str,
        around: Callable[[Storage, str], AbstractContextManager[object]],
    ) -> None:
        """`around` is entered around a task's code, with the storage and the job's id."""
        self.settings = settings
        self.tasks = tasks
        self._around = around
        self._model = model
        self.base_url = base_url
        self._starting = Mutex()
        #: Why the last start failed, and when, on `monotonic`: whoever waited for it need not try.
        self._failed: tuple[NotThere, float] | None = None
        self._started = Latch()
        #: Nothing new is begun; everything has ended.
        self._closing = False
        self._ended = Latch()
        #: Its parts, once started.
        self.parts: Parts | None = None
        #: Free until the parts are being ended, by whoever takes it.
        self._to_end = [True]
        self._services: Services | None = None
        self._process = ServingProcess()

    @property
    def started(self) -> bool:
        """Whether its storage is open."""
        return self._started.is_open and not self._ended.is_open

    @property
    def ended(self) -> bool:
        """Whether it was drained or closed, and cannot start again."""
        return self._ended.is_open or self._closing

    def services(self) -> Services:
        """The parts, started by the first call if no server hook has done so.

        `Closed` once the server is.
        """
        if self._services is None:
            self.start(timeout=START_S)
        elif self._ended.is_open:
            raise Closed("the server has been closed")
        assert self._services is not None
        return self._services

    def start(self, *, timeout: float, process: ServingProcess | None = None) -> None:
        """Open the storage, waiting for a predecessor's drain, and take up its unfinished jobs.

        `timeout` is for that, or for Redis to be there; `NotThere` when it is not, and the next
        one who asks tries again. `InvalidSettings` when another server holds the storage, or when
        it cannot be used.
        """
        came_at = time.monotonic()
        with self._starting:
            if self._is_closing():
                raise Closed("the server has been closed")
            if self._services is not None:
                return
            if self._failed is not None and self._failed[1] > came_at:
                raise self._failed[0].again()
            keep_ours()
            self._process = process or self._process
            self._check_needs()
            try:
                self.parts = self._open(timeout)
            except NotThere as error:
                self._failed = error, time.monotonic()
                raise
            self._services = self._serve(self.parts)
            self._started.open()
        if self._is_closing():  # it was told to leave while it waited for the storage
            self._end(within_s=0.0)
            raise Closed("the server has been closed")

    def start_or_wait(self, process: ServingProcess) -> None:
        """Start now, or as soon as a predecessor in the same server that still drains is gone.

        Requests wait meanwhile. `InUse` when another server holds the storage.
        """
        try:
            self.start(timeout=REDIS_S if self.settings.shared else 0, process=process)
        except InUse as error:
            if not error.by_predecessor:
                raise
            logger.info("waiting for the worker before this one to leave")
            if not spawn_greenlet(self._start_later):
                Thread(self._start_later, name="start").start()

    def drain(self) -> None:
        """End everything within STREAMING_DRAIN_S, because the process leaves; once."""
        self.close()

    def close(self, *, within_s: float | None = None) -> None:
        """End everything within about `within_s` seconds (STREAMING_DRAIN_S).

        After that, no thread, descriptor or lock of the server is left, and its methods raise
        `Closed`. A second call does nothing.
        """
        # Not under the lock: a start may wait long for a predecessor.
        begun, self._closing = self._closing, True
        if begun:
            self._ended.wait()
        else:
            self._end(within_s=self.settings.drain_s if within_s is None else within_s)

    def dead(self) -> list[str]:
        """Names of threads that have died: this process cannot do its work any longer."""
        return [] if self.parts is None or self._ended.is_open else self.parts.dead()

    def wait_until_ended(self) -> None:
        """Wait for `drain`, which another thread runs."""
        self._ended.wait(self.settings.drain_s)

    def make_dependencies(
        self, storage: Storage, snapshots: Snapshots, **more: object
    ) -> Dependencies:
        """What attempts work with, in a process that serves nothing."""
        return make_dependencies(
            self.settings,
            storage,
            snapshots,
            self.tasks,
            model=self._model,
            base_url=self.base_url,
            around=partial(self._around, storage),
            **more,  # type: ignore[arg-type]
        )

    def _open(self, timeout: float) -> Parts:
        adopt_event_loop()
        storage = make_storage(self.settings, silence_s=SILENCE_S)
        storage.open(timeout=timeout)
        parts = self._build(storage)
        try:
            parts.start()
        except Damaged as error:
            raise InvalidSettings(f"cannot start on this log: {error.detail}") from error
        if self.settings.sqlite_path is not None and not durable_disk():
            logger.warning(
                "this platform's disk does not outlast a restart: jobs are lost then; "
                "set %s, or STREAMING_VAR_DIR to a disk that lasts",
                self.settings.redis_name,
            )
        return parts

    def _build(self, storage: Storage, served_elsewhere: Runner | None = None) -> Parts:
        return build(
            self.settings,
            storage,
            self.tasks,
            model=self._model,
            base_url=self.base_url,
            process=self._process,
            around=partial(self._around, storage),
            served_elsewhere=served_elsewhere,
        )

    def _end(self, *, within_s: float) -> None:
        parts = self.parts
        if parts is not None:
            try:
                self._to_end.pop()
            except IndexError:  # a start that is under way will end them
                self._ended.wait()
                return
            drain(parts, self._process, total_s=within_s, successors=self.settings.shared)
        self._ended.open()

    def _is_closing(self) -> bool:
        return self._closing

    def _start_later(self) -> None:
        try:
            self.start(timeout=START_S)
        except Closed:  # told to leave while it waited
            return
        except InvalidSettings as error:
            logger.critical("cannot start: %s", error)
            os.kill(os.getpid(), signal.SIGTERM)

    def adopt(self, storage: Storage, runner: Runner) -> None:
        """Serve nothing: `services` use another process's parts, for tasks that run here."""
        self._services = self._serve(self._build(storage, served_elsewhere=runner))
        self._started.open()

    def _serve(self, parts: Parts) -> Services:
        """What requests work with; each app adds its own."""
        settings, storage = self.settings, parts.storage
        return Services(
            settings=settings,
            storage=storage,
            snapshots=parts.snapshots,
            tasks=self.tasks,
            runner=parts.runner,
            registry=parts.registry,
            streams=parts.streams,
            pressure=parts.pressure,
            base_url=self.base_url,
            authorize=None,
            open_submit=False,
            keys=KeyRing(settings),
            tickets=Tickets(lambda: settings.secret.get_secret_value() or storage.secret()),
            rates=Rates(settings),
            retries=Retries(parts.registry, storage),
            conversations=Conversations(storage),
            deadlines=parts.deadlines,
            body_places=BodyPlaces(body_places(settings)),
            metrics=parts.metrics,
            dead=parts.dead,
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
