"""What tests of the page do again and again."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

#: Milliseconds that something may take on a busy machine.
PATIENCE_MS = 60_000


def go(page: Page, view: str) -> None:
    """Another view, by its address; also the one that is shown."""
    page.evaluate("view => { location.hash = view; }", f"#/{view}")
    expect(page.locator(f"body[data-shown='#/{view}']")).to_be_attached(timeout=PATIENCE_MS)


def expect_status(page: Page, text: str) -> None:
    """The job's status in the header of its view."""
    mark = page.locator("main header .status")
    expect(mark).to_have_text(text, timeout=PATIENCE_MS)


def job_of(page: Page) -> str:
    """The id of the job that is shown, as soon as one is."""
    page.wait_for_url(re.compile("#/(jobs|chat)/job_"), timeout=PATIENCE_MS)
    return page.url.rpartition("/")[2]


def shown_text(page: Page) -> str:
    """What is shown of a job's texts, with white space as it is."""
    return page.evaluate(
        "[...document.querySelectorAll('.item .prose')].map((each) => each.innerText).join(' ')"
    )


def words(text: str) -> str:
    """A text without what Markdown may make of its white space."""
    return " ".join(text.split())
