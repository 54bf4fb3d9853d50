"""The page as a whole: its policy, its key, its languages, small screens, and who cannot see it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import listen
from tests.browser.pages import PATIENCE_MS, expect_status, go, job_of
from tests.e2e.clients import Api
from tests.e2e.server import Server

#: Tasks that only tests have, and what is a name and no word.
NAMES_OF_TESTS = re.compile(r"[A-Z][a-z]+(-[a-z]+)*|sales\.csv|note\.txt")

KEY = "a-key-of-the-page"


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks for a key."""
    folder = tmp_path_factory.mktemp("keyed")
    with Server(folder, "gevent", STREAMING_API_KEYS=KEY) as server:
        yield server.start()


@pytest.fixture(scope="module")
def views(api_of_module: Api) -> dict[str, str]:
    """An address for each view, with something to see."""
    api = api_of_module
    report = {"csv": "month,sales\n" + "".join(f"2024-{n:02},{n * n}\n" for n in range(1, 13))}
    jobs = {
        "job": api.run("report", {**report, "tokens_per_s": 0})["id"],
        "trained": api.run("train", {"epochs": 3})["id"],
        "told": api.submit("scripted", {}),
        "failed": api.run("generate", {"prompt": "x", "fail_after": 2, "tokens_per_s": 0})["id"],
    }
    api.reach(jobs["told"], "waiting_for_input")
    asked = {"message": "publish: Tides", "tokens_per_s": 0, "approval_s": 3600}
    chat = api.submit("chat", asked)
    api.reach(chat, "waiting_for_input")
    found = {name: f"jobs/{job}" for name, job in jobs.items()}
    return {
        **found,
        "start": "",
        "compare": "compare",
        "monitor": "monitor",
        "chat": f"chat/{chat}",
        "chats": "chat",
    }


@pytest.fixture(scope="module")
def api_of_module(server: Server) -> Api:
    return server.api


VIEWS = ["start", "job", "trained", "told", "failed", "compare", "monitor", "chat", "chats"]


def open_view(page: Page, views: dict[str, str], name: str) -> None:
    go(page, views[name])
    expect(page.locator("main")).not_to_be_empty()
    expect(page.locator("h1")).to_have_count(1)
    if "job_" in views[name]:
        ended = page.locator("main header .status").filter(has_text=re.compile("ed$|input"))
        expect(ended).to_be_visible(timeout=PATIENCE_MS)


