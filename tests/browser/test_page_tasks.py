"""The page: each task from its start to what it makes, as a person does it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.pages import expect_status, job_of
from tests.e2e.clients import Api

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

    expect_status(page, "completed")
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

    expect_status(page, "completed")
    asked = api.log_of(job_of(page))[0]["data"]["input"]
    assert asked == {"prompt": "Fog", "max_tokens": 7, "tokens_per_s": 0, "seed": 0}


def test_a_choice_that_a_form_leaves_open_is_left_to_the_task(page: Page, api: Api) -> None:
    page.select_option("label:text('Task') + select", "report")
    page.click("summary:text-is('More settings')")
    for name in ("decimal", "date_order", "aggregate", "total_rows"):
        expect(page.locator(f"[data-path={name}]")).to_have_value("")
    page.fill("[data-path=tokens_per_s]", "0")
    page.select_option("[data-path=total_rows]", "keep")

    page.click("form.schema button.main")

    expect_status(page, "completed")
    asked = api.log_of(job_of(page))[0]["data"]["input"]
    assert set(asked) == {"csv", "title", "tokens_per_s", "total_rows"}
    assert asked["total_rows"] == "keep"


def test_settings_that_may_be_left_out_are_folded_unless_they_have_a_value(page: Page) -> None:
    page.select_option("label:text('Task') + select", "report")
    header = page.locator("[data-path=header_row]")
    expect(page.locator("[data-path=csv]")).to_be_visible()
    expect(header).to_be_hidden()
    page.click("summary:text-is('More settings')")
    header.fill("1")
    page.fill("[data-path=tokens_per_s]", "0")

    page.click("form.schema button.main")
    expect_status(page, "completed")
    page.click("button:text-is('Change and run')")

    expect(header).to_have_value("1")
    expect(header).to_be_visible()
    expect(page.locator("[data-path=group_by]")).to_be_hidden()


def test_a_file_is_uploaded_with_the_form(page: Page, api: Api) -> None:
    page.select_option("label:text('Task') + select", "files")
    note = {"name": "note.txt", "mimeType": "text/plain", "buffer": b"one two three"}
    page.set_input_files("[data-path=files]", [note, {**note, "name": "other.txt"}])
    expect(page.locator(".drop")).to_contain_text("note.txt (13 B), other.txt (13 B)")

    page.click("form.schema button.main")

    expect_status(page, "completed")
    expect(page.locator(".artifact td", has_text="other.txt").first).to_be_visible()
    asked = api.log_of(job_of(page))[0]["data"]["input"]["files"]
    assert [each[:5] for each in asked] == ["file_", "file_"]


def test_a_job_with_a_file_is_changed_and_run_from_the_same_form(page: Page, api: Api) -> None:
    page.click("[data-preset=analyze]")
    first = job_of(page)
    expect_status(page, "completed")

    page.click("button:text('Change and run')")
    page.click("form.schema button.main")

    page.wait_for_url(lambda url: "job_" in url and first not in url)
    expect_status(page, "completed")
    inputs = [api.log_of(job)[0]["data"]["input"] for job in (first, job_of(page))]
    assert inputs[0] == inputs[1]


def test_what_the_server_refuses_stands_at_its_field(page: Page) -> None:
    page.select_option("label:text('Task') + select", "generate")
    page.fill("[data-path=prompt]", "")
    page.fill("[data-path=max_tokens]", "60000")

    page.click("form.schema button.main")

    for path, words in (("prompt", "at least 1 character"), ("max_tokens", "50000")):
        field = page.locator(".field", has=page.locator(f"[data-path={path}]"))
        expect(field.locator(".wrong")).to_contain_text(words)
        expect(field.locator("[aria-invalid=true]")).to_have_count(1)
    expect(page.locator("[data-path=prompt]")).to_be_focused()

    page.fill("[data-path=prompt]", "Fog")
    page.fill("[data-path=max_tokens]", "5")
    page.click("form.schema button.main")
    expect_status(page, "completed")


def test_an_error_in_a_table_is_named_with_its_line(page: Page) -> None:
    page.select_option("label:text('Task') + select", "report")
    page.fill("[data-path=csv]", "month,sales\n2024-01,12\n2024-02,many\n")

    page.click("form.schema button.main")

    expect(page.locator(".wrong:visible")).to_have_text(
        "line 3, column 'sales': 'many' is not a number"
    )


def test_what_belongs_to_no_field_stands_below_the_form(page: Page) -> None:
    page.select_option("label:text('Task') + select", "report")
    page.fill("[data-path=csv]", "")

    page.click("form.schema button.main")

    expect(page.locator("form.schema .problem")).to_contain_text("exactly one of csv and file")


def test_rules_are_entered_as_a_list(page: Page, api: Api) -> None:
    page.select_option("label:text('Task') + select", "monitor")
    page.click("summary:text('Rules')")
    while (count := page.locator(".entry").count()) > 0:
        page.locator(".entry button:text('Remove')").first.click()
        expect(page.locator(".entry")).to_have_count(count - 1)
    page.click("button:text('Add')")
    page.fill("[data-path='rules.0.name']", "low")
    page.fill("[data-path='rules.0.metric']", "orders")
    page.click("form.schema button.main")
    expect(page.locator(".wrong:visible, form.schema .problem")).to_contain_text("above and below")

    page.fill("[data-path='rules.0.below']", "10")
    page.click("form.schema button.main")

    page.wait_for_url("**/#/monitor/**")
    job = page.url.rpartition("/")[2]
    (rule,) = api.log_of(job)[0]["data"]["input"]["rules"]
    assert (rule["name"], rule["below"], rule["severity"]) == ("low", 10, "warning")
    api.cancel(job)
