"""A loaded server: it tells so, refuses what is new, and what it goes on with stays whole."""

from __future__ import annotations

from typing import Any

import pytest

from bench.account import Account
from tests.e2e.clients import READERS, Api, Socket, read_sse
from tests.e2e.conftest import NewServer
from tests.e2e.waiting import eventually
from tests.threads import Background

#: Jobs that wait, of so many that may.
QUEUE = 20
#: Seconds in which the level must follow the load: five, and two looks.
SOON_S = 12.0


def level_of(api: Api) -> int:
    return api.get("/readyz").json()["pressure"]["level"]


def watched(read: Any, api: Api, job: str) -> Account:
    account = Account(job)
    for envelope in read(api, job):
        account.take(envelope)
    return account


# Pressure is each process's own: with several web processes, another one would answer.
@pytest.mark.parametrize("worker_class", ["gevent", "gthread"], indirect=True)
@pytest.mark.slow
def test_a_full_queue_leads_to_the_top_and_its_end_back(new_server: NewServer) -> None:
    server = new_server(STREAMING_JOBS=2, STREAMING_QUEUE=QUEUE).start()
    api = server.api
    counting = api.submit("counting")
    readers = {
        name: Background(watched, read, api, counting)
        for name, read in READERS.items()
        if name != "poll"
    }
    eventually(lambda: api.get(f"/v1/jobs/{counting}/viewers").json()["count"] == 5, "all watch")
    jobs = [api.submit("sleeping", {"seconds": 600}) for _ in range(QUEUE + 1)]

    eventually(lambda: level_of(api) == 3, "the top", SOON_S)

    assert "pressure level 3: queue" in api.get("/readyz").json()["notes"]
    assert "streaming_pressure_level 3.0" in api.get("/metrics").text
    refused = api.post("/v1/jobs", json={"task": "sleeping", "input": {}})
    assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
    assert float(refused.headers["Retry-After"]) > 0
    assert [each["type"] for each in read_sse(api, counting)] == ["stream.closing"]
    answer = api.get(f"/v1/jobs/{counting}/events", headers={"Accept": "application/x-ndjson"})
    assert answer.status_code == 503
    with Socket(api, f"/v1/jobs/{counting}/ws") as socket:
        assert socket.receive() is None
        assert socket.code == 1013
    page = api.get(f"/v1/jobs/{counting}/poll", params={"wait": 25}).json()
    assert any("from" in event for event in page["events"])

    for job in jobs:
        api.cancel(job)
    eventually(lambda: level_of(api) == 0, "all is well again", SOON_S)
    api.cancel(counting)
    shown = api.finish(counting)
    for name, reader in readers.items():
        account = reader.result()
        assert +account.judge(shown["seq"]) == {}, name
        assert account.text == shown["text"], name
        assert account.count("stream.degraded") >= 2, name
        merged = [last - first for first, last in account.ranges if last > first]
        assert max(merged) > 10, name
