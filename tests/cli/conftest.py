"""The command line as people run it: a process of its own, against one server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.clients import Api
from tests.e2e.server import ROOT, Server

Ended = subprocess.CompletedProcess[str]
Run = Callable[..., Ended]

COMMAND = [sys.executable, "-m", "streaming.cli"]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("cli"), "gevent") as server:
        yield server.start()


@pytest.fixture
def api(server: Server) -> Api:
    return server.api


def environment(url: str, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STREAMING_")}
    return {**kept, "STREAMING_URL": url, "PYTHONPATH": str(ROOT), **more}


@pytest.fixture
def cli(server: Server) -> Run:
    """Runs a command to its end."""

    def run(*arguments: str, stdin: str = "", url: str = server.url, **more: str) -> Ended:
        return subprocess.run(
            [*COMMAND, *arguments],
            input=stdin,
            env=environment(url, **more),
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )

    return run
