"""The API reference in a browser: its forms work, and nothing comes from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import listen
from tests.e2e.clients import Api
from tests.e2e.server import Server


@pytest.fixture
def docs(tab: Page, server: Server) -> Iterator[Page]:
    complaints = listen(tab)
    tab.set_default_timeout(10_000)
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(f"{server.url}/docs")
    yield tab
    assert complaints == []
    assert [url for url in asked if not url.startswith((server.url, "ws://127.0.0.1"))] == []


def form_of(page: Page, operation: str) -> Locator:
    card = page.locator(f"#{operation}")
    card.locator("summary").click()
    return card.locator("form.try")


def test_a_job_is_started_watched_and_fetched_by_forms(docs: Page, api: Api) -> None:
    submit = form_of(docs, "post_v1_jobs")
    body = {"task": "generator", "input": {"words": ["a ", "b"]}}
    submit.get_by_label("Body").fill(json.dumps(body))
    submit.get_by_role("button", name="Send").click()
    expect(submit.locator("pre")).to_contain_text("202")
    job = api.get("/v1/jobs?limit=1").json()["jobs"][0]["id"]
    api.finish(job)

    watch = form_of(docs, "get_v1_jobs_job_events")
    watch.locator("[name=job]").fill(job)
    watch.get_by_role("button", name="Send").click()
    expect(watch.locator("pre")).to_contain_text("job.completed")
    expect(watch.locator("pre")).to_contain_text("text/event-stream")

    show = form_of(docs, "get_v1_jobs_job")
    show.locator("[name=job]").fill(job)
    show.get_by_role("button", name="Send").click()
    expect(show.locator("pre")).to_contain_text('"text": "a b"')


def test_a_stream_is_stopped(docs: Page, api: Api) -> None:
    job = api.submit("sleeping")
    watch = form_of(docs, "get_v1_jobs_job_events")
    watch.locator("[name=job]").fill(job)
    watch.get_by_role("button", name="Send").click()
    expect(watch.locator("pre")).to_contain_text("job.started")

    watch.get_by_role("button", name="Stop").click()

    expect(watch.locator("pre")).to_contain_text("(stopped)")
    api.cancel(job)


def test_a_socket_opens_and_takes_messages(docs: Page) -> None:
    socket = form_of(docs, "get_v1_ws")
    socket.get_by_role("button", name="Open").click()
    expect(socket.locator("pre")).to_contain_text("(open)")

    socket.get_by_role("button", name="Send the message").click()

    expect(socket.locator("pre")).to_contain_text('"type":"ack"')
    socket.get_by_role("button", name="Stop").click()
    expect(socket.locator("pre")).to_contain_text("(closed: 1000")


def test_a_refusal_is_shown_with_its_status(docs: Page) -> None:
    show = form_of(docs, "get_v1_jobs_job")
    show.locator("[name=job]").fill("job_1")
    show.get_by_role("button", name="Send").click()

    expect(show.locator("pre")).to_contain_text("404")
    expect(show.locator("pre")).to_contain_text("job_not_found")


def test_events_and_both_documents_are_there(docs: Page) -> None:
    expect(docs.locator("#event-text\\.delta")).to_contain_text("item")
    for name in ("OpenAPI document", "AsyncAPI document"):
        link = docs.get_by_role("link", name=name)
        assert docs.request.get(docs.url.replace("docs", link.get_attribute("href") or "")).ok


def test_nobody_stumbles(docs: Page) -> None:
    docs.locator("summary").first.click()

    found = Axe().run(docs)

    assert found.violations_count == 0, found.generate_report()
