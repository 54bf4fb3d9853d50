"""The browser client while things go wrong: between it and the server, there, on the device."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.proxy import Proxy
from tests.browser.watching import Client, covered
from tests.e2e.clients import Api
from tests.e2e.server import Server
from tests.e2e.waiting import eventually

#: Connections that are cut in the middle of one stream.
CUTS = 300


def test_a_blocked_sse_falls_back_to_websocket_and_that_to_long_polling(
    far_client: Client, proxy: Proxy, api: Api
) -> None:
    job = api.submit("asking")
    proxy.rule("/events", status=502)
    first = far_client.watch(job, shared=False)
    first.until("watch.state.name === 'live' && watch.state.transport === 'websocket'")

    proxy.rule("/ws", status=400)
    proxy.cut("/ws")
    first.until("watch.state.name === 'live' && watch.state.transport === 'poll'")
    api.answer(job, {"ok": True})

    seen = first.finish()
    assert seen["events"] == api.log_of(job)


def test_a_proxy_that_keeps_a_stream_back_is_found_out(
    far_client: Client, proxy: Proxy, api: Api
) -> None:
    job = api.submit("plain", {"words": ["one ", "two "]})
    proxy.rule("/events", silent=True)

    seen = far_client.watch(job, shared=False).finish(timeout_s=60)

    assert seen["state"]["transport"] == "websocket"
    assert seen["events"] == api.log_of(job)


@pytest.mark.parametrize("status", [500, 503])
def test_a_watch_comes_back_after_answers_that_end_an_eventsource(
    far_client: Client, proxy: Proxy, api: Api, status: int
) -> None:
    job = api.submit("plain", {"words": ["one "]})
    rule = proxy.rule(job, status=status, times=5)  # what asks for the reason, too

    seen = far_client.watch(job, transport="sse").finish()

    assert rule.applied == 5
    assert seen["events"] == api.log_of(job)
    assert "waiting" in [state["name"] for state in seen["states"]]


def test_a_watch_waits_as_long_as_the_server_asks_for(
    far_client: Client, proxy: Proxy, api: Api
) -> None:
    job = api.submit("plain", {"words": ["one "]})
    proxy.rule(job, status=503, times=2, headers="Retry-After: 1\r\n")

    seen = far_client.watch(job, shared=False).finish()

    waits = [state for state in seen["states"] if state["name"] == "waiting"]
    assert [(wait["reason"], wait["problem"]["retryAfterS"]) for wait in waits] == [("busy", 1)]
    assert seen["events"] == api.log_of(job)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_hundreds_of_cuts_over_changing_transports_lose_and_repeat_nothing(
    far_client: Client, proxy: Proxy, api: Api
) -> None:
    job = api.submit("counting", {"pause_s": 0.004})
    storm = proxy.rule(job, cut_after=(1500, 3500))
    change = """
        window.ways ??= ["sse", "websocket", "poll", "ndjson"];
        window.ways.push(window.ways.shift());
        if (event.seq % 59 === 0) queueMicrotask(() => watch.use(window.ways[0]));
    """

    watch = far_client.watch(job, then=change, shared=False)
    eventually(lambda: storm.cuts >= CUTS, f"{CUTS} cuts", timeout_s=200)
    proxy.drop(storm)
    api.cancel(job)
    seen = watch.finish()

    log = api.log_of(job)
    assert covered(seen["events"]) == list(range(1, log[-1]["seq"] + 1))
    assert seen["job"] == api.snapshot(job)
    assert (seen["stats"]["lost"], seen["stats"]["repeated"]) == (0, 0)
    assert seen["stats"]["reconnects"] >= CUTS / 2


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["sse", "websocket", "poll"])
def test_a_server_that_is_killed_and_started_again_goes_on_to_the_same_text(
    tab: Page, tmp_path: Path, transport: str
) -> None:
    with Server(tmp_path, "gevent") as server:
        server.start()
        asked = {"prompt": "Tides", "max_tokens": 120, "tokens_per_s": 60}
        job = server.api.submit("generate", asked)
        watch = Client(tab, server.url).watch(job, transport=transport)
        watch.until("seen.job?.text.length > 50")

        server.kill()
        watch.until("watch.state.name === 'waiting'")
        server.start()
        seen = watch.finish()

        ended = server.api.snapshot(job)
        assert seen["job"] == ended
        assert ended["attempt"] == 2
        assert seen["job"]["text"] == ended["output"]["text"]
        assert covered(seen["events"]) == list(range(1, ended["seq"] + 1))
        assert seen["stats"]["repeated"] == 0
