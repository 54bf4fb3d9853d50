"""Metrics: what streams, refusals and ends are counted as, in one process and in several."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from streaming.events.event import Draft, Event, rfc3339
from streaming.web.figures import Figures
from streaming.web.prometheus import Metrics, appended_at
from tests.clocks import Clock
from tests.e2e.clients import Api, read_sse
from tests.e2e.cluster import Cluster
from tests.e2e.server import Server
from tests.e2e.waiting import eventually
from tests.redis_server import RedisServer

NOTHING = Figures(streams={}, sent=[], lag=0, loop_lag_s=0, pressure=0, draining=False)

#: Names with their labels, and values.
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parse(text: str) -> Samples:
    """What an exposition says, as Prometheus' own parser reads it."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    """The sum of the samples of a name that have these labels."""
    return sum(
        found
        for (each, given), found in samples.items()
        if each == name and set(labels.items()) <= given
    )


def shown(api: Api) -> Samples:
    return parse(api.get("/metrics").text)


def event_at(seconds: float) -> Event:
    return Event.of("job_a", 1, Draft("text.delta", {"item": "a", "text": "x"}, rfc3339(seconds)))


def test_the_time_of_an_append_is_read_from_the_envelope() -> None:
    moment = datetime(2026, 11, 25, 22, 0, 0, 123000, UTC).timestamp()

    assert appended_at(event_at(moment)) == pytest.approx(moment)


def test_a_delay_is_from_append_to_write_and_only_of_what_is_new() -> None:
    clock = Clock(2_000_000_000.0)
    metrics = Metrics(lambda: NOTHING, clock=clock)

    metrics.delayed("sse", event_at(clock.now - 0.04), clock.now - 1)
    metrics.delayed("sse", event_at(clock.now - 5), clock.now - 1)

    samples = parse(metrics.exposition().decode())
    name = "streaming_delivery_delay_seconds"
    assert value(samples, f"{name}_count", transport="sse") == 1
    assert value(samples, f"{name}_sum") == pytest.approx(0.04, abs=0.002)
    assert value(samples, f"{name}_bucket", le="0.025") == 0
    assert value(samples, f"{name}_bucket", le="0.05") == 1


def test_totals_that_are_told_again_do_not_count_twice() -> None:
    total = [0]
    metrics = Metrics(
        lambda: Figures(
            streams={"sse": 1},
            sent=[("sse", "writer", total[0], total[0])],
            lag=3,
            loop_lag_s=0,
            pressure=0,
            draining=False,
        )
    )
    for total[0] in (100, 100, 150):
        metrics.tell()

    samples = parse(metrics.exposition().decode())
    assert value(samples, "streaming_sent_bytes_total", transport="sse", way="writer") == 150
    assert value(samples, "streaming_reader_lag_events") == 3


def test_streams_delays_refusals_and_ended_jobs_are_counted(safe: Server, alice: Api) -> None:
    before = shown(alice)
    job = alice.submit("asking")
    with closing(read_sse(alice, job)) as events:
        assert next(events)["type"] == "job.queued"
        alice.reach(job, "waiting_for_input")
        assert value(shown(alice), "streaming_open_streams", transport="sse") >= 1
        alice.answer(job, {"ok": True})
        assert list(events)[-1]["type"] == "job.completed"
    safe.api.get("/v1/jobs")
    after = eventually(
        lambda: next((s for s in [shown(alice)] if ended(s) > ended(before)), None),
        "the end is counted",
    )

    def more(name: str, **labels: str) -> float:
        return value(after, name, **labels) - value(before, name, **labels)

    assert more("streaming_delivery_delay_seconds_count", transport="sse") >= 1
    assert more("streaming_refused_total", reason="unauthorized") >= 1
    assert more("streaming_sent_events_total", transport="sse") >= 4
    for name in ("streaming_jobs_queued", "streaming_stuck_threads", "streaming_pressure_level"):
        assert name in {each for each, _ in after}


def ended(samples: Samples) -> float:
    return value(samples, "streaming_job_duration_seconds_count", task="asking", status="completed")


@pytest.fixture(scope="module")
def cluster(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Two web processes behind one port."""
    with redis_server.client() as client:
        client.flushall()
    with Cluster(tmp_path_factory.mktemp("cluster"), redis_server.url) as server:
        yield server.start()


def test_whichever_process_is_asked_tells_of_all(cluster: Server) -> None:
    api = cluster.api
    job = api.submit("asking")
    api.reach(job, "waiting_for_input")

    with ExitStack() as stack:
        for _ in range(12):
            next(stack.enter_context(closing(read_sse(api, job))))
        for _ in range(8):  # the kernel gives each request to either process
            eventually(
                lambda: value(shown(api), "streaming_open_streams", transport="sse") == 12,
                "the streams of both are counted",
            )
    eventually(
        lambda: value(shown(api), "streaming_open_streams", transport="sse") == 0, "none is left"
    )
    counts = [value(shown(api), "streaming_sent_events_total") for _ in range(8)]
    assert counts == sorted(counts)
    assert counts[0] >= 12
    api.cancel(job)


def test_a_worker_that_dies_takes_its_streams_along_and_leaves_its_counts(cluster: Server) -> None:
    api = cluster.api
    job = api.submit("asking")
    api.reach(job, "waiting_for_input")
    with ExitStack() as stack:
        for _ in range(8):
            next(stack.enter_context(closing(read_sse(api, job))))
        eventually(lambda: value(shown(api), "streaming_open_streams") >= 8, "they are counted")
        before = value(shown(api), "streaming_sent_events_total")
        for worker in cluster.workers():
            worker.kill()
        cluster.wait_until_ready()

        eventually(lambda: value(shown(api), "streaming_open_streams") == 0, "they are gone")
    assert value(shown(api), "streaming_sent_events_total") >= before - 8
    api.cancel(job)


def test_the_slowest_streams_are_one_request_away(alice: Api, bob: Api, root: Api) -> None:
    job = alice.submit("flooding", {"count": 20_000})
    alice.reach(job, "waiting_for_input")
    with closing(stalled_reader(alice, job)), closing(read_sse(alice, job)) as swift:
        next(swift)
        eventually(lambda: alice.get("/v1/streams").json()["count"] == 2, "both are open")
        alice.answer(job, True)

        def slowest() -> dict[str, Any] | None:
            next(swift)
            [first] = alice.get("/v1/streams", params={"limit": 1}).json()["streams"]
            return first if first["lag"] > 100 else None

        found = eventually(slowest, "one is far behind")
        assert bob.get("/v1/streams").json() == {"count": 0, "streams": []}
        assert root.get("/v1/streams").json()["count"] == 2
    assert (found["job"], found["task"], found["transport"]) == (job, "flooding", "sse")
    alice.cancel(job)


def stalled_reader(api: Api, job: str) -> socket.socket:
    """The connection of a reader of SSE that reads nothing."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", int(api.url.rpartition(":")[2])))
    head = f"GET /v1/jobs/{job}/events HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    connection.sendall(f"{head}Authorization: {api.headers['Authorization']}\r\n\r\n".encode())
    return connection


def test_readiness_says_what_is_missing(safe: Server) -> None:
    answer = safe.api.get("/readyz")

    assert answer.status_code == 200
    assert answer.json()["missing"] == []
    assert re.search(r"^streaming_storage_fault 0", safe.api.get("/metrics").text, re.MULTILINE)
