"""The process that runs jobs of a deployment on Redis, and serves nothing."""

from __future__ import annotations

import logging
import os
import sys
import threading

from streaming.errors import InvalidSettings
from streaming.running.worker import JobWorker
from streaming.server.deployment import end_children, run_exit_functions
from streaming.server.server import REDIS_S, Server
from streaming.server.settings import AppSettings
from streaming.server.worker_parts import WorkerParts, load_server, prepare_process

logger = logging.getLogger("streaming.worker")

#: Seconds that the exit functions of the app and of tasks may take, as in a host that leaves.
EXIT_S = 1.0


class WorkerProcess:
    """A worker with its storage, started and drained once."""

    def __init__(self, server: Server, app: str) -> None:
        """`app` is the import string of the app, for processes that load it, too."""
        self._parts = parts = WorkerParts(server, app)
        self._worker = JobWorker(
            parts.queue,
            parts.storage,
            parts.snapshots,
            parts.make_runner,
            threads=parts.settings.jobs,
        )

    def start(self) -> None:
        """Open the storage and take jobs; `InvalidSettings` when Redis cannot be used."""
        self._parts.storage.open(timeout=REDIS_S)
        self._worker.start()
        self._parts.mending.start()
        jobs = self._parts.settings.jobs
        logger.info("worker %s takes jobs, %d at once", self._worker.name, jobs)

    def drain(self) -> None:
        """Finish or hand over, within STREAMING_DRAIN_S."""
        logger.info("worker %s leaves", self._worker.name)
        self._worker.drain(finish_s=self._parts.finish_s, unwind_s=self._parts.unwind_s)
        self._parts.mending.stop()
        self._parts.storage.close()


def main() -> None:
    """Run until told to leave."""
    leaving = prepare_process()
    try:
        app = AppSettings.load().app
        process = WorkerProcess(load_server(app), app)
        process.start()
    except InvalidSettings as error:
        sys.exit(f"cannot start: {error}")
    while not leaving.wait(3600.0):
        continue
    process.drain()
    # What tasks have registered may wait for what never ends.
    last = threading.Timer(EXIT_S, _end)
    last.daemon = True
    last.start()
    run_exit_functions()
    _end()


def _end() -> None:
    end_children()
    # Threads of tasks that ignore their stop would keep the process: their jobs are handed over.
    os._exit(0)
