"""A deployment on Redis under test: two web processes behind one port, and workers."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from tests.e2e.server import PATIENCE_S, Server, procfile_command


class Cluster(Server):
    """To tests it is a server like any other: web and workers start and end together."""

    def __init__(
        self, folder: Path, redis_url: str, *, job_workers: int = 1, **settings: str | float
    ) -> None:
        shared = {"REDIS_URL": redis_url, "WEB_CONCURRENCY": 2, "STREAMING_WORKER_TIMEOUT_S": 3}
        super().__init__(folder, "gevent", **{**shared, **settings})
        self._count = job_workers
        #: The workers' processes, the oldest first.
        self.job_workers: list[subprocess.Popen[bytes]] = []

    def launch(self) -> subprocess.Popen[bytes]:
        self.job_workers = []
        for _ in range(self._count):
            self.start_worker()
        return super().launch()

    def start_worker(self) -> subprocess.Popen[bytes]:
        """One more worker, not waited for."""
        worker = self._start(procfile_command("worker"))
        self.job_workers.append(worker)
        return worker

    def end_worker(self, pid: int, how: signal.Signals) -> None:
        """Signal a worker, and wait until it has ended."""
        (worker,) = (each for each in self.job_workers if each.pid == pid)
        worker.send_signal(how)
        worker.wait(PATIENCE_S)
        self.job_workers.remove(worker)

    def stop(self) -> float:
        began = time.monotonic()
        for worker in self.job_workers:
            worker.send_signal(signal.SIGTERM)
        super().stop()
        for worker in self.job_workers:
            assert worker.wait(PATIENCE_S) == 0
        return time.monotonic() - began

    def kill(self) -> None:
        for worker in self.job_workers:
            if worker.poll() is None:
                os.killpg(worker.pid, signal.SIGKILL)
                worker.wait(PATIENCE_S)
        super().kill()

    def kill_worker(self) -> None:
        """kill -9 of the processes that run the jobs; others take their place."""
        for worker in list(self.job_workers):
            self.end_worker(worker.pid, signal.SIGKILL)
            self.start_worker()
        self.wait_until_ready()

    def reload(self) -> None:
        """A rolling deploy: web processes and workers are replaced, each leaves in its time."""
        for worker in list(self.job_workers):
            self.start_worker()
            self.end_worker(worker.pid, signal.SIGTERM)
        super().reload()
