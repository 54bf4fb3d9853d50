"""A deployment on Redis under test: two web processes behind one port, and a worker."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from tests.e2e.server import PATIENCE_S, Server, procfile_command


class Cluster(Server):
    """To tests it is a server like any other: web and worker start and end together."""

    def __init__(self, folder: Path, redis_url: str, **settings: str | float) -> None:
        shared = {"REDIS_URL": redis_url, "WEB_CONCURRENCY": 2, "STREAMING_WORKER_TIMEOUT_S": 3}
        super().__init__(folder, "gevent", **{**shared, **settings})
        self._worker: subprocess.Popen[bytes] | None = None

    def launch(self) -> subprocess.Popen[bytes]:
        self._worker = self._start(procfile_command("worker"))
        return super().launch()

    def stop(self) -> float:
        began = time.monotonic()
        if self._worker is not None:
            self._worker.send_signal(signal.SIGTERM)
        super().stop()
        if self._worker is not None:
            self._worker.wait(PATIENCE_S)
        return time.monotonic() - began

    def kill(self) -> None:
        if self._worker is not None and self._worker.poll() is None:
            os.killpg(self._worker.pid, signal.SIGKILL)
            self._worker.wait(PATIENCE_S)
        super().kill()

    def kill_worker(self) -> None:
        """kill -9 of the process that runs the jobs; another takes its place."""
        assert self._worker is not None
        self._worker.kill()
        self._worker.wait(PATIENCE_S)
        self._worker = self._start(procfile_command("worker"))
        self.wait_until_ready()

    def reload(self) -> None:
        """A rolling deploy: web processes and worker are replaced, each leaves in its time."""
        old, self._worker = self._worker, self._start(procfile_command("worker"))
        assert old is not None
        old.send_signal(signal.SIGTERM)
        super().reload()
        old.wait(PATIENCE_S)
