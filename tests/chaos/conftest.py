"""Servers that are broken on purpose: each test has its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from bench.readers import Reader
from tests.e2e.server import Server

#: Makes a server and waits until it is ready: worker class, settings.
StartServer = Callable[..., Server]
#: Makes a reader of a server's job and starts it: server, job, transport.
Watch = Callable[..., Reader]


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    servers = []

    with ExitStack() as stack:

        def start(worker_class: str, **settings: Any) -> Server:
            settings.setdefault("STREAMING_TASKS", "tests.chaos.chaos_tasks")
            server = stack.enter_context(Server(tmp_path, worker_class, **settings))
            servers.append(server)
            return server.start()

        yield start
        for server in servers:  # a worker full of stuck threads need not be asked
            server.kill()
            print(server.log_text()[-4000:])  # noqa: T201 - pytest shows it when a test fails


@pytest.fixture
def watch() -> Iterator[Watch]:
    readers = []

    def start(server: Server, job: str, transport: str = "sse", **options: Any) -> Reader:
        address = ("127.0.0.1", server.port)
        readers.append(Reader(address, job, transport, seed=len(readers), **options).start())
        return readers[-1]

    yield start
    for reader in readers:
        reader.stop()


@pytest.fixture(params=["gevent", "gthread"])
def worker_class(request: pytest.FixtureRequest) -> str:
    """Each of gunicorn's worker classes."""
    return request.param