@pytest.fixture(scope="module", params=["light", "dark"])
def lit(browser: Browser, server: Server, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A tab in light and one in dark; what it complains of fails the last test with it."""
    tab = browser.new_page(color_scheme=request.param)
    complaints = listen(tab)
    tab.goto(server.url)
    yield tab
    assert complaints == []
    tab.close()


@pytest.fixture(scope="module")
def phone(browser: Browser, server: Server) -> Iterator[Page]:
    tab = browser.new_page(viewport={"width": 360, "height": 720})
    tab.goto(server.url)
    yield tab
    tab.close()


@pytest.mark.parametrize("name", VIEWS)
def test_no_serious_fault_is_found_by_axe(lit: Page, views: dict[str, str], name: str) -> None:
    open_view(lit, views, name)

    found = Axe().run(lit).response["violations"]

    serious = [
        (each["id"], [node["html"][:200] for node in each["nodes"]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
    assert serious == []


@pytest.mark.parametrize("name", VIEWS)
def test_nothing_is_wider_than_a_phone(phone: Page, views: dict[str, str], name: str) -> None:
    open_view(phone, views, name)

    assert phone.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_policy_allows_nothing_inline_and_nothing_from_elsewhere(api: Api) -> None:
    response = api.get("/")

    policy = response.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "http" not in policy
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "style=" not in response.text
    assert not re.search(r"<script(?![^>]*src=)", response.text)
    assert not re.search(r"\son\w+=", response.text)


def test_the_policy_is_kept_by_the_browser(tab: Page, server: Server) -> None:
    tab.goto(server.url)
    heard = listen(tab)

    tab.evaluate(
        """() => {
            const made = document.createElement("script");
            try { made.textContent = "window.hit = 1"; } catch { window.refused = true; }
            document.body.append(made);
            try { document.body.innerHTML += "<b>hit</b>"; } catch { window.refused = true; }
        }"""
    )

    assert tab.evaluate("[window.hit, window.refused]") == [None, True]
    assert heard


def test_the_page_asks_nobody_else(page: Page, server: Server) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    for view in ("compare", "monitor", "chat"):
        go(page, view)

    assert asked
    assert [url for url in asked if not url.startswith(server.url)] == []


def test_a_key_is_asked_for_checked_and_kept(tab: Page, keyed: Server) -> None:
    tab.goto(keyed.url)
    tab.get_by_label("API key").fill("wrong")
    tab.click("button:text('Use this key')")
    expect(tab.locator(".problem")).to_contain_text("This key was refused")

    tab.get_by_label("API key").fill(KEY)
    tab.click("button:text('Use this key')")

    tab.click("[data-preset=analyze]")
    expect_status(tab, "completed")
    expect(tab.frame_locator(".artifact iframe").locator("h1")).to_be_visible()
    go(tab, "")
    tab.click("[data-preset=train]")
    expect_status(tab, "completed")
    assert tab.locator(".artifact img").evaluate(
        "async (each) => (await each.decode(), each.width)"
    )
    with tab.expect_download() as download:
        tab.locator(".artifact", has_text="epochs.csv").locator("button").click()
    assert Path(download.value.path()).read_text().startswith("epoch,")
    tab.reload()
    expect_status(tab, "completed")
    assert tab.evaluate("[sessionStorage.api_key, localStorage.api_key]") == [KEY, None]
    tab.click("button:text('Forget key')")
    expect(tab.get_by_label("API key")).to_be_visible()


def test_everything_is_said_in_chinese(
    browser: Browser, server: Server, views: dict[str, str]
) -> None:
    tab = browser.new_page(locale="zh-CN")
    tab.goto(server.url)
    expect(tab.locator("html")).to_have_attribute("lang", "zh-CN")
    expect(tab.locator("h2").first).to_have_text("启动任务")
    for task in ["agent", "analyze", "chat", "files", "generate", "monitor", "report", "train"]:
        tab.locator("select").first.select_option(task)
    for name in VIEWS:
        if name != "told":
            open_view_in_chinese(tab, views[name])

    missing = tab.evaluate("import('/static/page/i18n.js').then((i18n) => [...i18n.missing])")

    assert [each for each in missing if not NAMES_OF_TESTS.fullmatch(each)] == []
    tab.close()


def test_what_a_form_is_refused_for_is_said_in_chinese(page: Page) -> None:
    page.click("#language")
    page.locator("main select").first.select_option("generate")
    page.fill("[data-path=prompt]", "")
    page.fill("[data-path=max_tokens]", "60000")

    page.click("form.schema button.main")

    expect(page.locator(".wrong:visible")).to_have_text(["至少需要 1 个字符", "不能大于 50000"])


def open_view_in_chinese(tab: Page, view: str) -> None:
    go(tab, view)
    if "job_" in view:
        expect(tab.locator("main header .status")).to_have_text(re.compile("已完成|失败|等待输入"))


def test_the_language_is_changed_by_a_button_and_kept(page: Page) -> None:
    page.click("#language")

    expect(page.locator("nav a").first).to_have_text("开始")
    page.reload()
    expect(page.locator("nav a").first).to_have_text("开始")
    page.click("#language")
    expect(page.locator("nav a").first).to_have_text("Start")


def test_light_and_dark_are_changed_by_a_button_and_kept(page: Page) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)

    page.click("#theme")

    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    assert page.evaluate(ground) == dark


@pytest.mark.parametrize(
    ("seconds", "english", "chinese"),
    [
        (0.0042, "4 ms", "4 毫秒"),
        (3.14, "3.1 s", "3.1 秒"),
        (60, "1 min", "1 分"),
        (95, "1 min 35 s", "1 分 35 秒"),
        (3600, "1 h", "1 小时"),
        (5400, "1 h 30 min", "1 小时 30 分"),
    ],
)
def test_a_duration_is_told_in_the_language(
    page: Page, seconds: float, english: str, chinese: str
) -> None:
    told = "(s) => import('/static/page/i18n.js').then((i18n) => i18n.duration(s))"

    assert page.evaluate(told, seconds) == english
    page.click("#language")
    assert page.evaluate(told, seconds) == chinese


def test_a_job_is_started_and_cancelled_by_keyboard(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.locator("[data-preset=generate]").focus()
    page.keyboard.press("Enter")
    job_of(page)
    expect_status(page, "running")

    page.locator("button:text-is('Cancel')").focus()
    page.keyboard.press("Space")

    expect_status(page, "cancelled")


def test_a_server_that_is_away_is_said_and_can_be_tried_again(tab: Page, server: Server) -> None:
    tab.route("**/v1/tasks", lambda route: route.abort())
    tab.goto(server.url)
    expect(tab.locator(".problem")).to_contain_text("No answer from the server")
    tab.unroute("**/v1/tasks")

    tab.click("button:text('Try now')")

    expect(tab.locator("[data-preset=report]")).to_be_visible()
