"""The page: each task from its start to what it makes, as a person does it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.clients import Api

#: Milliseconds that a job of an example may take on a busy machine.
PATIENCE_MS = 60_000


def status(tab: Page, text: str) -> None:
    expect(tab.locator("main header .status")).to_have_text(text, timeout=PATIENCE_MS)


def job_of(tab: Page) -> str:
    tab.wait_for_url(re.compile("#/(jobs|chat)/job_"), timeout=PATIENCE_MS)
    return tab.url.rpartition("/")[2]


#: What each example shows at its end: artifacts, and the places in which they are shown.
EXAMPLES = {
    "report": (["chart.svg", "series.json"], ["img", "pre"]),
    "generate": ([], []),
    "agent": ([], []),
    "analyze": (["01-revenue.svg", "report.html", "report.json"], ["img", "iframe"]),
    "train": (["curve.svg", "epochs.csv", "model.npz"], ["img", "table"]),
    "files": (["manifest.json"], ["table"]),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs_with_one_click_to_its_artifacts(page: Page, api: Api, name: str) -> None:
    artifacts, places = EXAMPLES[name]

    page.click(f"[data-preset={name}]")

    status(page, "completed")
    snapshot = api.snapshot(job_of(page))
    expect(page.locator(".steps li")).to_have_count(len(snapshot["steps"]))
    expect(page.locator(".steps li[data-status=completed]")).to_have_count(len(snapshot["steps"]))
    shown = page.locator(".artifact figcaption b").all_inner_texts()
    assert set(artifacts) <= set(shown) == {each["name"] for each in snapshot["artifacts"]}
    for place in places:
        expect(page.locator(f".artifact {place}").first).to_be_visible()
    for image in page.locator(".artifact img").all():
        assert image.evaluate("async (image) => (await image.decode(), image.naturalWidth)") > 0


def test_what_a_form_is_given_is_the_input_of_the_job(page: Page, api: Api) -> None:
    page.select_option("label:text('Task') + select", "generate")
    page.fill("[data-path=prompt]", "Fog")
    page.fill("[data-path=max_tokens]", "7")
    page.fill("[data-path=tokens_per_s]", "0")

    page.click("form.schema button.main")

    status(page, "completed")
    asked = api.log_of(job_of(page))[0]["data"]["input"]
    assert asked == {"prompt": "Fog", "max_tokens": 7, "tokens_per_s": 0, "seed": 0}
