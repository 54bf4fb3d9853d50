"""Servers for the end-to-end tests: under each of gunicorn's worker classes, and on Redis.

A server with the settings that many tests want is started once; `new_server` makes others.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from examples.openai_server import ModelServer
from tests.e2e.clients import READERS, Api, Reader
from tests.e2e.cluster import Cluster
from tests.e2e.server import Server
from tests.redis_server import RedisServer

#: What the model's server asks for.
MODEL_KEY = "sk-model-key-123"

#: Makes a server, not yet started, from its settings.
NewServer = Callable[..., Server]
#: The same for a deployment on Redis.
MakeCluster = Callable[..., Cluster]


#: The kinds of deployment: one process of a worker class, or web processes and a worker on Redis.
KINDS = ("gevent", "gthread", "redis")
#: Database numbers of the tests' Redis: each deployment has two.
DATABASES = 4000
#: So many servers are kept from one module to the next.
LASTING = 4


class Servers:
    """Makes servers of each kind. Those that last are kept for all tests that want the same."""

    def __init__(self, folder: Callable[[str], Path]) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._redis: RedisServer | None = None
        self._numbers = itertools.count(step=2)
        #: By kind and settings; what was wanted last is last.
        self._lasting: dict[object, Server] = {}

    def make(self, kind: str, **settings: Any) -> Server:
        """A server in a folder of its own, not yet started."""
        if kind != "redis":
            return Server(self._folder("server"), kind, **settings)
        if self._redis is None:
            redis = RedisServer(self._folder("redis"), "--databases", str(DATABASES))
            self._redis = self._stack.enter_context(redis)
        url = self._redis.url_of(next(self._numbers))
        return Cluster(self._folder("server"), url, **settings)

    def lasting(self, kind: str, **settings: Any) -> Server:
        """A started server that other tests use as well."""
        key = (kind, *sorted(settings.items()))
        server = self._lasting.pop(key, None)
        if server is None or not server.runs():
            server = self.make(kind, **settings).start()
        self._lasting[key] = server
        return server

    def trim(self) -> None:
        """End those that were wanted longest ago, as long as there are too many."""
        while len(self._lasting) > LASTING:
            self._lasting.pop(next(iter(self._lasting))).kill()

    def close(self) -> None:
        for server in self._lasting.values():
            server.kill()
        self._stack.close()


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with closing(Servers(tmp_path_factory.mktemp)) as made:
        yield made


@pytest.fixture(scope="session", params=KINDS)
def worker_class(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def make_server(servers: Servers, worker_class: str) -> NewServer:
    """Makes a server of the present kind, not yet started, in a folder of its own."""
    return partial(servers.make, worker_class)


@pytest.fixture(scope="module")
def lasting_server(servers: Servers, worker_class: str) -> Iterator[NewServer]:
    """A server of the present kind with such settings, started, for all tests that want one."""
    yield partial(servers.lasting, worker_class)
    servers.trim()


@pytest.fixture
def new_server(make_server: NewServer) -> Iterator[NewServer]:
    """For tests that start, end or break a server, or need settings of their own."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(make_server(**settings))


@pytest.fixture
def make_cluster(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MakeCluster]:
    """Makes clusters on one empty Redis."""
    with redis_server.client() as client:
        client.flushall()
    with ExitStack() as stack:

        def make(**settings: Any) -> Cluster:
            folder = tmp_path_factory.mktemp("cluster")
            return stack.enter_context(Cluster(folder, redis_server.url, **settings))

        yield make


@pytest.fixture(scope="module")
def server(lasting_server: NewServer) -> Server:
    """The settings as they come."""
    return lasting_server()


@pytest.fixture
def api(server: Server) -> Api:
    return server.api


@pytest.fixture(scope="module")
def brisk(lasting_server: NewServer) -> Server:
    """Heartbeats and pings follow fast upon each other."""
    return lasting_server(STREAMING_HEARTBEAT_S=0.3)


@pytest.fixture(scope="module")
def roomy(lasting_server: NewServer) -> Server:
    """Events may be large; a ping each second."""
    return lasting_server(STREAMING_HEARTBEAT_S=1, STREAMING_MAX_EVENT_BYTES=8 << 20)


@pytest.fixture(scope="module")
def rotating(lasting_server: NewServer) -> Server:
    """A stream does not live long."""
    return lasting_server(STREAMING_ROTATE_S=0.5)


@pytest.fixture(scope="module")
def narrow(lasting_server: NewServer) -> Server:
    """Two streams, one job, one in the queue, small bodies; one web process on Redis, too."""
    return lasting_server(
        WEB_CONCURRENCY=1,
        STREAMING_MAX_STREAMS=2,
        STREAMING_JOBS=1,
        STREAMING_QUEUE=1,
        STREAMING_MAX_BODY_BYTES=4096,
        STREAMING_MAX_UPLOAD_BYTES=8192,
    )


@pytest.fixture(scope="module")
def forgetful(lasting_server: NewServer) -> Server:
    """Keeps the last few events of a job, and a job for a moment after its end."""
    return lasting_server(STREAMING_RETENTION_EVENTS=20, STREAMING_RETENTION_S=2)


@pytest.fixture(scope="module")
def keyed(lasting_server: NewServer) -> Server:
    """Asks for a key; trusts one foreign origin."""
    return lasting_server(
        STREAMING_API_KEYS="alice-key, bob-key",
        STREAMING_ALLOWED_ORIGINS="https://friend.example",
    )


@pytest.fixture(scope="session")
def model_server() -> Iterator[ModelServer]:
    """Stands for a real model; `aliases` says how its models `wanted` and `other` behave."""
    made = ModelServer(key=MODEL_KEY, tokens_per_s=200)
    thread = threading.Thread(target=made.serve_forever, args=(0.02,))
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join(10)


@pytest.fixture(scope="module")
def modelled(lasting_server: NewServer, model_server: ModelServer) -> Server:
    """Its model is behind a server."""
    return lasting_server(
        STREAMING_LLM_BASE_URL=model_server.url,
        STREAMING_LLM_API_KEY=MODEL_KEY,
        STREAMING_LLM_MODEL="wanted, other",
    )


@pytest.fixture(params=READERS.values(), ids=READERS.keys())
def read(request: pytest.FixtureRequest) -> Reader:
    """Each way to read a job."""
    return request.param


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Any:
    """A failed test shows what its servers said."""
    report = yield
    if report.failed:
        for name, value in getattr(item, "funcargs", {}).items():
            if isinstance(value, Server):
                report.sections.append((f"log of {name}", value.log_text()[-4000:]))
    return report
