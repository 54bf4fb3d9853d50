"""The job worker of a deployment on Redis: `python -m streaming.worker`.

It runs the jobs of the Flask app that `STREAMING_APP` names (`wsgi:app`), and serves nothing.
SIGTERM, once or often, ends it in order: it takes no more jobs, lets those that run finish or
hands them over, and exits.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from importlib import import_module
from pathlib import Path

from streaming.config import Settings
from streaming.errors import InvalidSettings
from streaming.extension import server_of
from streaming.hooks import SWITCH_S
from streaming.logs import make_formatter
from streaming.mending import Mending
from streaming.runners.attempt import Attempt
from streaming.runners.dramatiq import JobWorker
from streaming.server import Server, make_queue
from streaming.snapshot import Snapshots
from streaming.storage import make_storage

logger = logging.getLogger("streaming.worker")  # also when it is __main__

#: Of STREAMING_DRAIN_S: how much of it jobs may use to finish, and to be unwound.
FINISH_SHARE, UNWIND_SHARE = 0.5, 0.3


class WorkerProcess:
    """A worker with its storage, started and drained once."""

    def __init__(self, server: Server) -> None:
        self._settings = settings = server.settings
        if not settings.shared:
            raise InvalidSettings(
                "a worker needs a log that it shares with the web processes: set REDIS_URL. "
                "Without one, the web process runs the jobs itself."
            )
        self._storage = storage = make_storage(settings)
        snapshots = Snapshots(storage.log, storage.index)
        shop = server.make_shop(storage, snapshots)
        self._mending = Mending(storage, snapshots)
        self._worker = JobWorker(
            make_queue(settings),
            storage,
            snapshots,
            lambda job, on_trial: Attempt(job, shop, on_trial=on_trial),
            threads=settings.jobs,
        )

    def start(self) -> None:
        """Open the storage and take jobs; `InvalidSettings` when Redis cannot be used."""
        self._storage.open(timeout=0)
        self._worker.start()
        self._mending.start()
        logger.info("worker %s takes jobs, %d at once", self._worker.name, self._settings.jobs)

    def drain(self) -> None:
        """Finish or hand over, within STREAMING_DRAIN_S."""
        total_s = self._settings.drain_s
        logger.info("worker %s leaves", self._worker.name)
        self._worker.drain(finish_s=total_s * FINISH_SHARE, unwind_s=total_s * UNWIND_SHARE)
        self._storage.close()


def load_server(app: str) -> Server:
    """The server behind the Flask app `module:name`."""
    module, _, name = app.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        return server_of(getattr(import_module(module), name))
    except (AttributeError, KeyError) as error:
        raise InvalidSettings(
            f"STREAMING_APP={app}: there is no Flask app of this name with Streaming on it"
        ) from error


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    # Bad settings are told in a moment; until then lines are text.
    handler.setFormatter(make_formatter(os.environ.get("STREAMING_LOG_FORMAT", "text")))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def main() -> None:
    """Run until told to leave."""
    _log_to_stderr()
    logging.getLogger("dramatiq").setLevel(logging.WARNING)
    leaving = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        # A flag only, and the same at every signal: platforms send several.
        signal.signal(number, lambda *_: leaving.set())
    sys.setswitchinterval(SWITCH_S)
    try:
        process = WorkerProcess(load_server(Settings.load().app))
        process.start()
    except InvalidSettings as error:
        sys.exit(f"cannot start: {error}")
    while not leaving.wait(3600.0):
        continue
    process.drain()
    logging.shutdown()
    # Threads of tasks that do not listen would keep the process: their jobs are handed over.
    os._exit(0)


if __name__ == "__main__":
    main()
