"""A server under test: a real gunicorn process, started with the command of the Procfile."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import psutil
import requests

from tests.e2e.clients import Api
from tests.e2e.waiting import eventually
from tests.ports import free_port

ROOT = Path(__file__).parents[2]

#: Seconds within which a server must answer, reload or exit in any test.
PATIENCE_S = 60.0

#: What the environment of the tests must not pass on to a server.
_FOREIGN = ("STREAMING_", "GUNICORN_", "WEB_CONCURRENCY", "REDIS_URL", "DYNO", "PORT", "HOST")


class Server:
    """A gunicorn master and its worker, on a free loopback port and a folder of its own.

    `start`, end (`stop`, `kill`) and `start` again: port, folder and log file stay the same.
    """

    def __init__(self, folder: Path, worker_class: str, **settings: str | float) -> None:
        self.var_dir = folder / "var"
        #: The tree that it runs.
        self.root = ROOT
        self.port = int(settings.get("PORT") or free_port())
        self.url = f"http://127.0.0.1:{self.port}"
        self.api = Api(self.url)
        self._log = folder / "server.log"
        self.settings = {
            "HOST": "127.0.0.1",
            "PORT": self.port,
            "GUNICORN_WORKER_CLASS": worker_class,
            "STREAMING_VAR_DIR": self.var_dir,
            "STREAMING_TASKS": "tests.e2e.e2e_tasks",
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None
        #: What starts it.
        self.command = procfile_command("web")

    def set(self, **settings: str | float) -> None:
        """More settings, for the next start."""
        self.settings |= settings

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the process, without waiting for it."""
        self._process = self._start(self.command)
        return self._process

    def _start(self, command: list[str]) -> subprocess.Popen[bytes]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(_FOREIGN)}
        path = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
        settings = {name: str(value) for name, value in self.settings.items()}
        with self._log.open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.root,
                env=environment | settings | {"PATH": path},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start(self) -> Self:
        """Start it, and wait until it is ready."""
        self.launch()
        self.wait_until_ready()
        return self

    def wait_until_ready(self) -> None:
        def ready() -> bool:
            assert self.process.poll() is None, f"the server has ended:\n{self.log_text()}"
            try:
                return requests.get(f"{self.url}/readyz", timeout=5).status_code == 200
            except requests.RequestException:
                return False

        eventually(ready, "the server is ready", timeout_s=PATIENCE_S)

    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait_until_ended(self) -> int:
        """The exit status of a server that ends by itself."""
        return self.process.wait(PATIENCE_S)

    def stop(self) -> float:
        """SIGTERM to the master; the seconds until it has exited."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE_S)
        return time.monotonic() - began

    def kill(self) -> None:
        """kill -9 of everything at once."""
        if self._process is None:
            return
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE_S)

    def kill_worker(self) -> None:
        """kill -9 of the worker, and wait until the master has put another in its place."""
        (old,) = self.workers()
        old.kill()
        eventually(lambda: old not in self.workers(), "the worker is gone")
        self.wait_until_ready()

    def reload(self) -> None:
        """HUP to the master; returns when the old worker has left."""
        old = self.workers()
        self.process.send_signal(signal.SIGHUP)
        eventually(
            lambda: self.workers() and not set(old) & set(self.workers()),
            "the old worker has left",
            timeout_s=PATIENCE_S,
        )
        self.wait_until_ready()

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def log_text(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the server was not started"
        return self._process

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def procfile_command(process: str = "web") -> list[str]:
    """What the Procfile runs for a kind of process."""
    for line in (ROOT / "Procfile").read_text().splitlines():
        kind, _, command = line.partition(":")
        if kind == process:
            return shlex.split(command)
    raise AssertionError(f"the Procfile has no {process} process")
