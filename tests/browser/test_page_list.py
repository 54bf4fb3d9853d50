"""The list of jobs: to search, to filter, to tidy up; and a server that is away."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import listen
from tests.browser.pages import PATIENCE_MS, go
from tests.browser.proxy import Proxy
from tests.e2e.clients import Api
from tests.e2e.server import Server
from tests.e2e.waiting import eventually


def row(page: Page, job: str) -> object:
    return page.locator(f".jobs li[data-job={job}]")


def test_a_search_stands_in_the_address_and_finds_titles_and_questions(
    page: Page, api: Api, server: Server
) -> None:
    tides = api.submit("plain", {"words": ["a"]}, title="About tides")
    fog = api.submit("generate", {"prompt": "Fog at sea", "max_tokens": 2})
    go(page, "monitor")
    expect(row(page, fog)).to_be_visible(timeout=PATIENCE_MS)

    page.locator("input[type=search]").first.fill("TIDES")

    expect(row(page, tides)).to_be_visible(timeout=PATIENCE_MS)
    expect(row(page, fog)).to_have_count(0)
    assert page.url.endswith("#/monitor?q=tides")
    page.goto("about:blank")
    page.goto(f"{server.url}/#/monitor?q=fog+sea&task=generate")
    expect(row(page, fog)).to_be_visible(timeout=PATIENCE_MS)
    expect(row(page, tides)).to_have_count(0)


def test_an_order_is_chosen_and_stands_in_the_address(page: Page, api: Api) -> None:
    for title in ("ranked b", "ranked c", "ranked a"):
        api.finish(api.submit("plain", {"words": ["a"]}, title=title))
    titles = page.locator(".jobs li > a")
    go(page, "monitor?q=ranked")
    expect(titles).to_have_text(["ranked a", "ranked c", "ranked b"], timeout=PATIENCE_MS)

    page.get_by_label("Order", exact=True).select_option("title")
    expect(titles).to_have_text(["ranked a", "ranked b", "ranked c"], timeout=PATIENCE_MS)
    page.get_by_label("Order", exact=True).select_option("oldest")

    expect(titles).to_have_text(["ranked b", "ranked c", "ranked a"], timeout=PATIENCE_MS)
    assert page.url.endswith("#/monitor?q=ranked&sort=oldest")
    api.finish(api.submit("plain", {"words": ["a"]}, title="ranked d"))
    expect(titles.last).to_have_text("ranked d", timeout=PATIENCE_MS)


def test_the_way_back_from_a_job_leads_to_the_same_list(page: Page, api: Api) -> None:
    for title in ("returning a", "returning b"):
        api.finish(api.submit("plain", {"words": ["a"]}, title=title))
    go(page, "?q=returning&status=completed")
    page.click("text=returning a")
    expect(page.locator("h1")).to_have_text("returning a", timeout=PATIENCE_MS)

    page.go_back()

    expect(page.locator(".jobs li")).to_have_count(2, timeout=PATIENCE_MS)
    expect(page.locator("input[type=search]")).to_have_value("returning")


def test_a_job_that_waits_tells_its_place_in_the_queue(tab: Page, tmp_path: Path) -> None:
    with Server(tmp_path, "gevent", STREAMING_JOBS=1) as server:
        server.start()
        jobs = [server.api.submit("sleeping") for _ in range(3)]
        tab.goto(f"{server.url}/#/jobs/{jobs[2]}")

        expect(tab.locator(".facts-line")).to_contain_text("place 2 in the queue")
        server.api.cancel(jobs[1])
        tab.goto(f"{server.url}/#/monitor")
        expect(tab.locator(f"li[data-job={jobs[2]}]")).to_contain_text(
            "place 1 in the queue", timeout=PATIENCE_MS
        )
        for job in jobs:
            server.api.cancel(job)


def test_jobs_are_cancelled_and_deleted_together(page: Page, api: Api) -> None:
    going = [api.submit("sleeping-cooperative", title="bulk going") for _ in range(3)]
    over = [api.submit("plain", {"words": ["a"]}, title="bulk over") for _ in range(3)]
    for job in over:
        api.finish(job)
    go(page, "monitor?q=bulk")
    for job in (*going, *over):
        expect(row(page, job)).to_be_visible(timeout=PATIENCE_MS)

    page.click("button:text-is('Choose')")
    page.click("button:text-is('All shown')")
    page.click("button:text-is('Cancel (3)')")
    for job in going:
        eventually(lambda job=job: api.snapshot(job)["status"] == "cancelled", "it is cancelled")
    page.on("dialog", lambda dialog: dialog.accept())
    page.click("button:text-is('Delete (3)')")

    for job in over:
        expect(row(page, job)).to_have_count(0)
        assert api.get(f"/v1/jobs/{job}").status_code == 404
    expect(page.locator(".jobs li")).to_have_count(3)


def test_a_view_that_opens_while_the_server_is_away_recovers_by_itself(
    tab: Page, proxy: Proxy
) -> None:
    away = proxy.rule("/v1/", status=503)
    tab.goto(f"{proxy.url}/#/monitor")
    expect(tab.locator(".away")).to_contain_text("Your jobs are safe", timeout=PATIENCE_MS)

    proxy.drop(away)

    expect(tab.locator("h2:text-is('All jobs')")).to_be_visible(timeout=PATIENCE_MS)


def test_a_job_says_that_it_is_safe_while_the_server_is_away(tab: Page, tmp_path: Path) -> None:
    with Server(tmp_path, "gevent") as server:
        server.start()
        job = server.api.submit("counting")
        complaints = listen(tab)
        tab.goto(f"{server.url}/#/jobs/{job}")
        expect(tab.locator("main header .status")).to_have_text("running", timeout=PATIENCE_MS)

        server.kill()
        expect(tab.locator(".away")).to_contain_text("Your job is safe", timeout=PATIENCE_MS)
        server.start()
        tab.evaluate("document.querySelector('.away button').click()")

        expect(tab.locator(".away")).to_be_hidden(timeout=PATIENCE_MS)
        expect(tab.locator(".connection")).to_have_text(re.compile("live"), timeout=PATIENCE_MS)
        server.api.cancel(job)
        assert [each for each in complaints if "ERR_CONNECTION" not in each] == []


def test_the_oldest_job_is_reached_and_found(page: Page, api: Api) -> None:
    titles = ["the venerable one", *[f"aged {n}" for n in range(19)]]
    jobs = [api.submit("plain", {"words": ["a"]}, title=title) for title in titles]
    for job in jobs:
        api.finish(job)
    page.route("**/v1/jobs?*", in_small_pages)
    go(page, "?task=plain&status=completed")
    older = page.get_by_text("Older jobs")
    expect(page.locator(".jobs li")).to_have_count(8, timeout=PATIENCE_MS)
    while older.is_visible():
        before = page.locator(".jobs li").count()
        older.click()
        page.wait_for_function(
            "(n) => document.querySelectorAll('.jobs li').length > n || document.querySelector("
            "'.jobs ~ button').hidden",
            arg=before,
            timeout=PATIENCE_MS,
        )
    expect(row(page, jobs[0])).to_be_visible()
    with page.expect_response(re.compile("/v1/jobs[?]"), timeout=PATIENCE_MS):
        pass  # the next look for newer ones
    expect(older).to_be_hidden()

    page.locator("input[type=search]").fill("venerable")

    expect(row(page, jobs[0])).to_be_visible(timeout=PATIENCE_MS)


def in_small_pages(route: Route) -> None:
    """Lists come by eight, however many are asked for."""
    route.continue_(url=re.sub("limit=[0-9]+", "limit=8", route.request.url))


def test_two_hundred_jobs_are_listed(page: Page, api: Api) -> None:
    jobs = [api.submit("plain", {"words": ["a"]}, title=f"many {n}") for n in range(200)]
    go(page, "monitor?q=many")

    expect(page.locator(".jobs li")).to_have_count(len(jobs), timeout=PATIENCE_MS)
