"""The browser client when its device or its page goes away for a while, and comes back."""

from __future__ import annotations

from playwright.sync_api import BrowserContext

from tests.browser.proxy import Proxy
from tests.browser.watching import Client
from tests.e2e.clients import Api
from tests.e2e.waiting import eventually

#: Seconds within which it is back: long before it would have tried by itself.
AT_ONCE_S = 8.0

HIDE = (
    "Object.defineProperty(document, 'visibilityState', { get: () => '%s', configurable: true });"
)
TELL = "document.dispatchEvent(new Event('visibilitychange'));"


def test_a_device_without_network_waits_and_comes_back_at_once(
    client: Client, context: BrowserContext, api: Api
) -> None:
    job = api.submit("asking")
    watch = client.watch(job)
    watch.until("seen.job?.status === 'waiting_for_input'")

    context.set_offline(True)
    watch.until("watch.state.name === 'offline'")
    api.answer(job, {"ok": True})
    api.finish(job)
    context.set_offline(False)

    seen = watch.finish(AT_ONCE_S)
    assert seen["events"] == api.log_of(job)


def test_a_watch_can_play_offline(client: Client, api: Api) -> None:
    job = api.submit("asking")
    watch = client.watch(job)
    watch.until("seen.job?.status === 'waiting_for_input'")

    watch.do("offline(true)")
    assert watch.show()["state"]["name"] == "offline"
    eventually(lambda: api.get(f"/v1/jobs/{job}/viewers").json()["count"] == 0, "nobody watches")
    api.answer(job, {"ok": True})
    watch.do("offline(false)")

    assert watch.finish()["events"] == api.log_of(job)


def test_a_page_that_is_seen_again_does_not_wait_any_longer(
    far_client: Client, proxy: Proxy, api: Api
) -> None:
    job = api.submit("plain", {"words": ["one ", "two "]})
    away = proxy.rule(job, status=503, headers="Retry-After: 600\r\n")
    watch = far_client.watch(job, shared=False)
    watch.until("watch.state.name === 'waiting' && watch.state.retryAt > Date.now() + 500_000")
    proxy.drop(away)

    far_client.tab.evaluate(HIDE % "hidden" + TELL)
    assert watch.show()["state"]["name"] == "waiting"
    far_client.tab.evaluate(HIDE % "visible" + TELL)

    assert watch.finish(AT_ONCE_S)["events"] == api.log_of(job)


def test_a_hidden_page_goes_on_watching(client: Client, api: Api) -> None:
    job = api.submit("asking")
    watch = client.watch(job)
    watch.until("seen.job?.status === 'waiting_for_input'")
    client.tab.evaluate(HIDE % "hidden" + TELL)

    api.answer(job, {"ok": True})

    seen = watch.finish(AT_ONCE_S)
    assert seen["events"] == api.log_of(job)
    assert seen["stats"]["requests"] == 1


def test_a_connection_that_died_while_the_device_slept_is_found_out(
    far_client: Client, proxy: Proxy, api: Api
) -> None:
    job = api.submit("asking")
    watch = far_client.watch(job, transport="sse")
    watch.until("seen.job?.status === 'waiting_for_input'")
    assert proxy.kill("/events") == 1
    api.answer(job, {"ok": True})
    api.finish(job)

    far_client.tab.evaluate(
        "const now = Date.now; Date.now = () => now() + 60_000;"
    )  # an hour's nap

    seen = watch.finish(AT_ONCE_S)
    assert seen["events"] == api.log_of(job)
    assert seen["stats"]["repeated"] == 0


def test_a_good_connection_outlives_a_sleep(far_client: Client, proxy: Proxy, api: Api) -> None:
    job = api.submit("asking")
    watch = far_client.watch(job, shared=False)
    watch.until("seen.job?.status === 'waiting_for_input'")

    far_client.tab.evaluate("const now = Date.now; Date.now = () => now() + 60_000;")
    eventually(lambda: [each for each in proxy.targets if "wait=0" in each], "it was looked after")
    api.answer(job, {"ok": True})

    assert watch.finish()["stats"]["reconnects"] == 0
