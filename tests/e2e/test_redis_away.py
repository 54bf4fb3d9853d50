"""Redis goes away under a running deployment, and comes back."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import requests

from tests.e2e.clients import READERS, Api, Envelope
from tests.e2e.cluster import Cluster
from tests.e2e.flask_run import FlaskRun
from tests.e2e.reading import assert_ended, assert_whole, of_type, texts
from tests.e2e.server import PATIENCE_S, Server
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


@pytest.mark.parametrize("kind", ["gevent", "gthread"])
def test_on_a_frozen_redis_every_route_answers_in_time_and_all_is_well_when_it_is_back(
    tmp_path: Path, redis: RedisServer, kind: str
) -> None:
    with Cluster(tmp_path, redis.url, GUNICORN_WORKER_CLASS=kind) as cluster:
        api = cluster.start().api
        ended = api.run("plain", {"words": ["before"]})["id"]
        running = api.submit("counting")
        eventually(lambda: api.snapshot(running)["text"], "it runs")
        new = {"task": "plain", "input": {"words": []}}
        asked: dict[str, Callable[[], requests.Response]] = {
            "submit": lambda: api.post("/v1/jobs", json=new),
            "submit once": lambda: api.post(
                "/v1/jobs", json=new, headers={"Idempotency-Key": "one"}
            ),
            "list": lambda: api.get("/v1/jobs"),
            "show": lambda: api.get(f"/v1/jobs/{running}"),
            "viewers": lambda: api.get(f"/v1/jobs/{running}/viewers"),
            "cancel": lambda: api.post(f"/v1/jobs/{running}/cancel"),
            "open": lambda: api.get(f"/v1/jobs/{ended}/events"),
            "files": lambda: api.post("/v1/files", files={"file": ("a.csv", b"a,b\n1,2\n")}),
            "metrics": lambda: api.get("/metrics"),
        }

        def ask(name: str) -> tuple[str, requests.Response, float]:
            began = time.monotonic()
            answer = asked[name]()
            return name, answer, time.monotonic() - began

        redis.freeze()
        told = together([partial(ask, name) for name in asked for _ in range(3)])
        redis.thaw()
        answers = [each for each in told if isinstance(each, tuple)]
        eventually(lambda: api.get("/readyz").status_code == 200, "it is ready again")
        assert api.run("plain", {"words": ["after"]})["status"] == "completed"
        api.cancel(running)

    assert len(answers) == len(told), told
    assert max(took_s for _, _, took_s in answers) < 3.5, answers
    for name, answer, _ in answers:
        if name == "metrics":
            assert answer.status_code == 200
            assert "streaming_storage_fault 1.0" in answer.text
            assert "streaming_pressure_level" in answer.text
            assert "streaming_jobs_running" not in answer.text
        else:
            assert (answer.status_code, answer.json()["code"]) == (503, "storage_away"), name
            assert answer.headers["Retry-After"]


def answers(server: Server) -> bool:
    with contextlib.suppress(requests.ConnectionError):
        return server.api.get("/healthz").ok
    return False


def test_where_redis_is_not_there_at_the_start_requests_are_told_at_once_until_it_is(
    tmp_path: Path,
) -> None:
    redis = RedisServer(tmp_path / "redis")
    (tmp_path / "app").mkdir()
    with FlaskRun(tmp_path / "app", REDIS_URL=redis.url) as server:
        server.launch()
        eventually(lambda: answers(server), "it listens", timeout_s=PATIENCE_S)

        def ask() -> tuple[int, str, float]:
            began = time.monotonic()
            answer = server.api.get("/v1/jobs")
            return answer.status_code, answer.json()["code"], time.monotonic() - began

        told = together([ask] * 10)
        assert server.api.get("/readyz").status_code == 503
        with redis:
            assert server.api.get("/v1/jobs").status_code == 200

    assert all(isinstance(each, tuple) and each[:2] == (503, "storage_away") for each in told)
    assert max(each[2] for each in told if isinstance(each, tuple)) < 3


def test_a_probe_alone_finds_out_that_redis_is_there_at_last(tmp_path: Path) -> None:
    redis = RedisServer(tmp_path / "redis")
    (tmp_path / "app").mkdir()
    with FlaskRun(tmp_path / "app", REDIS_URL=redis.url) as server:
        server.launch()
        eventually(lambda: answers(server), "it listens", timeout_s=PATIENCE_S)
        [why] = server.api.get("/readyz").json()["missing"]
        with redis:
            missing = server.api.get("/readyz").json()["missing"]

    assert "is not there" in why
    assert missing == ["no worker runs jobs: start one (python -m streaming.worker)"]
