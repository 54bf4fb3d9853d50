"""The page with more than anybody reads: 20,000 events, a block without an end, many steps."""

from __future__ import annotations

import time

from playwright.sync_api import Page, expect

from bench.page import measure, squeezed
from tests.browser.pages import PATIENCE_MS, expect_status, go
from tests.e2e.clients import Api


def test_twenty_thousand_events_stay_smooth_and_bounded(page: Page, api: Api) -> None:
    given = {"prompt": "A long text", "max_tokens": 20_000}
    job = api.submit("generate", {**given, "tokens_per_s": 4000})

    found = measure(page, api.url, api, job)

    assert found.events > 20_000
    # Frames go on, also on a machine that has other things to do.
    assert len(found.frames) > 4 * found.seconds
    assert found.frame_ms(0.5) < 120
    assert found.heap < 60e6
    assert found.elements < 1500
    assert page.locator(".window li").count() < 60


def test_a_block_that_does_not_end_is_shown_as_it_comes(page: Page, api: Api) -> None:
    # One paragraph: to render it anew for each word would take a minute.
    words = [f"{number} " for number in range(20_000)]
    job = api.submit("generator", {"words": words})
    began = time.monotonic()

    go(page, f"jobs/{job}")

    expect_status(page, "completed")
    shown = page.locator(".item .prose").evaluate("(box) => box.textContent")
    assert squeezed(shown) == squeezed("".join(words))
    assert time.monotonic() - began < 30


def test_two_hundred_kilobytes_of_text_are_shown_whole(page: Page, api: Api) -> None:
    paragraph = "Fog came in over the harbour, and nobody saw the tide turn. " * 8 + "\n\n"
    paragraphs = [f"## Part {n}\n\n{paragraph}" for n in range(420)]
    job = api.submit("generator", {"words": paragraphs})
    assert len(api.finish(job)["text"]) > 200_000
    began = time.monotonic()

    go(page, f"jobs/{job}")

    expect(page.locator(".item .prose h4")).to_have_count(420, timeout=PATIENCE_MS)
    assert time.monotonic() - began < 30
    shown = page.locator(".item .prose").evaluate("(box) => box.textContent")
    assert squeezed(shown) == squeezed("".join(paragraphs).replace("## ", ""))


def test_blocks_are_rendered_as_soon_as_they_end(page: Page, api: Api) -> None:
    text = [
        "# Head\n",
        "\nOne *word*",
        " more.\n\n- a\n",
        "- b\n\n```\ncode\n\nmore",
        "\n```\n\n| x |\n|--|\n| 1 |\n",
    ]
    job = api.submit("generator", {"words": text})

    go(page, f"jobs/{job}")

    expect_status(page, "completed")
    names = page.locator(".item .prose").evaluate(
        "(box) => [...box.querySelectorAll('h3, em, li, pre code, td')].map((each) => each.tagName)"
    )
    assert names == ["H3", "EM", "LI", "LI", "CODE", "TD"]
