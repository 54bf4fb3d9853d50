"""The three minutes of a first visit, in a browser, with a picture of each thing that is seen.

    python -m tests.browser.visit FOLDER

makes the pictures: wide and phone, light and dark, English and Chinese. For people to look at.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.conftest import launch, listen
from tests.browser.pages import PATIENCE_MS, go, job_of
from tests.e2e.server import Server

#: Name: width, height, colour scheme, language.
LOOKS = {
    "wide-light-en": (1280, 860, "light", "en"),
    "wide-dark-zh": (1280, 860, "dark", "zh-CN"),
    "phone-light-zh": (390, 844, "light", "zh-CN"),
    "phone-dark-en": (390, 844, "dark", "en"),
}


def visit(page: Page, url: str, folder: Path) -> None:
    """Start, ask, cut the connection, come back, and look around."""
    numbered = iter(range(1, 100))

    def picture(name: str, *, whole: bool = True) -> None:
        path = folder / f"{next(numbered):02}-{name}.png"
        page.screenshot(path=path, full_page=whole)

    page.goto(url)
    expect(page.locator("[data-preset=report]")).to_be_visible(timeout=PATIENCE_MS)
    picture("start")
    page.locator(".hero textarea").fill("Why do the tides come twice a day?")
    page.locator(".hero button").click()
    job = job_of(page)
    expect(page.locator(".item .prose")).to_contain_text(" ", timeout=PATIENCE_MS)
    picture("answer")
    page.locator("button.cut").click()
    picture("cut", whole=False)
    page.locator("button.cut").click()
    go(page, "")
    page.locator("[data-preset=report]").click()
    job_of(page)
    expect(page.locator("main header .status")).to_have_attribute(
        "data-status", "completed", timeout=PATIENCE_MS
    )
    picture("report")
    go(page, "")
    page.locator("[data-preset=agent]").click()
    job_of(page)
    expect(page.locator("main header .status")).to_have_attribute(
        "data-status", "completed", timeout=PATIENCE_MS
    )
    picture("agent")
    go(page, f"jobs/{job}")
    picture("back")
    go(page, "")
    page.locator("[data-preset=failing]").click()
    job_of(page)
    expect(page.locator("main header .status")).to_have_attribute(
        "data-status", "failed", timeout=PATIENCE_MS
    )
    picture("failed")
    go(page, "monitor")
    expect(page.locator(".jobs li").first).to_be_visible(timeout=PATIENCE_MS)
    picture("monitor")
    go(page, "compare")
    picture("compare")
    go(page, "chat")
    picture("chat")


def visit_all(browser: Browser, folder: Path) -> list[str]:
    """A visit for each of the looks; what the pages complained of."""
    complaints: list[str] = []
    for name, (width, height, scheme, language) in LOOKS.items():
        with tempfile.TemporaryDirectory() as var, Server(Path(var), "gevent") as server:
            server.start()
            context = browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme="dark" if scheme == "dark" else "light",
                locale=language,
            )
            page = context.new_page()
            heard = listen(page)
            place = folder / name
            place.mkdir(parents=True, exist_ok=True)
            visit(page, server.url, place)
            complaints += heard
            context.close()
    return complaints


if __name__ == "__main__":
    with sync_playwright() as playwright:
        chromium = launch(playwright)
        for complaint in visit_all(chromium, Path(sys.argv[1])):
            sys.stderr.write(f"{complaint}\n")
        chromium.close()
