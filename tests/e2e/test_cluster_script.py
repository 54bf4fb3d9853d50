"""scripts/cluster: a whole deployment on this machine, in which what is killed comes back."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.clients import Api
from tests.e2e.server import PATIENCE_S, ROOT, free_port
from tests.e2e.waiting import eventually


class Script:
    """The script as people run it, on free ports and in a folder of its own."""

    def __init__(self, folder: Path, **settings: str) -> None:
        port = free_port()
        self.api = Api(f"http://127.0.0.1:{port}")
        self._log = folder / "cluster.log"
        own = {
            "PORT": str(port),
            "REDIS_PORT": str(free_port()),
            "STREAMING_VAR_DIR": str(folder),
            "STREAMING_TASKS": "tests.e2e.e2e_tasks",
            "STREAMING_WORKER_TIMEOUT_S": "3",
            "WEB_CONCURRENCY": "1",
            "WORKERS": "1",
            **settings,
        }
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                ["sh", "scripts/cluster"], cwd=ROOT, env=kept | own, stdout=log, stderr=log
            )

    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def find(self, name: str) -> list[psutil.Process]:
        """Its processes with a word in their command, the oldest first."""
        every = psutil.Process(self.process.pid).children(recursive=True)
        return [each for each in every if name in _command(each)]


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Script]]:
    """Runs the script; nothing of it is left afterwards."""
    scripts: list[Script] = []

    def start(**settings: str) -> Script:
        scripts.append(Script(tmp_path, **settings))
        return scripts[-1]

    yield start
    for script in scripts:
        if script.process.poll() is None:
            for each in [*script.find(""), script.process]:
                each.kill()
            script.process.wait(PATIENCE_S)


def test_what_is_killed_is_started_again_and_said_and_all_ends_in_order(
    run: Callable[..., Script],
) -> None:
    script = run()
    api = script.api
    eventually(lambda: _is_ready(api), "it is ready", timeout_s=PATIENCE_S)
    job = api.submit("asking")
    api.reach(job, "waiting_for_input")

    for name, words in (
        ("streaming.worker", "worker 1 has ended (status 137); it is started again in 1 s"),
        ("gunicorn", "the web server has ended (status 137); it is started again in 1 s"),
        ("redis-server", "Redis has ended; it is started again"),
    ):
        killed = script.find(name)[0]
        killed.kill()
        eventually(lambda words=words: words in script.said(), words)
        eventually(
            lambda name=name, killed=killed: any(
                each != killed and each.is_running() for each in script.find(name)
            ),
            f"another {name}",
        )
        eventually(lambda: _is_ready(api), f"ready after {name}", timeout_s=PATIENCE_S)

    eventually(
        lambda: (
            api.snapshot(job)["attempt"] > 1 and api.snapshot(job)["status"] == "waiting_for_input"
        ),
        "the job goes on",
        timeout_s=PATIENCE_S,
    )
    api.answer(job, {"ok": True})
    assert api.finish(job)["status"] == "completed"

    every = script.find("")
    script.process.send_signal(signal.SIGTERM)
    assert script.process.wait(PATIENCE_S) == 0
    assert not [each for each in every if each.is_running()]


def test_what_cannot_start_at_all_ends_it(run: Callable[..., Script]) -> None:
    script = run(STREAMING_QUEUE="many")

    assert script.process.wait(PATIENCE_S) == 1

    assert "STREAMING_QUEUE" in script.said()
    assert "has ended at once" in script.said()


def _is_ready(api: Api) -> bool:
    try:
        return api.get("/readyz").status_code == 200
    except OSError:
        return False
