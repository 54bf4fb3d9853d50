"""Redis goes away under a running deployment, and comes back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.clients import READERS, Api, Envelope
from tests.e2e.cluster import Cluster
from tests.e2e.reading import assert_ended, assert_whole, of_type, texts
from tests.e2e.waiting import eventually
from tests.redis_server import RedisServer
from tests.threads import together

#: The ways of reading that keep one connection for a whole job.
STREAMS = ("sse", "ndjson", "websocket", "feed")


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def cluster(tmp_path: Path, redis: RedisServer) -> Iterator[Cluster]:
    with Cluster(tmp_path, redis.url, STREAMING_HEARTBEAT_S=0.5) as server:
        yield server.start()


class Watching:
    """Readers of one job in the background, each on one connection."""

    def __init__(self, api: Api, job: str) -> None:
        self.given: dict[str, list[Envelope]] = {name: [] for name in STREAMS}
        self._threads = [
            threading.Thread(target=self._read, args=(api, job, name), daemon=True)
            for name in STREAMS
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, api: Api, job: str, name: str) -> None:
        with closing(READERS[name](api, job)) as events:
            for event in events:
                self.given[name].append(event)

    def all_have(self, kind: str, level: int | None = None) -> bool:
        return all(
            any(level in (None, e["data"].get("level")) for e in of_type(events, kind))
            for events in self.given.values()
        )

    def join(self) -> None:
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()


def test_streams_stay_and_are_told_jobs_wait_new_ones_get_503_and_nothing_is_missing(
    cluster: Cluster, redis: RedisServer
) -> None:
    api = cluster.api
    job = api.submit("counting")
    watching = Watching(api, job)
    eventually(lambda: watching.all_have("text.delta"), "all are live")

    redis.stop()
    eventually(lambda: watching.all_have("stream.degraded", 3), "all are told")
    refused = api.post("/v1/jobs", json={"task": "plain", "input": {"words": []}})
    assert refused.status_code == 503
    assert refused.json()["code"] == "storage_away"
    assert refused.headers["Retry-After"]
    assert api.get("/readyz").status_code == 503
    redis.start()
    eventually(lambda: watching.all_have("stream.degraded", 0), "all are told that it is back")
    eventually(lambda: api.get("/readyz").status_code == 200, "it is ready again")
    api.cancel(job)
    watching.join()

    shown, log = api.snapshot(job), api.log_of(job)
    assert len(of_type(log, "job.started")) == 1
    assert shown["text"].split() == [str(n) for n in range(len(shown["text"].split()))]
    for name, events in watching.given.items():
        assert_ended(events)
        assert assert_whole(events) == shown["seq"], name
        assert "".join(texts(events).values()) == shown["text"]
    assert api.run("plain", {"words": ["after"]})["status"] == "completed"


@pytest.mark.parametrize("kind", ["gevent", "gthread"])
def test_a_frozen_redis_is_told_to_every_probe_in_time(
    tmp_path: Path, redis: RedisServer, kind: str
) -> None:
    def probe() -> tuple[int, float]:
        began = time.monotonic()
        status = cluster.api.get("/readyz").status_code
        return status, time.monotonic() - began

    with Cluster(tmp_path, redis.url, GUNICORN_WORKER_CLASS=kind) as cluster:
        cluster.start()
        redis.freeze()
        answers = [*together([probe] * 20), *together([probe] * 20)]
        redis.thaw()
        eventually(lambda: probe()[0] == 200, "it is ready again")

    assert {status for status, _ in answers} == {503}
    assert max(took_s for _, took_s in answers) < 3
