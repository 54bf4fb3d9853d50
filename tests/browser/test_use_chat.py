"""The AI SDK's `useChat` in React, in a real browser: it receives, comes back, stops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.pages import PATIENCE_MS
from tests.browser.proxy import Proxy
from tests.e2e.clients import Api
from tests.e2e.server import ROOT, Server
from tests.e2e.waiting import eventually
from tests.protocols.packages import bundle, serve_page

HERE = Path(__file__).parent
QUESTION = "What happens to a lease at a cancel?"


@pytest.fixture(scope="module")
def script() -> str:
    return bundle(HERE / "use_chat.jsx")


@pytest.fixture
def visit(tab: Page, script: str) -> Callable[..., None]:
    """Opens the page of a chat."""

    def opened(url: str, **query: str) -> None:
        serve_page(tab, script)
        tab.goto(f"{url}/use-chat?{urlencode(query)}")

    return opened


def ask(tab: Page, *, tokens_per_s: float) -> str:
    """Ask the assistant; the id of the job, once it is known."""
    body = {"model": "agent", "tokens_per_s": tokens_per_s}
    tab.evaluate("([text, body]) => void chat.sendMessage({ text }, { body })", [QUESTION, body])
    known = tab.wait_for_function("() => chat.messages.at(-1)?.metadata?.job", timeout=PATIENCE_MS)
    return str(known.json_value())


def text_of(tab: Page) -> str:
    return tab.locator("#answer").text_content() or ""


def expect_status(tab: Page, status: str) -> None:
    expect(tab.locator("#status")).to_have_text(status, timeout=PATIENCE_MS)


def until_there_is_text(tab: Page, length: int) -> None:
    tab.wait_for_function(
        "length => document.getElementById('answer').textContent.length > length",
        arg=length,
        timeout=PATIENCE_MS,
    )


def test_it_receives_an_answer_with_its_steps(
    tab: Page, server: Server, api: Api, visit: Callable[..., None]
) -> None:
    visit(server.url, id="receives")

    job = ask(tab, tokens_per_s=0)
    expect_status(tab, "ready")

    assert text_of(tab) == api.snapshot(job)["text"] != ""
    steps = tab.evaluate(
        "() => chat.messages.at(-1).parts.filter((part) => part.type === 'data-step')"
    )
    assert [(each["data"]["id"], each["data"]["status"]) for each in steps] == [
        (name, "completed") for name in ("understand", "search", "tools", "answer")
    ]


def test_after_a_cut_it_comes_back_to_the_whole_answer(
    tab: Page, proxy: Proxy, api: Api, visit: Callable[..., None]
) -> None:
    visit(proxy.url, id="cut")
    job = ask(tab, tokens_per_s=20)
    until_there_is_text(tab, 20)

    assert proxy.cut("/v1/ui/chat") == 1
    expect_status(tab, "error")
    assert api.snapshot(job)["status"] == "running"
    tab.evaluate("() => void chat.resumeStream()")
    expect_status(tab, "streaming")
    expect_status(tab, "ready")

    assert text_of(tab) == api.snapshot(job)["text"]


def test_after_a_reload_of_the_page_the_answer_goes_on(
    tab: Page, server: Server, api: Api, visit: Callable[..., None]
) -> None:
    visit(server.url, id="reloaded")
    job = ask(tab, tokens_per_s=20)
    until_there_is_text(tab, 20)

    visit(server.url, id="reloaded", resume="")
    expect_status(tab, "streaming")
    assert api.snapshot(job)["status"] == "running"
    expect_status(tab, "ready")

    assert text_of(tab) == api.snapshot(job)["text"]


def test_stopping_it_stops_the_job(
    tab: Page, server: Server, api: Api, visit: Callable[..., None]
) -> None:
    visit(server.url, id="stopped")
    job = ask(tab, tokens_per_s=5)
    until_there_is_text(tab, 5)

    tab.evaluate("() => fetch('/v1/ui/chat/stopped/stop', { method: 'POST' })")
    expect_status(tab, "ready")

    ended = api.snapshot(job)
    assert ended["status"] == "cancelled"
    assert text_of(tab) == ended["text"]


def test_a_job_of_others_is_watched_by_its_id_after_its_end_too(
    tab: Page, context: BrowserContext, server: Server, api: Api, visit: Callable[..., None]
) -> None:
    job = api.submit("counting")
    visit(server.url, id=job, resume="")
    until_there_is_text(tab, 50)

    # The README's example, in another tab, stops it.
    example = context.new_page()
    serve_page(example, bundle(ROOT / "examples/one_job/use_chat.jsx"))
    example.goto(f"{server.url}/use-chat?job={job}")
    expect(example.locator("header b")).to_have_text("streaming", timeout=PATIENCE_MS)
    example.click("text=Stop")
    expect(example.locator("header b")).to_have_text("ready", timeout=PATIENCE_MS)
    expect_status(tab, "ready")

    ended = api.snapshot(job)
    assert ended["status"] == "cancelled"
    assert text_of(tab) == example.locator("article").text_content() == ended["text"]
    visit(server.url, id=job, resume="")
    eventually(lambda: text_of(tab) == ended["text"], "the ended job is shown")
