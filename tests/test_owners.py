"""Threads that have ended by themselves: what needs them refuses at once, and readiness says so."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from streaming import JobContext, Settings, Streaming, server_of
from streaming.errors import Unavailable
from streaming.server.parts import Parts
from streaming.storage.redis import RedisStorage
from streaming.storage.sqlite import SqliteStorage
from tests.jobs import delta, new_job
from tests.killing import kill
from tests.redis_server import KEYS, RedisServer
from tests.threads import Background, eventually

#: Seconds within which a refusal is one at once, on a machine under load.
AT_ONCE_S = 2.0


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "streaming.concurrency.threads")


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    made = Flask("app")
    streaming = Streaming(
        made, settings=Settings(STREAMING_VAR_DIR=tmp_path), authorize=lambda: "me"
    )

    @streaming.task("answer")
    def answer(ctx: JobContext, input: dict[str, Any]) -> str:
        """Answer."""
        return "an answer"

    made.add_url_rule("/ask", view_func=lambda: streaming.submit(answer, {}), methods=["POST"])
    yield made
    streaming.close(within_s=1)


def parts_of(app: Flask) -> Parts:
    server_of(app).services()
    parts = server_of(app).parts
    assert parts is not None
    return parts


LOOPS = ["load-meter", "retention", "deadlines", "storage-watcher", "job-supervisor", "job-watcher"]


@pytest.mark.parametrize("name", [*LOOPS, "hangups"])
def test_readiness_names_a_thread_that_has_ended(app: Flask, name: str) -> None:
    parts = parts_of(app)
    if name in ("deadlines", "hangups"):  # they wait for long
        kill_and_wake(parts, name)
    else:
        kill(name)

    assert server_of(app).dead() == [name]
    answer = app.test_client().get("/v1/readyz")
    assert answer.status_code == 503
    assert any(name in each for each in answer.json["missing"])


def kill_and_wake(parts: Parts, name: str) -> None:
    killing = Background(kill, name)
    if name == "deadlines":
        parts.deadlines.loop.wake()
    killing.result()


def test_a_server_that_is_closed_has_no_dead_threads(app: Flask) -> None:
    parts = parts_of(app)
    server_of(app).close(within_s=1)

    assert parts.dead() == []


def test_without_the_writer_of_the_file_everything_that_needs_it_is_refused(app: Flask) -> None:
    parts = parts_of(app)
    storage = parts.storage
    assert isinstance(storage, SqliteStorage)
    job = new_job(storage)
    kill("sqlite-writer")

    refused_at_once(lambda: storage.log.append(job, [delta()]))
    refused_at_once(lambda: storage.log.post(job, [delta()], attempt=0).result())
    refused_at_once(lambda: storage.index.remove(job, tombstone=False))
    client = app.test_client()
    assert client.post("/ask").status_code == 503
    assert client.get(f"/v1/jobs/{job}").status_code in (200, 404)
    missing = " ".join(client.get("/v1/readyz").json["missing"])
    assert "sqlite-writer" in missing
    assert "streaming.db has ended" in missing
    assert server_of(app).dead() == ["sqlite-writer"]


def refused_at_once(call: Callable[[], object]) -> None:
    began = time.monotonic()
    with pytest.raises(Unavailable):
        call()
    assert time.monotonic() - began < AT_ONCE_S


@pytest.fixture
def redis(make_redis: Callable[..., RedisStorage]) -> Iterator[RedisStorage]:
    made = make_redis()
    made.open(timeout=1)
    yield made
    made.close()


@pytest.mark.parametrize("part", ["link", "_writer", "follower", "_viewers", "_leases"])
def test_each_thread_of_redis_that_ends_is_named(redis: RedisStorage, part: str) -> None:
    owner: Any = getattr(redis, part)
    owner = getattr(owner, "_subscription", getattr(owner, "loop", owner))
    killing = Background(kill, owner.name)
    if hasattr(owner, "wake"):
        owner.wake()
    killing.result()

    assert redis.dead() == [owner.name]
    assert owner.name in (redis.fault() or "")
    if part == "_writer":
        refused_at_once(lambda: redis.log.append("job_x", [delta()]))
    if part == "link":
        refused_at_once(redis.index.list)


@pytest.mark.parametrize("value", ["no json", "null", "[]"])
def test_one_bad_row_in_redis_hurts_one_job(
    redis: RedisStorage, redis_server: RedisServer, make_redis: Callable[..., RedisStorage],
    value: str,
) -> None:  # fmt: skip
    bad, good = new_job(redis), new_job(redis)
    with redis_server.client() as client:
        client.hset(KEYS.row(bad), mapping={"summary": value, "rev": "x"})
    other = RedisStorage(redis_server.url)
    other.open(timeout=1)

    for storage in (redis, other):
        with pytest.raises(Unavailable):
            storage.log.append(bad, [delta()])
        assert storage.log.append(good, [delta()]).seq > 1
        assert [row.id for row in storage.index.list()] == [good]
        assert storage.log.read(good, 0).last > 1
        with pytest.raises(Unavailable):
            storage.index.get(bad)
        assert storage.fault() is None
        assert storage.dead() == []
    other.follower.connected()
    other.close()


def test_a_key_of_another_kind_in_redis_hurts_one_job(
    redis: RedisStorage, redis_server: RedisServer
) -> None:
    bad, good = new_job(redis), new_job(redis)
    other = RedisStorage(redis_server.url)
    other.open(timeout=1)
    with redis_server.client() as client:
        for key in (KEYS.row(bad), KEYS.events(bad)):
            client.delete(key)
            client.set(key, "a text")

    for storage in (redis, other):
        with pytest.raises(Unavailable):
            storage.log.append(bad, [delta()])
        assert storage.log.append(good, [delta()]).seq > 1
        assert [row.id for row in storage.index.list()] == [good]
    other.close()


def test_a_message_that_is_no_event_stops_no_reader(
    redis: RedisStorage, redis_server: RedisServer
) -> None:
    job = new_job(redis)
    other = RedisStorage(redis_server.url)
    other.open(timeout=1)
    reader = Background(lambda: other.log.read(job, 1, timeout=20))
    channel = KEYS.channel(job)
    with redis_server.client() as client:
        eventually(lambda: client.pubsub_numsub(channel)[0][1] >= 1)
        for message in (b"", b"no json", b"{}", b"\xff"):
            client.publish(channel, message)
    redis.log.append(job, [delta("text")])

    assert [event.seq for event in reader.result().events] == [2]
    assert other.fault() is None
    other.close()
