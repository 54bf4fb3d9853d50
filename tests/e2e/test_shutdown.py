"""SIGTERM and HUP: every stream is told, the jobs go on, and nobody notices an outage."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from http.client import BadStatusLine, HTTPConnection
from urllib.parse import urlsplit

import pytest
import requests
from httpx_sse import connect_sse

from tests.e2e.clients import READERS, TERMINAL, Api, Envelope, Json, Socket, streaming_client
from tests.e2e.conftest import NewServer
from tests.e2e.reading import assert_ended, assert_whole, types_of
from tests.e2e.waiting import eventually
from tests.threads import Background

#: Seconds in which a server has left, by default.
LEAVES_S = 10.0


def read_post(api: Api) -> list[Envelope]:
    """What a POST that is answered with a stream gives."""
    body = {"task": "asking", "input": {}}
    with (
        streaming_client() as client,
        connect_sse(client, "POST", f"{api.url}/v1/jobs", json=body) as source,
    ):
        return [frame.json() for frame in source.iter_sse() if frame.data]


def read_socket(api: Api, path: str, job: str | None = None) -> tuple[list[Envelope], int | None]:
    with Socket(api, path) as connection:
        if job is not None:
            connection.ask("subscribe", job=job)
        return list(iter(connection.receive, None)), connection.code


def viewers(api: Api, job: str) -> int:
    return api.get(f"/v1/jobs/{job}/viewers").json()["count"]


def test_sigterm_tells_every_stream_and_exits_in_time_whatever_runs(new_server: NewServer) -> None:
    server = new_server().start()
    api = server.api
    for task in ("counting", "deaf", "sleeping-async", "sleeping-cooperative"):
        api.reach(api.submit(task), "running")
    job = api.submit("asking")
    last = api.reach(job, "waiting_for_input")["seq"]
    one_way = {name: READERS[name] for name in ("sse", "ndjson", "feed")}

    with ThreadPoolExecutor(8) as pool, requests.Session() as idle:
        idle.get(f"{server.url}/healthz", timeout=5)
        streams = [pool.submit(list, read(api, job)) for read in one_way.values()]
        streams.append(pool.submit(read_post, api))
        sockets = [pool.submit(read_socket, api, f"/v1/jobs/{job}/ws")]
        sockets.append(pool.submit(read_socket, api, "/v1/ws", job))
        asked = {"params": {"after": last, "wait": 25}, "timeout": 20}
        poll = pool.submit(api.get, f"/v1/jobs/{job}/poll", **asked)
        eventually(lambda: viewers(api, job) == 6, "all of them watch")
        eventually(lambda: len(api.get("/v1/jobs").json()["jobs"]) == 6, "the POST is accepted")

        exit_s = server.stop()

        for stream in streams:
            assert_closed(stream.result())
        for socket in sockets:
            messages, code = socket.result()
            assert_closed(messages)
            assert code == 1012
        assert poll.result().status_code in (200, 503)
    assert exit_s < LEAVES_S
    assert server.process.returncode == 0
    assert "Traceback" not in server.log_text()


def assert_closed(events: list[Envelope]) -> None:
    assert types_of(events)[-1] == "stream.closing"
    assert set(events[-1]["data"]) == {"reason", "retry_s"}


@contextmanager
def asked_all_the_time(api: Api, job: str) -> Iterator[Json]:
    """Requests of every kind, one after the other, each of which must be answered well."""
    failures: list[str] = []
    over = threading.Event()

    def ask(number: int) -> None:
        body = {"task": "plain", "input": {"words": [str(number)]}}
        requests_made = [
            lambda: api.get("/healthz"),
            lambda: api.get(f"/v1/jobs/{job}"),
            lambda: api.post("/v1/jobs", json=body),
            lambda: api.get(f"/v1/jobs/{job}/poll", params={"wait": 0}),
        ]
        while not over.is_set():
            for make in requests_made:
                try:
                    response = make()
                except requests.RequestException as error:
                    failures.append(repr(error))
                else:
                    if response.status_code not in (200, 202):
                        failures.append(f"{response.url} {response.text}")

    with ThreadPoolExecutor(2) as pool:
        asking: list[Future[None]] = [pool.submit(ask, number) for number in range(2)]
        try:
            yield failures
        finally:
            over.set()
        for each in asking:
            each.result()


@pytest.mark.parametrize("worker_class", ["gevent", "gthread"], indirect=True)
def test_ctrl_c_lets_jobs_finish_as_sigterm_does(new_server: NewServer) -> None:
    server = new_server().start()
    job = server.api.submit("sleeping", {"seconds": 1})
    server.api.reach(job, "running")

    os.killpg(server.process.pid, signal.SIGINT)  # a terminal tells all processes
    server.wait_until_ended()
    server.start()

    shown = server.api.finish(job)
    assert (shown["status"], shown["attempt"]) == ("completed", 1)
    assert "Traceback" not in server.log_text()


def test_who_is_told_to_quit_while_it_drains_drains_on(new_server: NewServer) -> None:
    server = new_server().start()
    job = server.api.submit("sleeping", {"seconds": 3})
    server.api.reach(job, "running")
    worker = server.workers()[0]

    worker.send_signal(signal.SIGTERM)
    eventually(lambda: f"Worker exiting (pid: {worker.pid})" in server.log_text(), "it leaves")
    worker.send_signal(signal.SIGQUIT)

    shown = server.api.finish(job)
    assert (shown["status"], shown["attempt"]) == ("completed", 1)


def test_a_reload_is_no_outage(new_server: NewServer) -> None:
    server = new_server(STREAMING_DRAIN_S=1, STREAMING_HEARTBEAT_S=3).start()
    api = server.api
    job = api.submit("asking")
    api.reach(job, "waiting_for_input")
    old = set(server.workers())

    with ThreadPoolExecutor(1) as pool, asked_all_the_time(api, job) as failures:
        reading = pool.submit(read_on, api, job)
        eventually(lambda: viewers(api, job), "it is watched")
        server.reload()
        eventually(lambda: asks_again(api, job), "the next attempt asks")
        assert api.answer(job, {"ok": True}).status_code == 200
        events = reading.result()

    assert failures == []
    assert not old & set(server.workers())
    assert len(server.workers()) == len(old)
    assert_ended(events)
    assert assert_whole(events) == api.snapshot(job)["seq"]


def test_a_reload_answers_whoever_keeps_connections(new_server: NewServer) -> None:
    """As proxies do, which send the next request on one of them some time after the last."""
    server = new_server().start()
    job = server.api.run("plain", {"words": ["a"]})["id"]
    address = urlsplit(server.url).netloc

    def ask(kept: HTTPConnection) -> int:
        kept.request("GET", f"/v1/jobs/{job}")
        response = kept.getresponse()
        response.read()
        return response.status

    def ask_later(number: int) -> int | None:
        over.wait(0.1 * number)
        try:
            return ask(connections[number])
        except (ConnectionError, BadStatusLine):  # ended while nothing was asked: that is told
            return None

    over = threading.Event()
    connections = [HTTPConnection(address, timeout=20) for _ in range(20)]
    assert {ask(kept) for kept in connections} == {200}
    with ThreadPoolExecutor(len(connections)) as pool:
        os.kill(server.process.pid, signal.SIGHUP)
        answers = list(pool.map(ask_later, range(len(connections))))
    for kept in connections:
        kept.close()

    assert 200 in answers
    assert set(answers) <= {200, None}


def asks_again(api: Api, job: str) -> bool:
    """Whether a later attempt asks: the question of the first stands until that one begins."""
    shown = api.snapshot(job)
    return shown["attempt"] == 2 and shown["status"] == "waiting_for_input"


def read_on(api: Api, job: str) -> list[Envelope]:
    """All events of the job, over as many streams as it takes."""
    seen: list[Envelope] = []
    while not seen or seen[-1]["type"] not in TERMINAL:
        after = seen[-1]["seq"] if seen else 0
        events = READERS["sse"](api, job, after=after)
        seen += [event for event in events if event["type"] != "stream.closing"]
    return seen


def test_a_reload_of_an_app_that_loads_for_long_keeps_nobody_waiting_for_it(
    new_server: NewServer,
) -> None:
    """The old workers serve until the new ones can."""
    loads_for_s = 6.0
    server = new_server(
        STREAMING_TASKS="tests.modules.slow", LOADS_FOR_S=loads_for_s, STREAMING_DRAIN_S=1
    ).start()
    took: list[float] = []
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.05):
            began = time.monotonic()
            assert requests.get(f"{server.url}/v1/jobs?limit=1", timeout=30).ok
            took.append(time.monotonic() - began)

    asking = Background(ask)
    server.reload()
    over.set()
    asking.result(30)

    assert max(took) < loads_for_s - 1


@pytest.mark.parametrize("worker_class", ["gevent"], indirect=True)  # the master waits, not they
def test_a_server_is_told_to_leave_while_its_reload_waits_for_an_app(
    new_server: NewServer,
) -> None:
    server = new_server(STREAMING_TASKS="tests.modules.slow", LOADS_FOR_S=8, STREAMING_DRAIN_S=1)
    (old,) = server.start().workers()
    server.process.send_signal(signal.SIGHUP)
    eventually(lambda: len(server.workers()) == 2, "a new worker loads the app")

    server.process.terminate()

    eventually(lambda: not old.is_running(), "the old worker has left", timeout_s=5)
    assert server.wait_until_ended() == 0
