"""The job worker of a deployment on Redis: `python -m streaming.worker`.

It runs the jobs of the Flask app that `STREAMING_APP` names (`wsgi:app`), and serves nothing.
SIGTERM, once or often, ends it in order: it takes no more jobs, lets those that run finish or
hands them over, and exits.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
from importlib import import_module
from pathlib import Path

from streaming.concurrency import Latch
from streaming.config import Settings
from streaming.errors import InvalidSettings, StreamingError
from streaming.extension import server_of
from streaming.hooks import SWITCH_S
from streaming.mending import Mending
from streaming.runners.attempt import Attempt
from streaming.runners.cells import Cells
from streaming.runners.dramatiq import JobWorker
from streaming.runners.stops import StopWatch
from streaming.runners.threads import ThreadRunner
from streaming.server import Server, make_queue
from streaming.snapshot import Snapshots
from streaming.storage import make_storage

logger = logging.getLogger("streaming.worker")  # also when it is __main__

#: Of STREAMING_DRAIN_S: how much of it jobs may use to finish, and to be unwound.
FINISH_SHARE, UNWIND_SHARE = 0.5, 0.3
#: Seconds between looks whether a cell is to leave.
LOOK_S = 0.1


class Bench:
    """What a process that runs jobs works with: the storage, not yet open, and what is on it."""

    def __init__(self, server: Server) -> None:
        self.settings = settings = server.settings
        if not settings.shared:
            raise InvalidSettings(
                "a worker needs a log that it shares with the web processes: set REDIS_URL. "
                "Without one, the web process runs the jobs itself."
            )
        self.storage = make_storage(settings)
        self.snapshots = Snapshots(self.storage.log, self.storage.index)
        self.mending = Mending(self.storage, self.snapshots)
        self._shop = server.make_shop(self.storage, self.snapshots)

    def attempt(self, job: str, on_trial: bool) -> Attempt:
        """A try at a job, not yet begun."""
        return Attempt(job, self._shop, on_trial=on_trial)

    @property
    def finish_s(self) -> float:
        """How long jobs may take to finish when the process leaves, of STREAMING_DRAIN_S."""
        return self.settings.drain_s * FINISH_SHARE

    @property
    def unwind_s(self) -> float:
        """How long they may then take to be unwound."""
        return self.settings.drain_s * UNWIND_SHARE


class WorkerProcess:
    """A worker with its storage, started and drained once."""

    def __init__(self, server: Server) -> None:
        self._bench = bench = Bench(server)
        self._worker = JobWorker(
            make_queue(bench.settings),
            bench.storage,
            bench.snapshots,
            bench.attempt,
            threads=bench.settings.jobs,
            cells=Cells("streaming.worker:run_alone"),
        )

    def start(self) -> None:
        """Open the storage and take jobs; `InvalidSettings` when Redis cannot be used."""
        self._bench.storage.open(timeout=0)
        self._worker.start()
        self._bench.mending.start()
        jobs = self._bench.settings.jobs
        logger.info("worker %s takes jobs, %d at once", self._worker.name, jobs)

    def drain(self) -> None:
        """Finish or hand over, within STREAMING_DRAIN_S."""
        logger.info("worker %s leaves", self._worker.name)
        self._worker.drain(finish_s=self._bench.finish_s, unwind_s=self._bench.unwind_s)
        self._bench.storage.close()


class CellProcess:
    """One attempt at a job that may have killed its workers, alone in this process."""

    def __init__(self, server: Server, job: str) -> None:
        self._bench = bench = Bench(server)
        self._job = job
        self._over = Latch()
        self._runner = ThreadRunner(
            bench.attempt, threads=1, greenlets=1, queue=1, ended=lambda _: self._over.open()
        )
        self._stops = StopWatch(bench.storage.log, self._runner)

    def run(self, leaving: threading.Event) -> None:
        """Until the attempt is over, or handed over because the process is to leave."""
        bench = self._bench
        bench.storage.open(timeout=0)
        bench.mending.start()
        row = bench.storage.index.get(self._job)
        self._runner.start()
        self._stops.begin(self._job, row.seq if row else 0)
        self._stops.start()
        self._runner.enqueue(self._job, cooperative=False)
        # The thread of a job that does not listen goes with the process.
        while not self._over.wait(LOOK_S) and not self._runner.load().stuck:
            if leaving.is_set():
                self._runner.drain(finish_s=bench.finish_s, unwind_s=bench.unwind_s)
                break
        bench.storage.close()


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


def run_alone(job: str) -> None:
    """Run a job in this process, which its worker has made for it, and end the process."""
    leaving = _prepare()
    threading.Thread(target=_leave_with_parent, args=(leaving,), daemon=True).start()
    try:
        CellProcess(load_server(Settings.load().app), job).run(leaving)
    except StreamingError as error:  # Redis is away: the job is not to blame
        logger.warning("job %s is left to a later attempt: %s", job, error)
    logging.shutdown()
    os._exit(0)


def main() -> None:
    """Run until told to leave."""
    leaving = _prepare()
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


def _prepare() -> threading.Event:
    """Logs and signals of this process; what is set when it is to leave."""
    form = "[%(asctime)s] [%(process)d] [%(levelname)s] %(name)s: %(message)s"
    logging.basicConfig(level=logging.INFO, format=form, datefmt="%Y-%m-%d %H:%M:%S %z")
    logging.getLogger("dramatiq").setLevel(logging.WARNING)
    sys.setswitchinterval(SWITCH_S)
    leaving = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        # A flag only, and the same at every signal: platforms send several.
        signal.signal(number, lambda *_: leaving.set())
    return leaving


def _leave_with_parent(leaving: threading.Event) -> None:
    """Its worker is gone: another one will take the job up."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        leaving.set()


if __name__ == "__main__":
    main()
