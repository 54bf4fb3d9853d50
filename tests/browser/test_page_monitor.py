"""The page: the service's figures, alerts, and all jobs at once."""

from __future__ import annotations

import re

from playwright.sync_api import Page, Route, expect

from tests.browser.pages import PATIENCE_MS, go
from tests.e2e.clients import Api
from tests.e2e.waiting import eventually


def test_the_monitor_is_started_drawn_and_stopped(page: Page) -> None:
    go(page, "monitor")
    expect(page.locator(".empty:visible", has_text="No monitor runs")).to_be_visible()

    page.click("button:text('Start the monitor')")

    for name in ("cpu", "memory", "service streams"):
        chart = page.locator(".chart", has=page.locator(f"h3:text-is('{name}')"))
        expect(chart.locator(".now")).to_have_text(re.compile(r"\d"), timeout=PATIENCE_MS)
        expect(chart.locator("canvas")).to_be_visible()
    page.click("button:text('Stop the monitor')")
    expect(page.locator("button:text('Start the monitor')")).to_be_visible(timeout=PATIENCE_MS)


def test_alerts_are_shown_with_their_end(page: Page, api: Api) -> None:
    rule = {"name": "orders_low", "metric": "orders", "below": 10, "clear": 20}
    job = api.submit("monitor", {"interval_s": 60, "rules": [rule]})
    api.reach(job, "running")
    go(page, "monitor")
    expect(page.locator(".connection")).to_have_attribute("data-state", "live")

    for value in (5, 30):
        api.answer(job, {"name": "orders", "value": value})

    history = page.locator("section[aria-label='Alert history'] li")
    expect(history).to_have_count(2)
    expect(history.first).to_contain_text("resolved orders is 30 again")
    expect(history.last).to_contain_text("warning orders is 5, below 10")
    api.cancel(job)
    api.finish(job)


def test_many_jobs_are_followed_over_one_connection(page: Page, api: Api) -> None:
    opened: list[str] = []
    go(page, "monitor")
    page.on("request", lambda request: opened.append(request.url))
    jobs = [api.submit("asking", {}) for _ in range(9)]
    for job in jobs:
        row = page.locator(f"[data-job={job}]")
        expect(row.locator(".status")).to_have_text("waiting for input", timeout=PATIENCE_MS)

    for job in jobs:
        api.answer(job, {"ok": True})

    for job in jobs:
        row = page.locator(f"[data-job={job}]")
        expect(row.locator(".status")).to_have_text("completed", timeout=PATIENCE_MS)
    assert not [url for url in opened if "/events" in url and "/v1/events" not in url]


def test_a_list_that_was_left_follows_no_job(page: Page, api: Api) -> None:
    job = api.submit("asking", {})
    api.reach(job, "waiting_for_input")
    held: list[Route] = []
    page.route("**/v1/jobs?*", lambda route: held.append(route))
    go(page, "monitor")
    eventually(lambda: page.evaluate("1") and held, "the list asks for jobs")
    opened: list[str] = []
    page.on("request", lambda request: opened.append(request.url))

    go(page, "compare")
    with page.expect_response("**/v1/jobs?*"):
        for route in held:
            route.continue_()
    page.evaluate("fetch('/healthz').then((answer) => answer.text())")

    assert not [url for url in opened if "/v1/events" in url]
    api.cancel(job)


def test_jobs_are_filtered(page: Page, api: Api) -> None:
    done = api.run("plain", {"words": ["a"]})["id"]
    failed = api.run("failing", {})["id"]
    go(page, "monitor")
    expect(page.locator(f"[data-job={done}]")).to_be_visible()

    page.get_by_label("Status").select_option("failed")

    expect(page.locator(f"[data-job={failed}]")).to_be_visible()
    expect(page.locator(f"[data-job={done}]")).to_have_count(0)
    page.get_by_label("Status").select_option("")
    page.get_by_label("Status").select_option("queued")
    expect(page.locator(".empty:visible", has_text="No job fits")).to_be_visible()
    page.get_by_label("Status").select_option("")
    page.get_by_label("Task").select_option("plain")
    expect(page.locator(f"[data-job={done}]")).to_be_visible()
    expect(page.locator(f"[data-job={failed}]")).to_have_count(0)


def test_viewers_are_shown_with_their_transport(page: Page, api: Api) -> None:
    job = api.submit("asking", {})
    go(page, f"jobs/{job}")

    rows = page.locator("section[aria-label=Viewers] tbody tr")

    expect(rows).to_have_count(1, timeout=PATIENCE_MS)
    expect(rows).to_contain_text("WebSocket")
    assert api.get(f"/v1/jobs/{job}/viewers").json()["count"] == 1
    api.cancel(job)


def test_how_loaded_the_service_is_is_said(page: Page, api: Api) -> None:
    go(page, "monitor")

    level = api.get("/readyz").json()["pressure"]["level"]
    service = page.locator("section[aria-label=Service]")
    said = ["all is well", "busy", "very busy", "overloaded"][level]
    eventually(lambda: said in service.inner_text(), "it is said")
