"""Two web processes on one Redis: what one of them began, the other knows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import requests

from tests.e2e.cluster import Cluster
from tests.e2e.server import Server
from tests.e2e.waiting import eventually
from tests.protocols.conftest import ends_as, unique
from tests.protocols.ways import WAYS, Ui, frames_of
from tests.redis_server import RedisServer

NUMBERS = "".join(f"{number} " for number in range(100))
TASKS = "tests.protocols.protocol_tasks"


@pytest.fixture(scope="module")
def servers(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Server]]:
    """Each on a port of its own; one has the worker that runs the jobs."""
    url, more = redis_server.url, {"STREAMING_TASKS": TASKS, "WEB_CONCURRENCY": 1}
    one = Cluster(tmp_path_factory.mktemp("one"), url, **more)
    other = Server(tmp_path_factory.mktemp("other"), "gevent", REDIS_URL=url, **more)
    with ExitStack() as stack:
        yield stack.enter_context(one.start()), stack.enter_context(other.start())


@pytest.mark.parametrize("name", WAYS)
def test_a_cut_stream_goes_on_in_the_other_process(
    servers: tuple[Server, Server], name: str
) -> None:
    one, other = servers
    way = WAYS[name]()
    way.headers = {"X-On-Disconnect": "continue"}
    with way.begin(one, "100 numbers", "counting") as response:
        frames = frames_of(response)
        seen = [next(frames) for _ in range(way.cut_after)]

    way.come_back(other, seen)

    assert way.text(seen) == NUMBERS
    assert way.end(seen) == "completed"


def test_a_chat_is_stopped_from_the_other_process(servers: tuple[Server, Server]) -> None:
    one, other = servers
    way = Ui()
    with way.begin(one, "5000 numbers", "counting") as response:
        frames = frames_of(response)
        next(frames)
        stopped = requests.post(f"{other.url}/v1/ui/chat/{way.chat}/stop", timeout=10)
        assert stopped.status_code == 200
        rest = list(frames)

    assert way.end(rest) == "cancelled"


def test_a_retry_joins_from_the_other_process(servers: tuple[Server, Server]) -> None:
    one, other = servers
    path = "/v1/chat/completions"
    said = [{"role": "user", "content": unique("200 numbers")}]
    asked = {"model": "counting", "messages": said, "stream": True}
    headers = {"X-On-Disconnect": "continue"}
    with requests.post(one.url + path, json=asked, stream=True, headers=headers) as first:
        job = first.headers["X-Job-Id"]
        next(first.iter_lines())
    viewers = f"{other.url}/v1/jobs/{job}/viewers"
    eventually(lambda: requests.get(viewers, timeout=5).json()["count"] == 0, "it has hung up")

    retry = {**headers, "X-Stainless-Retry-Count": "1"}
    with requests.post(other.url + path, json=asked, stream=True, headers=retry) as again:
        assert again.headers["X-Job-Id"] == job
    ends_as(one, job, "completed", timeout_s=30)
