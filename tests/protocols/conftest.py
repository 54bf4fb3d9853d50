"""A service before a model server, as the official clients of other protocols see it."""

from __future__ import annotations

import itertools
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests

from examples.openai_server import ModelServer
from tests.e2e.server import Server
from tests.e2e.waiting import eventually
from tests.protocols.packages import install

HERE = Path(__file__).parent
#: The first one is asked by default; the others by name.
MODELS = (
    "fluent,slow,thinking,stalling,failing,cut,broken,away,overrun,narrow,mute,"
    "wordless,hollow,vanishing,swamped,closed,pausing"
)

NewServer = Callable[..., Server]
RunNode = Callable[..., Any]


@pytest.fixture(scope="session")
def model_server() -> Iterator[ModelServer]:
    made = ModelServer(tokens_per_s=100)
    thread = threading.Thread(target=made.serve_forever, args=(0.02,))
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join(10)


@pytest.fixture(scope="session")
def make_server(tmp_path_factory: pytest.TempPathFactory, model_server: ModelServer) -> NewServer:
    """Makes servers, not yet started, in front of the model server."""

    def make(worker_class: str = "gevent", **settings: Any) -> Server:
        upstream = {
            "STREAMING_LLM_BASE_URL": model_server.url,
            "STREAMING_LLM_MODEL": MODELS,
            "STREAMING_TASKS": "tests.protocols.protocol_tasks",
        }
        folder = tmp_path_factory.mktemp("server")
        return Server(folder, worker_class, **{**upstream, **settings})

    return make


@pytest.fixture(scope="session")
def server(make_server: NewServer) -> Iterator[Server]:
    with make_server() as made:
        yield made.start()


@pytest.fixture
def new_server(make_server: NewServer) -> Iterator[NewServer]:
    """For tests that end or break a server, or need settings of their own."""
    with ExitStack() as stack:
        yield lambda *kind, **settings: stack.enter_context(make_server(*kind, **settings))


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """The pinned npm packages."""
    return install()


@pytest.fixture(scope="session")
def run_script(node_modules: Path) -> Callable[..., str]:
    """Runs a script in tests/protocols by Node 22, which a package carries; what it has printed."""
    carried = sorted(node_modules.glob("node-*/bin/node"))
    program = str(carried[0]) if carried else "node"

    def run(script: str, *arguments: str, timeout_s: float = 60) -> str:
        command = [program, script, *arguments]
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=timeout_s)
        assert done.returncode == 0, (done.stderr or done.stdout)[-3000:]
        return done.stdout

    return run


@pytest.fixture
def node(run_script: Callable[..., str]) -> RunNode:
    """Runs a script of tests/protocols with arguments; what it has printed, as JSON lines."""

    def run(script: str, *arguments: str, timeout_s: float = 60) -> list[Any]:
        printed = run_script(script, *arguments, timeout_s=timeout_s)
        return [json.loads(line) for line in printed.splitlines()]

    return run


_numbers = itertools.count()


def unique(text: str) -> str:
    """A question that nobody else asks."""
    return f"{text} {next(_numbers)}-{time.time_ns()}"


def ends_as(server: Server, job: str, status: str, timeout_s: float = 10) -> dict[str, Any]:
    """The job's snapshot once it has that status."""
    found: dict[str, Any] = {}

    def has_ended() -> bool:
        found.update(requests.get(f"{server.url}/v1/jobs/{job}", timeout=5).json())
        return found["status"] == status

    eventually(has_ended, f"job {job} is {status}", timeout_s=timeout_s)
    return found
