"""The browser client with an API key, and the tickets that it asks for by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Route

from tests.browser.proxy import Proxy
from tests.browser.watching import Client, covered
from tests.e2e.clients import Api
from tests.e2e.server import Server

KEY = {"key": "alice-key"}
TRANSPORTS = ["sse", "websocket", "poll", "ndjson"]


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks for a key."""
    folder = tmp_path_factory.mktemp("keyed")
    with Server(folder, "gevent", STREAMING_API_KEYS="alice-key, bob-key") as server:
        yield server.start()


@pytest.fixture
def alice(keyed: Server) -> Api:
    return keyed.api.with_key("alice-key")


@pytest.fixture
def proxy(keyed: Server) -> Iterator[Proxy]:
    with Proxy(keyed.port) as made:
        yield made


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("shared", [False, True], ids=["alone", "shared"])
def test_a_watch_with_a_key_gives_the_whole_log(
    far_client: Client, proxy: Proxy, alice: Api, transport: str, shared: bool
) -> None:
    job = alice.submit("generate", {"prompt": "Tides", "max_tokens": 20, "tokens_per_s": 100})

    seen = far_client.watch(job, KEY, transport=transport, shared=shared).finish()

    assert seen["events"] == alice.log_of(job)
    assert not [target for target in proxy.targets if "alice-key" in target]


@pytest.mark.parametrize("transport", ["sse", "websocket"])
def test_a_ticket_that_runs_out_is_renewed_and_nothing_is_lost(
    far_client: Client, proxy: Proxy, alice: Api, transport: str
) -> None:
    far_client.tab.route("**/v1/tickets", lasting_a_second)
    job = alice.submit("counting")
    watch = far_client.watch(job, KEY, transport=transport)

    watch.until("watch.stats.reconnects >= 2")
    alice.cancel(job)
    seen = watch.finish()

    assert covered(seen["events"]) == list(range(1, alice.snapshot(job)["seq"] + 1))
    assert (seen["stats"]["lost"], seen["stats"]["repeated"]) == (0, 0)
    assert seen["job"] == alice.snapshot(job)
    reasons = {state.get("reason") for state in seen["states"]}
    assert reasons <= {"closing", "ended", None}
    assert seen["state"]["transport"] == transport


def lasting_a_second(route: Route) -> None:
    asked = json.loads(route.request.post_data or "{}")
    route.continue_(post_data=json.dumps({**asked, "ttl_s": 1}))


def test_jobs_that_come_later_are_let_in_too(far_client: Client, proxy: Proxy, alice: Api) -> None:
    jobs = [alice.submit("asking") for _ in range(2)]
    watches = []
    for job in jobs:
        watches.append(far_client.watch(job, KEY, transport="websocket", shared=True))
        watches[-1].until("seen.job?.status === 'waiting_for_input'")

    assert len(proxy.open("/ws")) == 1
    for job, watch in zip(jobs, watches, strict=True):
        alice.answer(job, {"ok": True})
        assert watch.finish()["events"] == alice.log_of(job)


@pytest.mark.parametrize("key", [None, "wrong-key", "bob-key"])
def test_who_has_no_right_is_told_so(tab: Page, keyed: Server, alice: Api, key: str | None) -> None:
    job = alice.submit("sleeping")
    client = Client(tab, keyed.url)

    seen = client.watch(job, {"key": key} if key else None).finish()

    expected = "job_not_found" if key == "bob-key" else "unauthorized"
    assert (seen["state"]["reason"], seen["state"]["problem"]["code"]) == ("refused", expected)
    alice.cancel(job)
