"""The page: one job over every transport, disturbed in every way."""

from __future__ import annotations

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.browser.pages import PATIENCE_MS, go
from tests.e2e.clients import Api
from tests.e2e.server import Server
from tests.e2e.waiting import eventually

STREAMS = ["Server-Sent Events", "WebSocket", "Long polling"]


def lane(page: Page, name: str) -> Locator:
    return page.locator(f"[data-lane='{name}']")


def fact(page: Page, name: str, what: str) -> str:
    return lane(page, name).locator(f"[data-fact={what}]").inner_text()


def begin(page: Page, tokens: int, speed: int) -> None:
    go(page, "compare")
    page.get_by_label("Tokens", exact=True).fill(str(tokens))
    page.get_by_label("Tokens per second").fill(str(speed))
    page.click("button:text('Start the comparison')")


def until_events(page: Page, count: int) -> None:
    """All streams have given so many events."""
    for name in STREAMS:
        eventually(lambda: events(page, name) >= count, f"{name} gives events")  # noqa: B023


def events(page: Page, name: str) -> int:
    return int(fact(page, name, "events").replace(",", "").replace("–", "0"))


def expect_same_text(page: Page) -> None:
    expect(page.locator(".result")).to_contain_text("the same text", timeout=PATIENCE_MS)
    for name in STREAMS:
        assert fact(page, name, "lost") == "0"
        assert fact(page, name, "repeated") == "0"


def newest(api: Api) -> str:
    """The text of the job that was compared."""
    job = api.get("/v1/jobs?task=generate&limit=1").json()["jobs"][0]["id"]
    return str(api.snapshot(job)["text"])


def test_every_transport_gives_the_whole_job(page: Page, api: Api) -> None:
    begin(page, tokens=40, speed=40)

    expect_same_text(page)

    text = newest(api)
    for name in [*STREAMS, "Plain request"]:
        expect(lane(page, name).locator(".said")).to_have_text(text)
        assert fact(page, name, "first") != "–"
        eventually(lambda: fact(page, name, "median") != "–", "delays are told")  # noqa: B023
    assert fact(page, "WebSocket", "requests") == "1"
    assert int(fact(page, "Long polling", "requests")) > 1
    assert len({fact(page, name, "events") for name in STREAMS}) == 1


def test_cut_connections_cost_no_event(page: Page, api: Api) -> None:
    begin(page, tokens=150, speed=50)
    for count in (15, 60):
        until_events(page, count)
        page.click("button:text('Cut all connections')")
    expect(lane(page, "Plain request").locator(".problem")).to_contain_text("The answer is lost")

    expect_same_text(page)

    for name in STREAMS:
        assert int(fact(page, name, "reconnects")) >= 2
        expect(lane(page, name).locator(".said")).to_have_text(newest(api))


@pytest.mark.parametrize("name", STREAMS)
def test_a_slow_reader_gets_everything(page: Page, name: str) -> None:
    begin(page, tokens=100, speed=40)
    until_events(page, 10)

    lane(page, name).locator("button:text('Slow reader')").click()

    expect_same_text(page)
    number, unit = fact(page, name, "longest").split()
    assert unit == "s" or int(number) > 500


def test_who_was_offline_goes_on_where_it_was(page: Page) -> None:
    begin(page, tokens=150, speed=50)
    until_events(page, 15)
    page.click("button:text('Offline')")
    for name in STREAMS:
        expect(lane(page, name).locator(".connection")).to_have_attribute("data-state", "offline")
    seen = {name: fact(page, name, "events") for name in STREAMS}
    page.click("button:text('Offline')")

    expect_same_text(page)

    assert all(events(page, name) > int(seen[name]) for name in STREAMS)


def test_the_advice_of_the_server_is_shown(page: Page, api: Api) -> None:
    go(page, "compare")

    needs = page.locator("[role=group][aria-label='Which one for what'] tbody tr")
    expect(needs).to_have_count(len(api.get("/v1/transports").json()["needs"]))
    expect(page.locator("[role=group][aria-label^='Measured'] tbody tr")).to_have_count(5)


def test_the_advice_has_tabs_that_arrow_keys_go_through(page: Page) -> None:
    go(page, "compare")
    tabs = page.get_by_role("tab")
    expect(tabs).to_have_count(3, timeout=PATIENCE_MS)
    expect(page.get_by_role("tabpanel")).to_have_count(1)

    tabs.first.focus()
    page.keyboard.press("ArrowLeft")

    expect(tabs.last).to_be_focused()
    expect(page.get_by_role("tabpanel", name="In words")).to_be_visible()


def test_one_tab_at_a_time_compares_so_that_connections_are_left(
    page: Page, context: BrowserContext, server: Server
) -> None:
    begin(page, tokens=5000, speed=30)
    until_events(page, 5)
    other = context.new_page()
    other.goto(server.url)

    begin(other, tokens=10, speed=100)
    expect(other.locator(".problem:visible")).to_contain_text("Another tab compares")
    page.close()
    begin(other, tokens=10, speed=100)

    expect_same_text(other)
