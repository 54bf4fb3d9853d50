"""A real browser for the browser client and the page, with a context for each test.

The browser lives as long as the tests of this folder: Playwright's event loop would be in the way
of others'.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    sync_playwright,
)

from tests.browser.proxy import Proxy
from tests.browser.watching import Client
from tests.e2e.clients import Api
from tests.e2e.server import Server

#: Where Debian's package puts it; elsewhere Playwright's own is taken.
CHROMIUM = Path("/usr/bin/chromium")
#: It must not use the network but for what a test asks of it.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


def launch(playwright: Playwright) -> Browser:
    path = str(CHROMIUM) if CHROMIUM.exists() else None
    return playwright.chromium.launch(executable_path=path, args=ARGUMENTS)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The settings as they come, but for heartbeats that follow faster upon each other."""
    folder = tmp_path_factory.mktemp("browser")
    with Server(folder, "gevent", STREAMING_HEARTBEAT_S=2) as server:
        yield server.start()


@pytest.fixture
def api(server: Server) -> Api:
    return server.api


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A user of the browser: no cookies, no cache."""
    context = browser.new_context()
    yield context
    context.close()


@pytest.fixture
def tab(context: BrowserContext) -> Page:
    """A tab, still empty."""
    return context.new_page()


@pytest.fixture
def client(tab: Page, server: Server) -> Iterator[Client]:
    """The client in a page of the server's."""
    made = Client(tab, server.url)
    yield made
    assert made.thrown == []


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    """A proxy in front of the server."""
    with Proxy(server.port) as made:
        yield made


@pytest.fixture
def far_client(tab: Page, proxy: Proxy) -> Iterator[Client]:
    """The client in a page that reaches the server through the proxy."""
    made = Client(tab, proxy.url)
    yield made
    assert made.thrown == []


@pytest.fixture
def page(tab: Page, server: Server) -> Iterator[Page]:
    """The page of the service, in English. What it throws or complains of fails the test."""
    complaints = listen(tab)
    tab.goto(server.url)
    yield tab
    assert complaints == []


def listen(tab: Page) -> list[str]:
    """What a tab's page throws, and its console's errors: of the policy, of files that lack."""
    complaints: list[str] = []

    def hear(said: ConsoleMessage) -> None:
        # What the API refuses is no fault of the page.
        if said.type == "error" and "/v1/" not in said.location["url"]:
            complaints.append(said.text)

    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("console", hear)
    return complaints
