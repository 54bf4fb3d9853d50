"""Tasks that misbehave: others do not notice, every job ends, and what is stuck is shown."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests

from bench.account import TERMINAL, Envelope
from bench.readers import Reader
from tests.chaos.conftest import StartServer, Watch
from tests.e2e.server import Server
from tests.e2e.waiting import eventually

pytestmark = pytest.mark.slow

#: Seconds of quiet before a heartbeat, in all tests here.
HEARTBEAT_S = 1.0
#: Code that nothing stops: it computes for ever, blocks in C, swallows every exception.
DEAF = (("spinning", {}), ("blocked", {"amount": 600}), ("swallowing", {}))
#: Seconds from a cancel or a time-out to the terminal event, for tasks that do not listen.
CONTRACT_S = 6.0


@pytest.fixture
def server(start_server: StartServer, worker_class: str) -> Server:
    return start_server(worker_class, STREAMING_HEARTBEAT_S=HEARTBEAT_S)


class Ends:
    """When readers were given the terminal event of their job."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}

    def note(self, envelope: Envelope) -> None:
        if envelope["type"] in TERMINAL:
            self.at[envelope["job"]] = time.monotonic()


@contextmanager
def beating(server: Server) -> Iterator[None]:
    """Another reader's heartbeats stay within twice their time."""
    job = server.api.submit("quiet")
    gaps: list[float] = []
    over = threading.Event()
    address = f"{server.url}/v1/jobs/{job}/events"
    with requests.get(address, stream=True, timeout=30) as response:
        watcher = threading.Thread(target=_measure, args=(response, gaps, over))
        watcher.start()
        try:
            eventually(lambda: gaps, "the first beat")
            yield
        finally:
            over.set()
            watcher.join()
    assert max(gaps) <= 2 * HEARTBEAT_S, gaps


def _measure(response: requests.Response, gaps: list[float], over: threading.Event) -> None:
    heard_at = time.monotonic()
    for data in response.iter_content(None):
        gaps.append(time.monotonic() - heard_at)
        heard_at += gaps[-1]
        if over.is_set() or not data:
            return


def stuck(server: Server) -> tuple[int, bool, float]:
    """What is shown of stuck threads: in figures and in words of /readyz, and in /metrics."""
    shown = requests.get(f"{server.url}/readyz", timeout=10).json()
    metrics = requests.get(f"{server.url}/metrics", timeout=10).text
    measured = re.search(r"^streaming_stuck_threads (\S+)$", metrics, re.MULTILINE)
    assert measured is not None
    told = any("stuck" in note for note in shown["notes"])
    return shown["jobs"]["stuck_threads"], told, float(measured[1])


def started(server: Server, job: str) -> float:
    """When it was seen to run."""
    server.api.reach(job, "running")
    return time.monotonic()


def cancel(server: Server, job: str) -> float:
    """When its cancel was asked for."""
    asked_at = time.monotonic()
    server.api.cancel(job)
    return asked_at


def test_code_that_does_not_listen_is_ended_without_it(server: Server, watch: Watch) -> None:
    ends = Ends()
    with beating(server):
        overdue = [server.api.submit(*work, timeout_s=1) for work in DEAF]
        overdue_at = [started(server, job) + 1 for job in overdue]
        cancelled = [server.api.submit(*work) for work in DEAF]
        for job in cancelled:
            started(server, job)
        readers = [watch(server, job, on_event=ends.note) for job in overdue + cancelled]
        cancelled_at = [cancel(server, job) for job in cancelled]
        for reader in readers:
            reader.wait(20)
        many = len(readers)
        eventually(lambda: stuck(server) == (many, True, float(many)), "all are shown as stuck")

    for job, at in zip(overdue, overdue_at, strict=True):
        assert server.api.snapshot(job)["error"]["code"] == "timed_out"
        assert ends.at[job] - at <= CONTRACT_S
    for job, at in zip(cancelled, cancelled_at, strict=True):
        assert server.api.snapshot(job)["status"] == "cancelled"
        assert ends.at[job] - at <= CONTRACT_S


def test_a_thread_counts_as_stuck_until_its_code_returns(
    start_server: StartServer, watch: Watch
) -> None:
    server = start_server("gevent")
    job = server.api.submit("blocked", {"amount": 7})
    started(server, job)
    reader = watch(server, job)
    server.api.cancel(job)
    reader.wait(10)
    eventually(lambda: stuck(server) == (1, True, 1.0), "it is shown as stuck")
    eventually(lambda: stuck(server) == (0, False, 0.0), "it is given back")
    assert reader.account.types[-1] == "job.cancelled"
    assert server.api.snapshot(job)["status"] == "cancelled"


def test_a_greenlet_that_swallows_every_exception_lets_the_others_run(
    start_server: StartServer, watch: Watch
) -> None:
    server = start_server("gevent", STREAMING_HEARTBEAT_S=HEARTBEAT_S)
    job = server.api.submit("swallowing-cooperative")
    reader = watch(server, job)
    with beating(server):
        started(server, job)
        asked_at = cancel(server, job)
        reader.wait(20)
        assert time.monotonic() - asked_at <= CONTRACT_S
    assert reader.account.types[-1] == "job.cancelled"


def test_twenty_event_loops_at_once_run_in_peace(server: Server, watch: Watch) -> None:
    with beating(server):
        jobs = [server.api.submit("own-loop") for _ in range(20)]
        for job in jobs:
            assert server.api.finish(job)["output"] == {"sum": 10}


def test_a_task_that_leaves_like_a_script_fails_and_nothing_else_does(server: Server) -> None:
    workers = server.workers()
    with beating(server):
        shown = server.api.run("exiting")
    assert shown["status"] == "failed"
    assert shown["error"]["code"] not in ("worker_lost", "")
    assert server.workers() == workers


# 3 is what gunicorn takes for a worker that cannot boot, and gives up.
@pytest.mark.parametrize(("worker_class", "code"), [("gevent", 3), ("gthread", 0)])
def test_a_job_that_kills_its_worker_fails_and_those_beside_it_complete(
    start_server: StartServer, watch: Watch, worker_class: str, code: int
) -> None:
    server = start_server(worker_class)
    innocents = [server.api.submit("counting", {"amount": 100}) for _ in range(3)]
    readers = [watch(server, job) for job in innocents]
    for job in innocents:
        started(server, job)
    poison = watch(server, server.api.submit("killing", {"amount": code}))
    assert_completed(server, readers)
    poison.wait(60)
    assert poison.account.types[-1] == "job.failed"
    assert server.api.snapshot(poison.job)["error"]["code"] == "worker_lost"


def assert_completed(server: Server, readers: list[Reader]) -> None:
    for reader in readers:
        reader.wait(60)
        shown = server.api.snapshot(reader.job)
        assert shown["status"] == "completed", shown["error"]
        assert shown["text"] == "".join(f"{number} " for number in range(100))
        assert reader.account.text == shown["text"]
        assert +reader.account.judge(shown["seq"]) == {}
