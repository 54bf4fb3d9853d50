"""Many jobs over one connection of the browser client."""

from __future__ import annotations

import pytest

from tests.browser.proxy import Proxy
from tests.browser.watching import Client, Watch
from tests.e2e.clients import Api
from tests.e2e.waiting import eventually

#: More than a browser allows connections to a host over HTTP/1.1.
JOBS = 8
WAITING = "seen.job?.status === 'waiting_for_input'"


def many(client: Client, api: Api, transport: str, count: int = JOBS) -> dict[str, Watch]:
    jobs = [api.submit("asking") for _ in range(count)]
    return {job: client.watch(job, shared=True, transport=transport) for job in jobs}


@pytest.mark.parametrize(("transport", "path"), [("sse", "/events"), ("websocket", "/ws")])
def test_many_jobs_share_one_connection_and_leave_room_for_requests(
    far_client: Client, proxy: Proxy, api: Api, transport: str, path: str
) -> None:
    watches = many(far_client, api, transport)
    for watch in watches.values():
        watch.until(WAITING)

    assert len(proxy.open(path)) == 1
    for job in watches:  # over the page's connections, of which there are six
        far_client.run("await streaming.answer(argument, { ok: true })", job)

    for job, watch in watches.items():
        seen = watch.finish()
        assert seen["events"] == api.log_of(job)
        assert seen["job"] == api.snapshot(job)


def test_many_polls_leave_room_for_requests(far_client: Client, proxy: Proxy, api: Api) -> None:
    watches = many(far_client, api, "poll")
    for watch in watches.values():
        watch.until(WAITING)

    assert len(proxy.open("/poll")) <= 4
    for job in watches:
        far_client.run("await streaming.answer(argument, { ok: true })", job)
    for job, watch in watches.items():
        assert watch.finish()["events"] == api.log_of(job)


@pytest.mark.parametrize(("transport", "path"), [("sse", "/events"), ("websocket", "/ws")])
def test_jobs_come_and_go_on_the_same_connection(
    far_client: Client, proxy: Proxy, api: Api, transport: str, path: str
) -> None:
    first, second = many(far_client, api, transport, 2).items()
    first[1].until(WAITING)
    ((late, late_watch),) = many(far_client, api, transport, 1).items()
    late_watch.until(WAITING)
    second[1].do("close()")

    assert len(proxy.open(path)) == 1
    for job in (first[0], second[0], late):
        api.answer(job, {"ok": True})
        api.finish(job)

    assert first[1].finish()["events"] == api.log_of(first[0])
    assert late_watch.finish()["events"] == api.log_of(late)
    closed = second[1].show()
    assert closed["state"]["reason"] == "closed"
    assert "job.completed" not in [event["type"] for event in closed["events"]]
    assert closed["stats"]["repeated"] == first[1].show()["stats"]["repeated"] == 0


def test_a_cut_of_the_shared_connection_costs_none_of_its_jobs_an_event(
    far_client: Client, proxy: Proxy, api: Api
) -> None:
    words = [f"{number} " for number in range(50)]
    jobs = [api.submit("generate", {"prompt": "Fog", "max_tokens": 60}) for _ in range(3)]
    jobs += [api.submit("plain", {"words": words}) for _ in range(3)]
    storm = proxy.rule("/v1/events", times=5, cut_after=(2000, 5000))

    watches = {job: far_client.watch(job, shared=True, transport="sse") for job in jobs}

    for job, watch in watches.items():
        seen = watch.finish()
        assert seen["events"] == api.log_of(job)
    assert storm.cuts == 5


def test_a_shared_watch_falls_back_with_all_the_others(
    far_client: Client, proxy: Proxy, api: Api
) -> None:
    proxy.rule("/v1/events", status=502)
    jobs = [api.submit("asking") for _ in range(3)]
    watches = [far_client.watch(job, shared=True) for job in jobs]

    for watch in watches:
        watch.until(f"watch.state.transport === 'websocket' && {WAITING}")

    assert proxy.open("") == ["/v1/ws"]
    for job in jobs:
        api.answer(job, {"ok": True})


@pytest.mark.slow
def test_a_hundred_jobs_fit_into_one_feed(far_client: Client, proxy: Proxy, api: Api) -> None:
    watches = many(far_client, api, "sse", 100)
    for watch in watches.values():
        watch.until("watch.position >= 1")

    proxy.cut("/events")  # so that the address names all positions
    (target,) = eventually(lambda: proxy.open("/events"), "it is back")
    assert target.count("job=") == target.count(":") == 100
    for job in watches:
        api.cancel(job)
    for watch in watches.values():
        watch.finish()
