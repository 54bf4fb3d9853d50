"""The page: a conversation of two people with the model."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import listen
from tests.browser.pages import PATIENCE_MS, expect_status, go, job_of
from tests.e2e.clients import Api


@pytest.fixture
def other(context: BrowserContext) -> Iterator[Page]:
    """Another tab: Bob's."""
    tab = context.new_page()
    complaints = listen(tab)
    yield tab
    assert complaints == []


def begin(page: Page, message: str) -> str:
    go(page, "chat")
    page.get_by_label("First message").fill(message)
    page.get_by_label("Your name").fill("Ann")
    page.click("button:text('Begin a conversation')")
    return job_of(page)


def say(page: Page, message: str) -> None:
    page.get_by_label("Message (Enter sends").fill(message)
    page.keyboard.press("Enter")


def test_two_people_talk_and_see_the_same(page: Page, other: Page, api: Api) -> None:
    job = begin(page, "Hello")
    expect(page.locator(".said-by.model").first).not_to_be_empty()
    other.goto(page.url)
    expect(other.locator(".said-by.person")).to_contain_text("Hello")
    other.get_by_label("Your name").fill("Bob")

    say(other, "And what of me?")

    for tab in (page, other):
        expect(tab.locator(".said-by.person")).to_have_count(2)
        expect(tab.locator(".said-by.person").last).to_contain_text("Bob")
    page.click("button:text('Stop the answer')")
    for tab in (page, other):
        expect(tab.locator(".talk")).to_contain_text("The answer was stopped.")
    expect(page.locator(".said-by.model")).to_have_count(2, timeout=PATIENCE_MS)
    page.click("button:text('End the conversation')")
    for tab in (page, other):
        expect_status(tab, "completed")
        expect(tab.get_by_label("Message (Enter sends")).to_be_hidden()
    assert page.locator(".talk").inner_text() == other.locator(".talk").inner_text()
    assert api.snapshot(job)["output"] == {"turns": 2, "stopped": 1}


def test_a_reader_who_scrolled_up_stays_there_when_somebody_else_speaks(
    page: Page, other: Page, api: Api
) -> None:
    job = begin(page, "A long story, please. " * 150)
    expect(page.locator(".said-by.person")).to_have_count(1, timeout=PATIENCE_MS)
    # It is longer than its place, and its reader is where it ends.
    page.wait_for_function("() => document.querySelector('.talk').scrollTop > 0")
    page.locator(".talk").evaluate("(talk) => { talk.scrollTop = 0; }")
    expect(page.locator(".jump.inside")).to_be_visible()
    other.goto(page.url)

    say(other, "And then?")
    expect(page.locator(".said-by.person")).to_have_count(2, timeout=PATIENCE_MS)

    assert page.locator(".talk").evaluate("(talk) => talk.scrollTop") == 0
    page.click(".jump.inside")
    expect(page.locator(".jump.inside")).to_be_hidden()
    expect(page.locator(".badge")).to_be_visible()
    api.cancel(job)


@pytest.mark.parametrize(
    ("verdict", "outcome"), [("Approve", "Published"), ("Refuse", "Not published")]
)
def test_what_is_to_be_published_needs_an_approval(
    page: Page, api: Api, verdict: str, outcome: str
) -> None:
    job = begin(page, "publish: The tide is high.")
    expect(page.locator(".ask")).to_contain_text("Publish this note? The tide is high.")

    page.click(f"button:text-is('{verdict}')")

    expect(page.locator(".said-by.model")).to_contain_text(outcome)
    expect(page.locator(".ask")).to_be_hidden()
    expect(page.locator(".artifact b")).to_have_count(1 if verdict == "Approve" else 0)
    page.click("button:text('End the conversation')")
    expect_status(page, "completed")
    assert api.snapshot(job)["output"]["turns"] == 1


def test_a_conversation_is_found_again(page: Page, api: Api) -> None:
    job = api.submit("chat", {"message": "Hello", "tokens_per_s": 0})
    go(page, "chat")

    page.click(f"[data-job={job}] a")

    expect(page.locator(".said-by.person")).to_contain_text("Hello")
    api.cancel(job)
