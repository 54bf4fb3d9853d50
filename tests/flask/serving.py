"""Apps in processes of their own, as their users serve them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import requests

ROOT = Path(__file__).parents[2]
#: Seconds in which a server must answer, and in which it must have left.
START_S, LEAVE_S = 30.0, 20.0

HOOKS = "from streaming.hooks import on_starting, post_fork, post_worker_init, worker_exit\n"
GEVENT = "from gevent import monkey\nmonkey.patch_all()\nworker_class = 'gevent'\n"


class Served:
    """A server's process, its address, and what it has said."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
        self.process = process
        self.url = url
        self._log = log

    @property
    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_until_it_answers(self, path: str = "/") -> None:
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            assert self.process.poll() is None, self.said
            try:
                requests.get(self.url + path, timeout=START_S)
            except requests.ConnectionError:
                self._pause()
            else:
                return
        raise AssertionError(self.said)

    def wait_until_ready(self) -> None:
        """Until it takes jobs: its task hosts have loaded the app."""
        self.wait_until_it_answers("/v1/healthz")
        until = time.monotonic() + START_S
        while not (ready := requests.get(f"{self.url}/v1/readyz", timeout=START_S)).ok:
            assert time.monotonic() < until, (ready.text, self.said)
            self._pause()
        assert ready.json()["ready"], ready.text

    def wait_until_said(self, text: str) -> None:
        until = time.monotonic() + START_S
        while text not in self.said:
            assert time.monotonic() < until, self.said
            self._pause()

    def wait_until_gone(self) -> int:
        return self.process.wait(START_S)

    def _pause(self) -> None:
        """Until it has ended, or a moment is over."""
        try:
            self.process.wait(0.05)
        except subprocess.TimeoutExpired:
            return


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def command(
    arguments: Sequence[str], folder: Path, url: str, **environment: str
) -> Iterator[Served]:
    """A server that listens at `url` once it is up; ended with the block."""
    log = folder / "server.log"
    told = {key: value for key, value in os.environ.items() if not key.startswith("STREAMING_")}
    told |= {"PYTHONUNBUFFERED": "1", "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=folder,
            env={**told, **environment},
            stdout=out,
            stderr=out,
        )
    try:
        yield Served(process, url, log)
    finally:
        process.terminate()
        try:
            process.wait(LEAVE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def gunicorn(
    folder: Path, *, app: str = "shop:app", conf: str = "", **environment: str
) -> Iterator[Served]:
    """gunicorn with a configuration file of the host's own."""
    port = free_port()
    (folder / "gunicorn.conf.py").write_text(conf)
    arguments = ["gunicorn", "-c", "gunicorn.conf.py", "-b", f"127.0.0.1:{port}", app]
    with command(arguments, folder, f"http://127.0.0.1:{port}", **environment) as served:
        yield served


@contextmanager
def flask_run(folder: Path, *, app: str = "shop:app", **environment: str) -> Iterator[Served]:
    """`flask run`, as one has it while one writes an app."""
    port = free_port()
    arguments = ["flask", "--app", app, "run", "--port", str(port)]
    with command(arguments, folder, f"http://127.0.0.1:{port}", **environment) as served:
        yield served
