"""The parts of a worker in a deployment on Redis."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable

from streaming.errors import InvalidSettings
from streaming.jobs.repair import Mending
from streaming.running.fleet import FleetFigures
from streaming.running.threads import Running, ThreadRunner
from streaming.server.deployment import SWITCH_S, let_children_be_terminated, outlive_alarms
from streaming.server.hosting import ROLE, make_worker_runner
from streaming.server.logging import keep_ours, make_formatter
from streaming.server.parts import make_queue, make_shared_runner
from streaming.server.server import Server
from streaming.server.wrapped import load_served, mounts_behind
from streaming.storage import make_storage
from streaming.storage.snapshots import Snapshots

#: Shares of STREAMING_DRAIN_S in which jobs may finish, and may be unwound.
FINISH_SHARE, UNWIND_SHARE = 0.5, 0.3


class WorkerParts:
    """The storage, not yet open, the queue, not yet started, and what attempts need of them."""

    def __init__(self, server: Server, app: str) -> None:
        self.settings = settings = server.settings
        self._app = app
        if not settings.shared:
            raise InvalidSettings(
                "a worker needs a log that it shares with the web processes: set "
                f"{settings.redis_name}. "
                "Without one, the web process runs the jobs itself."
            )
        self.storage = make_storage(settings)
        self.snapshots = Snapshots(self.storage.log, self.storage.index)
        self.mending = Mending(self.storage, self.snapshots).loop
        self.queue = make_queue(settings)
        figures = FleetFigures(self.queue.fleet, self.storage)
        self._dependencies = server.make_dependencies(
            self.storage, self.snapshots, figures=figures.look
        )

    def make_runner(self, ended: Callable[[Running], object]) -> ThreadRunner:
        """The runner of the worker's jobs, with a callback for attempts that are over."""
        return make_worker_runner(
            self.settings,
            self._dependencies,
            app_uri=self._app,
            submits=make_shared_runner(self.settings, self.storage, self.queue),
            ended=ended,
        )

    @property
    def finish_s(self) -> float:
        """Seconds for jobs to finish when the process leaves."""
        return self.settings.drain_s * FINISH_SHARE

    @property
    def unwind_s(self) -> float:
        """Seconds for unwinding them after that."""
        return self.settings.drain_s * UNWIND_SHARE


def load_server(app: str) -> Server:
    """The server behind the app `module:app` or `module:factory()`, wrapped or not.

    `InvalidSettings` when there is none.
    """
    served = load_served(app)
    keep_ours()
    try:
        return mounts_behind(served)[0].server
    except InvalidSettings as error:
        raise InvalidSettings(f"STREAMING_APP={app}: {error}") from error


def prepare_process() -> threading.Event:
    """Set up role, logs and signals of this process; the event that is set when it is to leave."""
    os.environ[ROLE] = "worker"  # before the app is imported, which may ask for it
    handler = logging.StreamHandler()
    # Bad settings are reported in a moment; until then, lines are text.
    handler.setFormatter(make_formatter(os.environ.get("STREAMING_LOG_FORMAT", "text")))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("dramatiq").setLevel(logging.WARNING)
    sys.setswitchinterval(SWITCH_S)
    leaving = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        # Only a flag, and the same for every signal: platforms send several.
        signal.signal(number, lambda *_: leaving.set())
    let_children_be_terminated()
    outlive_alarms()
    return leaving
