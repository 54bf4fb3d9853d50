"""No view of the page has an accessibility fault that axe finds."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.pages import PATIENCE_MS, expect_status, go, job_of
from tests.browser.test_code import HERE, tools
from tests.e2e.clients import Api

__all__ = ["tools"]

AXE = HERE / "node_modules" / "axe-core" / "axe.min.js"


def findings(page: Page) -> list[str]:
    """What axe finds, each as its rule and the first element that it is about."""
    page.evaluate(AXE.read_text() + "; 0")
    found = page.evaluate("axe.run().then(({ violations }) => violations)")
    return [f"{each['id']}: {each['nodes'][0]['html'][:160]}" for each in found]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.usefixtures("tools")
def test_no_view_has_a_finding(page: Page, api: Api, theme: str) -> None:
    if theme == "dark":
        page.click("#theme")
    failing = api.submit("failing")
    asking = api.submit("asking")
    api.reach(asking, "waiting_for_input")
    for view in ("", "compare", "monitor", "chat", f"jobs/{failing}", f"jobs/{asking}"):
        go(page, view)
        expect(page.locator("main h1, main h2").first).to_be_attached(timeout=PATIENCE_MS)
        assert findings(page) == [], view
    api.cancel(asking)

    go(page, "")
    page.click("[data-preset=agent]")
    job_of(page)
    expect_status(page, "completed")
    assert findings(page) == []
