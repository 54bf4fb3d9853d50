"""Limits of owners, rates, messages, jobs and slow bodies: each has its own clear answer."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from streaming.config import Settings
from streaming.errors import TooMany
from streaming.watching.message_meter import PATIENCE, Flooded, MessageMeter
from streaming.web.rates import Rates
from tests.clocks import Clock
from tests.e2e.clients import Api, Socket, read_sse
from tests.e2e.server import Server
from tests.e2e.waiting import eventually
from tests.redis_server import RedisServer


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Little of everything, for each of two owners."""
    server = Server(
        tmp_path_factory.mktemp("strict"),
        "gevent",
        STREAMING_API_KEYS="ann,ben",
        STREAMING_OWNER_STREAMS=2,
        STREAMING_OWNER_JOBS=2,
        STREAMING_RATE_SUBMITS="8/hour",
        STREAMING_MESSAGES_PER_S=5,
        STREAMING_BODY_S=1,
        STREAMING_MAX_JOB_EVENTS=20,
    )
    with server:
        yield server.start()


@pytest.fixture
def ann(strict: Server) -> Api:
    return strict.api.with_key("ann")


@pytest.fixture
def ben(strict: Server) -> Api:
    return strict.api.with_key("ben")


@pytest.fixture(scope="module")
def job(strict: Server) -> Iterator[str]:
    """A job of Ann's that goes on."""
    api = strict.api.with_key("ann")
    job = api.submit("asking")
    api.reach(job, "waiting_for_input")
    yield job
    api.cancel(job)


def test_an_owners_streams_beyond_the_limit_are_turned_away_and_the_old_ones_stay(
    ann: Api, ben: Api, job: str
) -> None:
    with ExitStack() as stack:
        first = [stack.enter_context(closing(read_sse(ann, job))) for _ in range(2)]
        assert {next(events)["type"] for events in first} == {"job.queued"}

        [refused] = list(read_sse(ann, job))
        with Socket(ann, f"/v1/jobs/{job}/ws") as connection:
            assert connection.receive() is None
        ndjson = ann.get(f"/v1/jobs/{job}/events", headers={"Accept": "application/x-ndjson"})

        assert refused["data"]["reason"] == "too_many_streams_of_owner"
        assert connection.code == 1013
        assert (ndjson.status_code, ndjson.json()["code"]) == (503, "too_many_streams_of_owner")
        assert {next(events)["type"] for events in first} == {"job.started"}
        with Socket(ben, "/v1/ws") as connection:  # another owner has room
            assert connection.ask("ping")["type"] == "ack"
    eventually(lambda: next(read_sse(ann, job))["type"] == "job.queued", "there is room again")


def test_an_owners_jobs_beyond_the_limit_are_429_and_others_are_taken(
    ann: Api, ben: Api, job: str
) -> None:
    body = {"task": "asking", "input": {}}
    second = ann.submit("asking")

    refused = ann.post("/v1/jobs", json=body)

    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_jobs")
    assert int(refused.headers["Retry-After"]) > 0
    assert ben.post("/v1/jobs", json=body).status_code == 202
    ann.cancel(second)
    ann.finish(second)


def test_more_than_the_rate_is_429_and_says_when_to_come_again(strict: Server) -> None:
    api = strict.api.with_key("ben")

    answers = [api.post("/v1/files", files={"file": b"x"}) for _ in range(9)]
    with Socket(api, "/v1/ws") as connection:
        over_socket = connection.ask("submit", task="plain", input={})

    assert answers[0].status_code == 201
    assert (answers[-1].status_code, answers[-1].json()["code"]) == (429, "rate_exceeded")
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 3600
    assert over_socket["error"]["code"] == "rate_exceeded"
    assert api.get("/v1/jobs").status_code == 200


def test_too_many_messages_are_errors_and_far_too_many_end_the_socket(ann: Api) -> None:
    with Socket(ann, "/v1/ws") as connection:
        for number in range(5 * PATIENCE + 20):
            try:
                connection.send(json.dumps({"type": "ping", "ref": number}))
            except OSError:
                break
        messages = list(iter(connection.receive, None))

    codes = [message["error"]["code"] for message in messages if message["type"] == "error"]
    assert len(messages) - len(codes) >= 5
    assert set(codes) == {"too_many_messages"}
    assert [message["ref"] for message in messages] == list(range(len(messages)))
    assert connection.code == 1008


def test_a_job_that_writes_too_much_fails_and_says_why(ann: Api) -> None:
    shown = ann.run("plain", {"words": ["word"] * 40})

    assert (shown["status"], shown["error"]["code"]) == ("failed", "job_too_large")
    assert shown["seq"] <= 25


@pytest.mark.parametrize("worker_class", ["gevent", "gthread"])
def test_a_body_that_does_not_come_is_408(tmp_path: Path, worker_class: str) -> None:
    with Server(tmp_path, worker_class, STREAMING_BODY_S=0.5) as server:
        server.start()
        for path, kind in (
            ("/v1/jobs", "application/json"),
            ("/v1/files", "multipart/form-data; boundary=x"),
        ):
            began = time.monotonic()
            with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
                raw.sendall(
                    f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
                    "Content-Length: 100\r\n\r\n{".encode()
                )
                answer = b"".join(iter(lambda: raw.recv(4096), b""))
            assert answer.startswith(b"HTTP/1.1 408 "), answer
            assert b"too_slow" in answer
            assert time.monotonic() - began < 5
        assert server.api.run("plain", {"words": ["a"]})["status"] == "completed"


def test_a_rate_is_kept_and_comes_back_with_time() -> None:
    rates = Rates(Settings.load({"STREAMING_RATE_SUBMITS": "2/minute"}))

    rates.check("submits", "ann")
    rates.check("submits", "ann")

    with pytest.raises(TooMany) as refused:
        rates.check("submits", "ann")
    assert 1 <= refused.value.extra["retry_after_s"] <= 120
    assert rates.allows("submits", "ben")
    assert all(rates.allows("requests", "ann") for _ in range(100))


def test_processes_on_one_redis_count_together(redis_server: RedisServer) -> None:
    settings = Settings.load({"REDIS_URL": redis_server.url, "STREAMING_RATE_REQUESTS": "3/hour"})
    first, second = Rates(settings), Rates(settings)

    counted = [each.allows("requests", "zoe") for each in (first, second, first, second, first)]

    assert counted == [True, True, True, False, False]


def test_counters_that_are_away_let_everything_pass() -> None:
    nowhere = {"REDIS_URL": "redis://127.0.0.1:1", "STREAMING_RATE_REQUESTS": "1/hour"}
    rates = Rates(Settings.load(nowhere))

    assert all(rates.allows("requests", "ann") for _ in range(3))


def test_messages_are_counted_by_the_second() -> None:
    clock = Clock()
    meter = MessageMeter(2, clock=clock)
    for _ in range(2):
        meter.count()
        meter.check()
    meter.count()
    with pytest.raises(TooMany):
        meter.check()

    clock.advance(1)
    meter.count()
    meter.check()

    for _ in range(2 * PATIENCE - 1):
        meter.count()
    with pytest.raises(Flooded):
        meter.count()
