"""The process of one job that may have killed its workers: it runs here alone."""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading

from streaming.concurrency.locks import Latch
from streaming.errors import StreamingError
from streaming.running.stops import StopWatch
from streaming.running.threads import ThreadRunner
from streaming.server.deployment import end_children
from streaming.server.server import Server
from streaming.server.settings import AppSettings
from streaming.server.worker_parts import WorkerParts, load_server, prepare_process

logger = logging.getLogger(__name__)

#: Seconds between looks whether the cell is to leave.
LOOK_S = 0.1


class CellProcess:
    """One attempt at one job."""

    def __init__(self, server: Server, job: str) -> None:
        self._parts = parts = WorkerParts(server)
        self._job = job
        self._over = Latch()
        self._runner = ThreadRunner(
            parts.attempt, threads=1, greenlets=1, queue=1, ended=lambda _: self._over.open()
        )
        self._stops = StopWatch(parts.storage.log, self._runner)

    def run(self, leaving: threading.Event) -> None:
        """Until the attempt is over, or handed over because the process is to leave."""
        parts = self._parts
        parts.storage.open(timeout=0)
        parts.queue.start()
        parts.mending.start()
        row = parts.storage.index.get(self._job)
        self._runner.start()
        self._stops.begin(self._job, row.seq if row else 0)
        self._stops.start()
        self._runner.enqueue(self._job, cooperative=False)
        # The thread of a job that does not listen goes with the process.
        while not self._over.wait(LOOK_S) and not self._runner.load().stuck:
            if leaving.is_set():
                self._runner.drain(finish_s=parts.finish_s, unwind_s=parts.unwind_s)
                break
        self._stops.stop()
        parts.mending.stop()
        parts.storage.close()


def run_alone(job: str) -> None:
    """Run a job in this process, which its worker has made for it, and end the process."""
    leaving = prepare_process()
    threading.Thread(target=_leave_with_parent, args=(leaving,), daemon=True).start()
    try:
        CellProcess(load_server(AppSettings.load().app), job).run(leaving)
    except StreamingError as error:  # Redis is away: the job is not to blame
        logger.warning("job %s is left to a later attempt: %s", job, error)
    logging.shutdown()
    end_children()
    os._exit(0)


def _leave_with_parent(leaving: threading.Event) -> None:
    """Its worker is gone: another one will take the job up."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        leaving.set()
