"""The Python clients, blocking and async, against a real server."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bench.clients import CLIENTS, trial
from streaming.client import (
    AsyncClient,
    Client,
    ClientError,
    JobCancelled,
    JobFailed,
    ProblemError,
    ServerAway,
    WaitTimeout,
    fold,
)
from streaming.events.types import DATA
from streaming.events.vocabulary import CONTROL, TYPES
from tests.browser.proxy import Proxy
from tests.e2e.clients import Api
from tests.e2e.server import Server
from tests.e2e.waiting import eventually
from tests.ports import free_port

#: Cuts of each client on each transport; `scripts/bench clients` has a thousand.
CUTS = 25


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(server.url) as made:
        yield made


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with Proxy(server.port) as made:
        yield made


@pytest.mark.slow
@pytest.mark.parametrize(
    ("client", "transport"),
    [
        (client, transport)
        for client in ("python", "python-async")
        for transport in CLIENTS[client][1]
    ],
)
def test_a_hostile_proxy_costs_no_event_and_no_byte(
    server: Server, client: str, transport: str
) -> None:
    verdict = trial(server, client, transport, CUTS, seed=7)

    assert verdict.cuts >= CUTS
    assert verdict.whole, verdict


def test_the_state_of_a_watch_is_the_servers_snapshot(client: Client) -> None:
    job = client.submit("scripted")["id"]
    watch, states = client.watch(job), []
    for event in watch:
        states.append(fold(states[-1] if states else None, event))
        if event["type"] == "input.requested":
            client.answer(job, {"ok": True}, request=event["data"]["request"])

    assert watch.state == states[-1] == client.job(job)
    assert watch.text() == client.text(job) == client.job(job)["text"]
    assert watch.result() == client.result(job) == client.job(job)["output"]


def test_many_jobs_come_over_one_connection(client: Client, api: Api, proxy: Proxy) -> None:
    jobs = [api.submit("generator", {"words": [str(number)] * 5}) for number in range(6)]
    with Client(proxy.url) as far:
        events = list(far.watch_many(jobs))

    assert len(proxy.targets) == 1
    for job in jobs:
        assert [event for event in events if event["job"] == job] == api.log_of(job)


def test_a_watch_goes_on_from_its_positions(client: Client, api: Api) -> None:
    jobs = [api.run("plain", {"words": ["a", "b"]})["id"] for _ in range(2)]
    with client.watch_many(jobs) as watch:
        first = [next(watch) for _ in range(3)]
    rest = list(client.watch_many(watch.positions))

    logs = [event for job in jobs for event in api.log_of(job)]
    assert sorted([*first, *rest], key=json.dumps) == sorted(logs, key=json.dumps)


def test_a_result_is_the_output_or_an_error_that_says_why(client: Client) -> None:
    assert client.run("plain", {"words": ["a"]}).result() == {"text": "a"}
    with pytest.raises(JobFailed, match="that is all|failed") as failed:
        client.run("failing").result()
    assert failed.value.problem["code"]

    job = client.submit("sleeping")["id"]
    client.cancel(job, "enough")
    with pytest.raises(JobCancelled):
        client.result(job)


def test_waiting_has_its_time(client: Client, server: Server) -> None:
    job = client.submit("sleeping", {"seconds": 30})["id"]
    began = time.monotonic()

    with pytest.raises(TimeoutError) as late:
        client.wait(job, timeout_s=0.6)

    assert isinstance(late.value, WaitTimeout)
    assert 0.5 < time.monotonic() - began < 3
    threading.Timer(0.3, lambda: Client(server.url).cancel(job)).start()
    assert client.wait(job, timeout_s=10)["status"] == "cancelled"


def test_a_retry_asks_for_all_that_was_asked_for(client: Client) -> None:
    first = client.submit("plain", {"words": ["a"]}, metadata={"of": "test"}, timeout_s=77)
    client.wait(first["id"])

    again = client.retry(first["id"])

    asked = [next(client.export(job["id"])) for job in (first, again)]
    assert again["id"] != first["id"]
    assert asked[0]["data"] == asked[1]["data"]


def test_files_go_there_and_back(client: Client, tmp_path: Path) -> None:
    made = {"name": "page.html", "versions": ["<p>1</p>", "<p>2</p>"]}
    job = client.run("making", made)
    job.result()
    (tmp_path / "figures.csv").write_text("month,sales\n2024-01,1\n")

    assert client.artifact(job.id, "page.html") == b"<p>2</p>"
    assert client.upload(tmp_path / "figures.csv").startswith("file_")


def test_a_deleted_job_is_gone(client: Client) -> None:
    job = client.submit("plain", {"words": ["a"]})["id"]
    client.wait(job)

    client.delete(job)

    with pytest.raises(ProblemError) as gone:
        client.job(job)
    assert (gone.value.status, gone.value.retryable) == (404, False)


def test_what_is_not_valid_is_named(client: Client) -> None:
    with pytest.raises(ProblemError) as refused:
        client.submit("generate", {"max_tokens": 0})

    fields = {error["field"] for error in refused.value.errors}
    assert (refused.value.status, refused.value.code) == (422, "invalid_input")
    assert {"input.prompt", "input.max_tokens"} <= fields


def test_a_server_that_is_away_is_said_to_be_so() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with Client(url) as client, pytest.raises(ServerAway) as away:
        client.tasks()
    assert (away.value.url, away.value.reason) == (url, "connection refused")

    with Client(url, away_s=0.3) as client, pytest.raises(ServerAway):
        list(client.watch("job_01M8MVEFZF42P9HWB1AXF0C9H3"))


def test_retry_after_is_honoured(proxy: Proxy) -> None:
    rule = proxy.rule("/v1/tasks", status=503, times=2, headers="Retry-After: 1\r\n")
    slept: list[float] = []
    with Client(proxy.url, sleep=slept.append) as client:
        assert client.tasks()

    assert (rule.applied, slept) == (2, [1.0, 1.0])


def test_a_watch_waits_as_long_as_the_server_asks_for(proxy: Proxy, api: Api) -> None:
    job = api.run("plain", {"words": ["a"]})["id"]
    proxy.rule(job, status=503, times=2, headers="Retry-After: 1\r\n")
    slept: list[float] = []
    with Client(proxy.url, sleep=slept.append) as client:
        assert list(client.watch(job)) == api.log_of(job)

    assert slept == [1.0, 1.0]


def test_a_submission_whose_answer_is_lost_starts_one_job(proxy: Proxy, api: Api) -> None:
    proxy.rule("/v1/jobs", cut_after=(1, 20), times=1)
    with Client(proxy.url) as client:
        job = client.submit("plain", {"words": ["a"]}, metadata={"of": "lost answer"})

    jobs = api.get("/v1/jobs?limit=50").json()["jobs"]
    found = [each["id"] for each in jobs if each["metadata"] == {"of": "lost answer"}]
    assert found == [job["id"]]


def test_a_proxy_that_keeps_a_stream_back_is_found_out(proxy: Proxy, api: Api) -> None:
    job = api.run("plain", {"words": ["a"]})["id"]
    proxy.rule("/events", times=4, status=504)
    with Client(proxy.url) as client:
        watch = client.watch(job)
        assert list(watch) == api.log_of(job)
        assert watch.transport == "poll"


def test_asyncio_reads_many_jobs_side_by_side(server: Server, api: Api) -> None:
    async def read() -> list[Any]:
        async with AsyncClient(server.url) as client:
            runs = [await client.run("plain", {"words": [str(n)]}) for n in range(5)]
            results = await asyncio.gather(*(each.result() for each in runs))
            return [results, [each.state for each in runs]]

    results, states = asyncio.run(read())

    assert results == [{"text": str(number)} for number in range(5)]
    assert states == [api.snapshot(state["id"]) for state in states]


def test_a_watch_that_is_left_closes_its_connection(api: Api, client: Client, proxy: Proxy) -> None:
    job = api.submit("sleeping")
    with Client(proxy.url) as far, far.watch(job) as watch:
        next(watch)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(api.cancel, job)

    assert proxy.open("/events") == [] or client.wait(job, timeout_s=10)


def test_another_thread_may_close_a_watch(api: Api, client: Client) -> None:
    job = api.submit("counting")
    with client.watch(job) as watch, ThreadPoolExecutor(1) as pool:
        next(watch)
        reading = pool.submit(list, watch)
        eventually(lambda: watch.positions[job] > 3, "it reads")
        watch.close()
        reading.result(timeout=20)

        seen = watch.positions[job]
    assert client.job(job)["status"] == "running"
    assert next(client.watch(job, after=seen))["seq"] == seen + 1
    api.cancel(job)


def test_a_watch_that_is_closed_early_knows_what_it_gave(client: Client) -> None:
    job = client.submit("plain", {"words": ["a", "b", "c", "d"]})["id"]
    client.wait(job, timeout_s=10)
    given = []
    watch = client.watch(job)
    for event in watch:
        given.append(event["seq"])
        watch.close()

    assert given == [1]
    assert watch.positions == {job: 1}


def test_what_is_no_json_is_refused_here(client: Client, server: Server) -> None:
    with pytest.raises(ClientError, match="cannot be sent"):
        client.submit("plain", {"words": [float("nan")]})

    async def at_once() -> None:
        async with AsyncClient(server.url) as there:
            await there.submit("plain", {"words": [float("nan")]})

    with pytest.raises(ClientError, match="cannot be sent"):
        asyncio.run(at_once())


def test_every_type_of_event_is_described_once() -> None:
    assert set(DATA) == TYPES | CONTROL
