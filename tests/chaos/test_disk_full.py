"""A disk without room: jobs are refused, readers told, running jobs wait, nothing is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import psutil
import pytest

from bench.account import Envelope
from tests.chaos.conftest import StartServer, Watch
from tests.e2e.server import Server
from tests.e2e.waiting import eventually

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not psutil.LINUX, reason="limits another process: Linux only"),
]

#: Bytes that any file of the worker may have while there is no room: the log's file has more.
NO_ROOM = 4096
#: What the job says, at 50 numbers a second.
NUMBERS = 150
TRANSPORTS = ("sse", "websocket", "poll")


@pytest.fixture
def server(start_server: StartServer, worker_class: str) -> Server:
    return start_server(worker_class)


def set_room(server: Server, size: int) -> None:
    """Have every write of the worker behind `size` bytes of a file fail."""
    (worker,) = server.workers()
    _, most = worker.rlimit(psutil.RLIMIT_FSIZE)
    worker.rlimit(psutil.RLIMIT_FSIZE, (size, most))


def test_while_the_disk_is_full_all_is_told_and_waits_and_then_goes_on(
    server: Server, watch: Watch
) -> None:
    job = server.api.submit("counting", {"amount": NUMBERS})
    heard: list[list[int]] = [[] for _ in TRANSPORTS]
    readers = [
        watch(server, job, transport, on_event=note_levels(levels))
        for transport, levels in zip(TRANSPORTS, heard, strict=True)
    ]
    eventually(lambda: all(r.account.last > 10 for r in readers), "the job is under way")

    set_room(server, NO_ROOM)
    eventually(lambda: server.api.get("/readyz").status_code == 503, "it is not ready")
    missing = server.api.get("/readyz").json()["missing"]
    assert any("storage" in text for text in missing), missing
    eventually(lambda: all(r.account.count("stream.degraded") for r in readers), "all know")
    assert_refused(server)
    stays_at = server.api.snapshot(job)["seq"]

    waiting = server.api.snapshot(job)
    assert (waiting["status"], waiting["seq"]) == ("running", stays_at)
    assert stays_at < NUMBERS
    assert {r.account.last for r in readers} == {stays_at}

    set_room(server, psutil.RLIM_INFINITY)
    accepted = eventually(lambda: try_to_submit(server), "jobs are accepted again")
    for reader in readers:
        reader.wait(20)
    shown = server.api.finish(job)
    assert shown["text"] == "".join(f"{number} " for number in range(NUMBERS))
    for reader in readers:
        assert +reader.account.judge(shown["seq"]) == Counter()
        assert reader.account.text == shown["text"]
    told = {reader.transport: levels for reader, levels in zip(readers, heard, strict=True)}
    assert told["sse"] == told["websocket"] == [3, 0]
    # Each poll is a stream of its own, but it is not told again what made it end.
    assert 1 <= len(told["poll"]) <= 3, told["poll"][:10]
    assert server.api.get("/readyz").status_code == 200
    assert server.api.finish(accepted)["status"] == "completed"
    # What was refused was not kept.
    assert {each["id"] for each in server.api.get("/v1/jobs").json()["jobs"]} == {job, accepted}


def test_a_worker_killed_while_the_disk_is_full_loses_nothing_acknowledged(
    server: Server, watch: Watch
) -> None:
    job = server.api.submit("counting", {"amount": NUMBERS})
    readers = [watch(server, job, transport) for transport in TRANSPORTS]
    eventually(lambda: all(r.account.last > 10 for r in readers), "the job is under way")
    set_room(server, NO_ROOM)
    eventually(lambda: server.api.get("/readyz").status_code == 503, "it is not ready")

    server.kill_worker()  # its successor has room again
    for reader in readers:
        reader.wait(20)
    shown = server.api.finish(job)
    assert (shown["status"], shown["attempt"]) == ("completed", 2)
    for reader in readers:
        assert +reader.account.judge(shown["seq"]) == Counter()
        assert reader.account.text == shown["text"]


def note_levels(levels: list[int]) -> Callable[[Envelope], None]:
    """Write down the levels of the `stream.degraded` that come."""

    def note(envelope: Envelope) -> None:
        if envelope["type"] == "stream.degraded":
            levels.append(envelope["data"]["level"])

    return note


def assert_refused(server: Server) -> None:
    for _ in range(3):
        response = server.api.post("/v1/jobs", json={"task": "quiet", "input": {}})
        assert response.status_code == 503, response.text
        assert response.json()["code"] == "storage_away"
        assert response.json()["retryable"] is True
        assert float(response.headers["Retry-After"]) > 0


def try_to_submit(server: Server) -> str | None:
    body = {"task": "counting", "input": {"amount": 1}}
    response = server.api.post("/v1/jobs", json=body)
    return response.json()["id"] if response.status_code == 202 else None
