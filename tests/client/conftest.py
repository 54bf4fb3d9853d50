"""One server for the tests of the clients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.clients import Api
from tests.e2e.server import Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The settings as they come, but for heartbeats that follow faster upon each other."""
    with Server(tmp_path_factory.mktemp("clients"), "gevent", STREAMING_HEARTBEAT_S=2) as server:
        yield server.start()


@pytest.fixture
def api(server: Server) -> Api:
    return server.api
