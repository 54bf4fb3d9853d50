"""poll.js, the client for old browsers, from the first event to the last."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.browser.proxy import Proxy
from tests.e2e.clients import Api

WATCH = """([job, options]) => {
    window.seen = { events: [], states: [], ended: false };
    window.watch = pollJob(`/v1/jobs/${job}/poll`, {
        ...options,
        onEvent: (event) => seen.events.push(event),
        onState: (state) => seen.states.push(state),
        onEnd: (problem) => Object.assign(seen, { ended: true, problem: problem || null }),
    });
}"""


@pytest.fixture
def page(tab: Page, proxy: Proxy) -> Page:
    """A page with poll.js in it."""
    tab.goto(f"{proxy.url}/healthz")
    tab.add_script_tag(url="/v1/poll.js")
    return tab


def finish(page: Page) -> dict:
    page.wait_for_function("seen.ended", timeout=30_000)
    return page.evaluate("seen")


def test_it_gives_each_event_once_while_answers_are_cut_and_refused(
    page: Page, proxy: Proxy, api: Api
) -> None:
    job = api.submit("generate", {"prompt": "Tides", "max_tokens": 60, "tokens_per_s": 60})
    cut = proxy.rule(job, times=3, cut_after=(1, 300))
    refused = proxy.rule(job, times=2, status=503)

    page.evaluate(WATCH, [job, {}])
    seen = finish(page)

    assert seen["events"] == api.log_of(job)
    assert seen["problem"] is None
    assert {"live", "waiting"} <= set(seen["states"])
    assert (cut.cuts, refused.applied) == (3, 2)


def test_it_begins_where_it_is_asked_to_and_leaves_out_what_is_not_wanted(
    page: Page, api: Api
) -> None:
    job = api.run("plain", {"words": ["one ", "two "]})
    words = [event for event in api.log_of(job["id"]) if event["type"] == "text.delta"]

    page.evaluate(WATCH, [job["id"], {"after": words[0]["seq"], "types": "text.delta"}])
    seen = finish(page)

    assert [event["type"] for event in seen["events"]] == ["text.delta", "job.completed"]
    assert seen["events"][0] == words[1]
    assert page.evaluate("watch.position") == job["seq"]


def test_it_says_why_it_is_refused(page: Page) -> None:
    page.evaluate(WATCH, ["job_00000000000000000000000000", {}])

    assert finish(page)["problem"]["code"] == "job_not_found"


def test_it_asks_no_more_when_it_is_closed(page: Page, proxy: Proxy, api: Api) -> None:
    job = api.submit("sleeping")
    page.evaluate(WATCH, [job, {}])
    page.wait_for_function("seen.events.length > 1")

    page.evaluate("watch.close()")
    page.wait_for_function("watch.position > 1")
    api.cancel(job)
    api.finish(job)

    assert page.evaluate("seen.ended") is False
    assert proxy.open("/poll") == []
