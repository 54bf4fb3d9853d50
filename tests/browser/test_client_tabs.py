"""All tabs of a browser share one connection of the browser client."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext

from tests.browser.proxy import Proxy
from tests.browser.watching import Client, Watch
from tests.e2e.clients import Api
from tests.e2e.waiting import eventually

WAITING = "seen.job?.status === 'waiting_for_input'"
STREAMS = ("/ws", "/events")

Open = Callable[[], Client]


@pytest.fixture
def new_tab(context: BrowserContext, proxy: Proxy) -> Iterator[Open]:
    """Opens a tab of the same browser, with the client in it."""
    opened: list[Client] = []

    def make() -> Client:
        opened.append(Client(context.new_page(), proxy.url))
        return opened[-1]

    yield make
    for client in opened:
        assert client.thrown == []


def streams(proxy: Proxy) -> list[str]:
    return [target for way in STREAMS for target in proxy.open(way)]


def test_twenty_tabs_with_twenty_jobs_hold_one_connection_and_commands_do_not_wait(
    new_tab: Open, proxy: Proxy, api: Api
) -> None:
    jobs = [api.submit("asking") for _ in range(20)]
    tabs = [new_tab() for _ in jobs]
    watches = [tab.watch(job) for tab, job in zip(tabs, jobs, strict=True)]
    for watch in watches:
        watch.until(WAITING)

    assert len(streams(proxy)) == 1
    for tab, job in zip(tabs, jobs, strict=True):
        began = time.monotonic()
        assert tab.run("return await streaming.cancel(argument)", job)["id"] == job
        assert time.monotonic() - began < 1
    for watch, job in zip(watches, jobs, strict=True):
        seen = watch.finish()
        assert seen["events"] == api.log_of(job)
        assert seen["job"] == api.snapshot(job)


def test_when_the_tab_that_leads_is_closed_another_goes_on_and_nothing_is_lost(
    new_tab: Open, proxy: Proxy, api: Api
) -> None:
    job = api.submit("counting")
    first, second, third = (new_tab() for _ in range(3))
    first.watch(job).until("watch.position >= 5")
    watches = [tab.watch(job) for tab in (second, third)]
    for watch in watches:
        watch.until("watch.position >= 8")

    first.tab.close()
    reached = max(watch.show()["position"] for watch in watches)
    for watch in watches:
        watch.until(f"watch.position >= {reached + 10}")

    assert len(streams(proxy)) == 1
    api.cancel(job)
    for watch in watches:
        seen = watch.finish()
        assert seen["job"] == api.snapshot(job)
        assert (seen["stats"]["lost"], seen["stats"]["repeated"]) == (0, 0)


def test_a_tab_that_comes_late_has_all_that_was_before(new_tab: Open, api: Api) -> None:
    job = api.submit("generate", {"prompt": "Tides", "max_tokens": 200, "tokens_per_s": 60})
    early = new_tab().watch(job)
    early.until("watch.position >= 30")

    late = new_tab().watch(job)

    assert late.finish()["events"] == api.log_of(job)
    assert early.finish()["events"] == api.log_of(job)


def test_watches_with_other_types_of_the_same_job_each_get_theirs(
    new_tab: Open, proxy: Proxy, api: Api
) -> None:
    job = api.submit("generate", {"prompt": "Tides", "max_tokens": 5000, "tokens_per_s": 60})
    tab = new_tab()
    progress = tab.watch(job, types=["job.progress"])
    progress.until("seen.events.length >= 2")
    whole = tab.watch(job)
    whole.until("watch.position >= 40")
    whole_in_between = new_tab().watch(job, after=10)
    reached = whole_in_between.until("watch.position >= 40")["position"]
    whole.do("close()")
    whole_in_between.until(f"watch.position >= {reached + 20}")
    api.cancel(job)

    seen, seen_in_between = progress.finish()["events"], whole_in_between.finish()["events"]
    log = api.log_of(job)
    assert seen == [event for event in log if event["type"] in ("job.progress", "job.cancelled")]
    assert seen_in_between == log[10:]
    # The types change on the connection that there is.
    assert [target for target in proxy.targets if target.endswith("/ws")] == ["/v1/ws"]


def test_a_cut_in_one_tab_is_felt_in_all_and_loses_nothing(
    new_tab: Open, proxy: Proxy, api: Api
) -> None:
    job = api.submit("generate", {"prompt": "Tides", "max_tokens": 5000, "tokens_per_s": 60})
    watches = [new_tab().watch(job) for _ in range(2)]
    for watch in watches:
        watch.until("watch.position >= 20 && watch.state.name === 'live'")

    watches[1].do("cut()")

    for watch in watches:
        watch.until("watch.stats.reconnects >= 1")
    api.cancel(job)
    for watch in watches:
        assert watch.finish()["events"] == api.log_of(job)


@pytest.mark.parametrize("gone", [["/ws"], ["/ws", "/events"]], ids=["sse", "poll"])
def test_where_websockets_do_not_pass_the_tabs_share_what_does(
    new_tab: Open, proxy: Proxy, api: Api, gone: list[str]
) -> None:
    for path in gone:
        proxy.rule(f"/v1{path}", status=502)
    jobs = [api.submit("asking") for _ in range(3)]
    tabs = [new_tab() for _ in jobs]
    watches = [tab.watch(job) for tab, job in zip(tabs, jobs, strict=True)]
    way = {1: "sse", 2: "poll"}[len(gone)]
    for watch in watches:
        watch.until(f"watch.state.transport === '{way}' && {WAITING}")

    assert len(streams(proxy)) == (1 if way == "sse" else 0)
    for tab, job, watch in zip(tabs, jobs, watches, strict=True):
        tab.run("return await streaming.answer(argument, { ok: true })", job)
        assert watch.finish()["events"] == api.log_of(job)


def test_a_job_that_there_is_not_closes_the_watch_with_the_problem(new_tab: Open) -> None:
    seen = new_tab().watch("job_00000000000000000000000000").finish()

    assert (seen["state"]["reason"], seen["state"]["problem"]["code"]) == (
        "refused",
        "job_not_found",
    )


def test_a_tab_that_leads_and_does_not_answer_is_replaced(
    new_tab: Open, proxy: Proxy, api: Api
) -> None:
    job = api.submit("counting")
    frozen, seen = new_tab(), new_tab()
    frozen.watch(job).until("watch.position >= 3")
    watch = seen.watch(job)
    watch.until("watch.position >= 5")
    seen.tab.bring_to_front()

    session = frozen.tab.context.new_cdp_session(frozen.tab)
    session.send("Debugger.enable")
    session.send("Debugger.pause")
    reached = watch.show()["position"]
    watch.until(f"watch.position >= {reached + 20}", timeout_s=40)

    session.send("Debugger.disable")
    api.cancel(job)
    assert watch.finish()["job"] == api.snapshot(job)


def test_a_watch_that_rests_lets_the_others_go_on(new_tab: Open, api: Api) -> None:
    job = api.submit("generate", {"prompt": "Tides", "max_tokens": 5000, "tokens_per_s": 60})
    tab = new_tab()
    resting, other = tab.watch(job), tab.watch(job)
    resting.until("watch.position >= 5")
    resting.do("offline(true)")
    resting.until("watch.state.name === 'offline'")
    before = resting.show()["position"]

    other.until(f"watch.position >= {before + 20}")
    api.cancel(job)
    assert other.finish()["events"] == api.log_of(job)
    assert resting.show()["position"] == before
    resting.do("offline(false)")
    assert resting.finish()["events"] == api.log_of(job)


def test_tabs_of_other_keys_share_nothing(new_tab: Open, proxy: Proxy, api: Api) -> None:
    job = api.submit("asking")
    watches: list[Watch] = [new_tab().watch(job, {"tabs": name}) for name in ("ann", "ann", "bob")]
    for watch in watches:
        watch.until(WAITING)

    eventually(lambda: len(streams(proxy)) == 2, "one connection for each of the two")
    api.cancel(job)
