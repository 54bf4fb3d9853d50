"""Fixtures for tests without servers."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from streaming.running.task import Task
from streaming.storage.base import Storage
from streaming.storage.memory import MemoryStorage
from streaming.storage.redis import RedisStorage
from streaming.storage.snapshots import Snapshots
from tests.gate import Gate, held_at
from tests.redis_server import RedisServer, free_port
from tests.storage.conftest import STORAGES

# How long an example takes says nothing on a machine under load.
settings.register_profile(
    "suite", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("suite")

#: The fixtures that start a server, on which others of the same test rest.
SERVERS = {
    "encrypted", "logging_server", "make_server", "open_server", "redis_server", "safe",
    "server", "servers", "sockets", "start_server", "strict",
}  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts a server, so that it can be left out."""
    for item in items:
        if isinstance(item, pytest.Function) and not SERVERS.isdisjoint(item.fixturenames):
            item.add_marker("server")


@pytest.fixture
def memory() -> MemoryStorage:
    """A storage, open and empty."""
    return MemoryStorage()


@pytest.fixture
def snapshots(memory: MemoryStorage) -> Snapshots:
    """The folds of its logs."""
    return Snapshots(memory.log, memory.index)


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Opened at the end, whatever happens."""
    made = Gate()
    yield made
    made.open()


@pytest.fixture
def held(gate: Gate) -> Task:
    """A task that runs until the gate opens."""
    return held_at(gate)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server for all tests that do not break it."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with a self-signed certificate, as platforms have it."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
         "-subj", "/CN=elsewhere.example", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    port = free_port()
    options = ["--tls-port", str(port), "--tls-cert-file", str(certificate)]
    options += ["--tls-key-file", str(key), "--tls-auth-clients", "no"]
    with RedisServer(folder / "redis", *options):
        yield f"rediss://127.0.0.1:{port}/0"


@pytest.fixture
def make_redis(redis_server: RedisServer) -> Callable[..., RedisStorage]:
    """Makes storages, not yet open, on one empty server: each is a process's."""
    with redis_server.client() as client:
        client.flushall()
    return lambda **options: RedisStorage(redis_server.url, **options)


@pytest.fixture(params=[*STORAGES, pytest.param("redis", marks=pytest.mark.server)])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    """Each storage, open and empty."""
    if request.param == "redis":
        opened: Storage = request.getfixturevalue("make_redis")()
    else:
        opened = STORAGES[request.param](tmp_path)
    opened.open(timeout=1)
    yield opened
    opened.close()
