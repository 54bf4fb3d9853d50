"""What a first visit shows: what was asked, a cut that loses nothing, copies to take away."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.pages import PATIENCE_MS, expect_status, go, job_of, shown_text, words
from tests.e2e.clients import Api

SLOW = {"prompt": "Fog over the harbour", "max_tokens": 400, "tokens_per_s": 30}

#: Selects the first letters of the paragraph that grows.
SELECT = """() => {
  const place = document.querySelector(".prose p:last-of-type");
  const text = document.createTreeWalker(place, NodeFilter.SHOW_TEXT).nextNode();
  const range = document.createRange();
  range.setStart(text, 0);
  range.setEnd(text, 5);
  getSelection().removeAllRanges();
  getSelection().addRange(range);
}"""


def open_job(page: Page, job: str) -> None:
    go(page, f"jobs/{job}")
    expect(page.locator("main header .status")).to_be_visible(timeout=PATIENCE_MS)


def test_a_question_of_ones_own_is_asked_from_the_first_view(page: Page, api: Api) -> None:
    page.locator(".hero textarea").fill("How do tides work?")
    page.locator(".hero textarea").press("Enter")

    job = job_of(page)

    expect(page.locator("h1")).to_have_text("How do tides work?", timeout=PATIENCE_MS)
    assert api.snapshot(job)["input"]["prompt"] == "How do tides work?"
    api.cancel(job)


def test_title_and_question_stand_above_the_answer(page: Page, api: Api) -> None:
    job = api.submit("generate", SLOW, title="Weather")
    open_job(page, job)

    expect(page.locator("h1")).to_have_text("Weather", timeout=PATIENCE_MS)
    expect(page.locator(".question")).to_have_text(SLOW["prompt"])
    go(page, "")
    row = page.locator(f".jobs li[data-job={job}]")
    expect(row).to_contain_text("Weather")
    expect(row).to_contain_text(SLOW["prompt"])
    api.cancel(job)


def test_that_the_model_is_simulated_is_said_while_it_writes(page: Page, api: Api) -> None:
    job = api.submit("generate", SLOW)
    open_job(page, job)

    expect(page.locator(".badge summary")).to_have_text("Simulated model: connect yours")
    page.click(".badge summary")
    expect(page.locator(".badge pre")).to_contain_text("STREAMING_LLM_BASE_URL")
    other = api.submit("counting")
    open_job(page, other)
    expect(page.locator(".badge")).to_be_hidden()
    for each in (job, other):
        api.cancel(each)


def test_an_example_asks_in_the_language_of_the_page(page: Page, api: Api) -> None:
    page.click("#language")
    page.click("[data-preset=generate]")

    job = job_of(page)

    expect(page.locator(".question")).to_have_text(
        "写一写一座小天文台的第一年。", timeout=PATIENCE_MS
    )
    page.wait_for_function("() => /[一-鿿]{4}/.test(document.querySelector('.prose')?.innerText)")
    api.cancel(job)


def test_cutting_the_connection_loses_nothing(page: Page, api: Api) -> None:
    job = api.submit("generate", {**SLOW, "max_tokens": 300})
    open_job(page, job)
    expect(page.locator(".item .prose")).to_contain_text(" ", timeout=PATIENCE_MS)

    page.click("button.cut")
    expect(page.locator(".note-line")).to_contain_text("You are cut off")
    seen = len(shown_text(page))
    expect(page.locator(".note-line")).to_contain_text(
        re.compile("Back. [1-9].* none lost"), timeout=PATIENCE_MS
    )
    page.wait_for_function(
        f"() => document.querySelector('.item .prose').innerText.length > {seen}",
        timeout=PATIENCE_MS,
    )

    expect_status(page, "completed")
    assert words(shown_text(page)) == words(api.snapshot(job)["text"])


def test_the_same_job_runs_again_with_one_click(page: Page, api: Api) -> None:
    job = api.submit("plain", {"words": ["one ", "two "]}, title="Twice", metadata={"a": 1})
    api.finish(job)
    open_job(page, job)

    page.click("button:text-is('Run again')")
    page.wait_for_function(f"() => !location.hash.includes('{job}')", timeout=PATIENCE_MS)

    again = api.snapshot(job_of(page))
    assert again["id"] != job
    assert [again[name] for name in ("task", "title", "input", "metadata")] == [
        "plain",
        "Twice",
        {"words": ["one ", "two "]},
        {"a": 1},
    ]


def test_text_is_downloaded_and_code_is_coloured_and_copied(page: Page, api: Api) -> None:
    code = "```python\ndef tide(hour):\n    return 'high'\n```\n"
    job = api.submit("plain", {"words": ["Look:\n\n", code]})
    api.finish(job)
    open_job(page, job)
    expect(page.locator(".hljs-keyword").first).to_have_text("def", timeout=PATIENCE_MS)

    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator(".code-block").hover()
    page.locator(".code-block button").click()
    expect(page.locator(".code-block button")).to_have_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    with page.expect_download() as download:
        page.click("button:text-is('Download')")

    assert copied.strip() == "def tide(hour):\n    return 'high'"
    assert Path(download.value.path()).read_text() == "Look:\n\n" + code


def test_right_to_left_text_leaves_code_as_it_is(page: Page, api: Api) -> None:
    job = api.submit("plain", {"words": ["שלום עולם\n\n", "```\na = 1\n```\n\n", "plain words\n"]})
    api.finish(job)
    open_job(page, job)
    expect(page.locator(".prose pre")).to_be_visible(timeout=PATIENCE_MS)

    directions = page.evaluate(
        "[...document.querySelectorAll('.prose p, .prose pre')]"
        ".map((each) => getComputedStyle(each).direction)"
    )

    assert directions == ["rtl", "ltr", "ltr"]


def test_a_selection_in_the_paragraph_that_grows_is_kept(page: Page, api: Api) -> None:
    job = api.submit("generate", SLOW)
    open_job(page, job)
    page.wait_for_function("() => document.querySelector('.prose p')?.innerText.length > 40")

    page.evaluate(SELECT)
    chosen = page.evaluate("getSelection().toString()")
    position = int(api.snapshot(job)["seq"])
    page.wait_for_function(
        f"() => document.querySelector('.events .hint').textContent.replace(/\\D/g, '')"
        f" > {position + 30}",
        timeout=PATIENCE_MS,
    )

    assert len(chosen) == 5
    assert page.evaluate("getSelection().toString()") == chosen
    api.cancel(job)


def test_what_was_typed_outlives_a_look_elsewhere_and_another_language(page: Page) -> None:
    page.locator(".hero textarea").fill("Half a question")
    page.locator("[data-path=title]").fill("My figures")
    go(page, "monitor")
    go(page, "")
    expect(page.locator(".hero textarea")).to_have_value("Half a question")
    expect(page.locator("[data-path=title]")).to_have_value("My figures")

    page.click("#language")

    expect(page.locator(".hero textarea")).to_have_value("Half a question")
    expect(page.locator("[data-path=title]")).to_have_value("My figures")


def test_the_reader_jumps_to_the_latest_and_follows(page: Page, api: Api) -> None:
    job = api.submit("generate", {**SLOW, "max_tokens": 3000, "tokens_per_s": 300})
    open_job(page, job)
    jump = page.locator(".jump").first
    expect(jump).to_be_visible(timeout=PATIENCE_MS)

    jump.click()

    expect(jump).to_be_hidden()
    at = page.evaluate("scrollY")
    page.wait_for_function(f"() => scrollY > {at} + 50", timeout=PATIENCE_MS)
    page.mouse.wheel(0, -600)
    expect(jump).to_be_visible()
    api.cancel(job)
