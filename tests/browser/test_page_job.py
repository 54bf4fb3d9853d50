"""The page: one job as it is watched, steered, left and opened again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import listen
from tests.browser.pages import PATIENCE_MS, expect_status, go, job_of, shown_text, words
from tests.e2e.clients import Api
from tests.e2e.server import Server
from tests.e2e.waiting import eventually

#: What a model may say when somebody has told it to.
HOSTILE = [
    "<script>window.hit = 1</script>\n\n",
    "<img src=x onerror='window.hit = 2'>\n\n",
    "[a](javascript:window.hit=3) [b](JaVaScRiPt&colon;window.hit=4) [c](data:text/html,x)\n\n",
    "<svg onload='window.hit=5'><a xlink:href='javascript:1'>x</a></svg>\n\n",
    '<a href="#" style="position:fixed" onclick="window.hit=6">pay</a>\n\n',
    '<iframe src="/docs"></iframe>\n\n',
    '![p](https://outside.example/pixel.png) ![q](x" onerror="window.hit=7)\n\n',
    "`<b>` **bold** </div></section><style>body{display:none}</style><base href='//x'>\n\n",
    "<form action='https://outside.example'><input name=key autofocus onfocus='window.hit=8'>\n",
]


def test_hostile_text_is_shown_and_does_nothing(page: Page, api: Api) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    job = api.submit("generator", {"words": HOSTILE})

    go(page, f"jobs/{job}")
    expect_status(page, "completed")

    prose = page.locator(".item .prose")
    expect(prose.locator("strong")).to_have_text("bold")
    for words_of_it in ("<script>window.hit = 1</script>", "onerror", "<iframe", "<style>"):
        expect(prose).to_contain_text(words_of_it)
    assert page.evaluate("window.hit") is None
    assert prose.locator("script, img, svg, iframe, style, form, input, base").count() == 0
    names = prose.evaluate(
        "(box) => [...box.querySelectorAll('*')].flatMap((each) => each.getAttributeNames())"
    )
    assert set(names) <= {"dir", "href", "rel", "target"}
    links = [link.get_attribute("href") for link in prose.locator("a[href]").all()]
    assert links == ["https://outside.example/pixel.png"]
    assert prose.locator("a[href][rel~=noopener]").count() == 1
    assert [url for url in asked if not url.startswith(api.url)] == []


def test_a_hostile_picture_is_drawn_and_does_nothing(page: Page, api: Api) -> None:
    svg = (
        "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9' onload='parent.hit=1'>"
        "<script>parent.hit=2</script><rect width='9' height='9'/></svg>"
    )
    html = "<script>parent.hit=3</script><p onclick='x'>Hello</p>"
    for name, kind, text in (("p.svg", "image/svg+xml", svg), ("p.html", "text/html", html)):
        job = api.submit("making", {"name": name, "media_type": kind, "versions": [text]})
        go(page, f"jobs/{job}")
        expect_status(page, "completed")
        expect(page.locator(".artifact").locator("img, iframe")).to_be_visible()
        if name == "p.html":
            frame = page.frame_locator(".artifact iframe")
            expect(frame.locator("p")).to_have_text("Hello")

    assert page.evaluate("window.hit") is None


def test_a_job_is_opened_again_from_its_address(page: Page, api: Api) -> None:
    page.click("[data-preset=agent]")
    job = job_of(page)
    expect_status(page, "completed")
    text = shown_text(page)

    page.reload()

    expect_status(page, "completed")
    expect(page.locator(".calls li")).to_have_count(2)
    assert shown_text(page) == text
    assert words(text) == words(api.snapshot(job)["text"])


def test_a_text_goes_on_after_the_server_was_killed(browser: Browser, tmp_path: Path) -> None:
    with Server(tmp_path, "gevent").start() as server:
        tab = browser.new_page()
        listen(tab)  # the network's errors are what this is about
        job = server.api.submit(
            "generate", {"prompt": "Tides", "max_tokens": 900, "tokens_per_s": 60}
        )
        tab.goto(f"{server.url}/#/jobs/{job}")
        eventually(lambda: len(shown_text(tab)) > 200, "the text grows")

        server.kill()
        expect(tab.locator(".connection")).to_have_attribute(
            "data-state", "waiting", timeout=PATIENCE_MS
        )
        server.start()

        expect_status(tab, "completed")
        final = server.api.snapshot(job)
        assert final["attempt"] == 2
        eventually(lambda: words(shown_text(tab)) == words(final["text"]), "the text is whole")
        assert sequence_of(tab) == list(range(1, final["seq"] + 1))
        tab.close()


def sequence_of(tab: Page) -> list[int]:
    """The numbers of all events that the page has, as it would save them."""
    with tab.expect_download() as download:
        tab.click("button:text('Save as NDJSON')")
    lines = Path(download.value.path()).read_text().splitlines()
    return [event["seq"] for event in map(json.loads, lines) if "seq" in event]


def test_a_job_is_cancelled(page: Page) -> None:
    page.select_option("label:text('Task') + select", "generate")
    page.fill("[data-path=max_tokens]", "50000")
    page.click("form.schema button.main")
    expect_status(page, "running")

    page.click("button:text-is('Cancel')")

    expect_status(page, "cancelled")
    expect(page.locator("button:text-is('Cancel')")).to_be_hidden()
    page.click("button:text('Change and run')")
    expect(page.locator("[data-path=max_tokens]")).to_have_value("50000")


def test_a_failure_says_why(page: Page) -> None:
    page.click("[data-preset=failing]")

    expect_status(page, "failed")
    expect(page.locator(".problem:visible")).to_contain_text("failed after 20 tokens")
    expect(page.locator(".steps li[data-status=failed] .mark")).to_have_text("✕")


def test_everything_that_a_job_tells_is_shown(page: Page, api: Api) -> None:
    job = api.submit("scripted", {})
    go(page, f"jobs/{job}")
    expect_status(page, "waiting for input")
    expect(page.locator(".ask")).to_contain_text("Is it good?")
    expect(page.locator(".meter")).to_contain_text("drafting")

    page.click("button:text-is('Yes')")

    expect_status(page, "completed")
    expect(page.locator(".ask")).to_be_hidden()
    expect(page.locator(".thinking")).to_have_text("First, a greeting.")
    expect(page.locator(".calls code")).to_contain_text("count(")
    expect(page.locator(".chart .now")).to_have_text("test 0.75")
    expect(page.locator(".alerts li")).to_have_count(2)
    expect(page.locator(".artifact pre")).to_have_text("a nöte")
    assert api.snapshot(job)["output"]["verdict"] == {"ok": True}


def test_an_answer_that_was_refused_can_be_given_again(page: Page, api: Api) -> None:
    schema = {
        "type": "object",
        "properties": {"stars": {"type": "integer", "minimum": 1}, "why": {"type": "string"}},
        "required": ["stars"],
    }
    job = api.submit("asking-for", {"schema": schema})
    go(page, f"jobs/{job}")
    page.fill("[data-path=stars]", "0")
    page.click("button:text-is('Answer')")
    stars = page.locator(".field", has=page.locator("[data-path=stars]"))
    expect(stars.locator(".wrong")).to_contain_text("minimum")
    expect(page.locator(".ask .problem")).to_be_hidden()

    page.fill("[data-path=stars]", "4")
    page.click("button:text-is('Answer')")

    expect_status(page, "completed")
    assert api.snapshot(job)["output"]["answer"] == {"stars": 4}


@pytest.mark.parametrize("name", ["", "ok"])
def test_a_yes_or_no_that_was_refused_says_why_below_it(page: Page, api: Api, name: str) -> None:
    yes = {"type": "boolean", "const": True}
    schema = {"type": "object", "properties": {name: yes}, "required": [name]} if name else yes
    job = api.submit("asking-for", {"schema": schema})
    go(page, f"jobs/{job}")
    page.click("button:text-is('No')")
    expect(page.locator(".ask .wrong")).to_have_text("True was expected")
    expect(page.locator(".ask .problem")).to_be_hidden()

    page.click("button:text-is('Yes')")

    expect_status(page, "completed")
    assert api.snapshot(job)["output"]["answer"] == ({name: True} if name else True)


def test_the_events_are_filtered_opened_and_saved(page: Page, api: Api) -> None:
    job = api.submit("scripted", {})
    go(page, f"jobs/{job}")
    page.click("button:text-is('Yes')")
    expect_status(page, "completed")
    steps = [each for each in api.log_of(job) if each["type"] == "step.updated"]

    page.fill("[type=search]", "step.upd")

    expect(page.locator(".events .hint")).to_have_text(
        f"{len(steps)} of {api.snapshot(job)['seq']} events"
    )
    page.locator(".window li").first.click()
    assert json.loads(page.locator(".one-event:visible").last.inner_text()) == steps[0]
    assert sequence_of(page) == [each["seq"] for each in api.log_of(job)]


@pytest.mark.parametrize("wanted", ["job_00000000000000000000000000", "nonsense"])
def test_a_job_that_is_not_there_says_what_to_do(tab: Page, server: Server, wanted: str) -> None:
    tab.goto(f"{server.url}/#/jobs/{wanted}")

    expect(tab.locator(".problem:visible")).to_contain_text("Look at the list of jobs")
    expect(tab.locator("main :is(.status, button, .card):visible")).to_have_count(0)


def test_a_job_that_has_made_nothing_yet_says_so(page: Page, api: Api) -> None:
    job = api.submit("sleeping", {"seconds": 3600})

    go(page, f"jobs/{job}")

    expect(page.locator(".empty:visible")).to_have_text(
        "It is running. What it makes appears here.", timeout=PATIENCE_MS
    )
    expect(page.locator("section[aria-label=Text]")).to_be_hidden()
    api.cancel(job, json={"reason": "enough"})
    expect_status(page, "cancelled")
    expect(page.locator(".empty:visible")).to_contain_text("cancelled before it made anything")
    expect(page.locator("main")).to_contain_text("reason: enough")


def test_what_is_below_a_text_hardly_moves_while_it_grows(page: Page) -> None:
    page.click("[data-preset=report]")
    expect(page.locator(".item .prose")).to_contain_text("Two years of sales")
    chart = page.locator("section[aria-label=Artifacts]")
    top = "(card) => card.getBoundingClientRect().top + scrollY"
    before = chart.evaluate(top)

    expect_status(page, "completed")

    assert abs(chart.evaluate(top) - before) < 150


def test_an_output_of_plain_values_is_told_as_facts(page: Page, api: Api) -> None:
    page.click("[data-preset=files]")
    job = job_of(page)
    expect_status(page, "completed")

    facts = page.locator("section[aria-label=Output] dl")

    output = api.snapshot(job)["output"]
    expect(facts.locator("dt")).to_have_text(list(output))
    expect(facts.locator("dd")).to_have_text(["2", "–", str(output["bytes"])])


def test_a_running_step_tells_how_long_it_has_run(page: Page, api: Api) -> None:
    job = api.submit("generate", {"prompt": "Tides", "max_tokens": 2000, "tokens_per_s": 5})

    go(page, f"jobs/{job}")

    time = page.locator(".steps li[data-status=running] .number")
    expect(time).to_have_text("2 s", timeout=PATIENCE_MS)
    api.cancel(job)


def test_the_raw_events_are_read_by_keyboard(page: Page, api: Api) -> None:
    job = api.run("generate", {"prompt": "Tides", "max_tokens": 50, "tokens_per_s": 0})["id"]
    log = api.log_of(job)
    go(page, f"jobs/{job}")
    expect_status(page, "completed")
    window = page.get_by_role("listbox", name="Raw events")
    window.focus()

    for key, event in [("Home", log[0]), ("ArrowDown", log[1]), ("End", log[-1])]:
        page.keyboard.press(key)
        chosen = window.get_by_role("option", selected=True)
        expect(chosen).to_contain_text(event["type"])
        expect(chosen).to_be_in_viewport()
        assert json.loads(page.locator(".events .one-event").inner_text()) == event


def test_the_steps_are_said_and_the_tokens_are_not(page: Page) -> None:
    page.evaluate(
        """() => {
            window.heard = [];
            const said = document.getElementById("said");
            new MutationObserver(() => window.heard.push(said.textContent))
                .observe(said, { childList: true });
        }"""
    )

    page.select_option("label:text('Task') + select", "report")
    page.fill("[data-path=tokens_per_s]", "200")
    page.click("form.schema button.main")
    expect_status(page, "completed")

    eventually(lambda: "completed" in page.evaluate("window.heard.at(-1)"), "the end is said")
    heard: list[str] = page.evaluate("window.heard")
    assert len(heard) < 20
    assert "Write the summary: running" in ". ".join(heard)
    live = "[...document.querySelectorAll('[aria-live=polite], [role=status], [role=log]')]"
    assert page.evaluate(f"{live}.filter((each) => each.querySelector('.prose')).length") == 0


def test_a_line_end_is_one_before_it_is_rendered(page: Page) -> None:
    shown = page.evaluate(
        """async () => {
            const { Prose } = await import("/static/page/prose.js");
            const prose = new Prose();
            document.body.append(prose.node);
            prose.show("one");
            prose.show("one\\ntwo");
            const raw = [prose.unsettled, prose.node.innerText.trim()];
            prose.show("one\\ntwo", true);
            return [raw, [prose.unsettled, prose.node.innerText.trim()]];
        }"""
    )

    assert shown == [[True, "one\ntwo"], [False, "one\ntwo"]]


def test_the_timeline_says_of_steps_and_tools_what_they_say_themselves(page: Page) -> None:
    shown = page.evaluate(
        """async () => {
            const { Timeline } = await import("/static/page/timeline.js");
            const line = new Timeline();
            const at = (ms) => new Date(1e12 + ms).toISOString();
            const step = { id: "read", title: "Read" }, call = { id: "c", name: "search" };
            for (const [ms, type, data] of [
                [0, "job.started", { attempt: 1 }],
                [10, "step.updated", { ...step, status: "running" }],
                [20, "tool.call", call],
                [40, "tool.result", { ...call, duration_s: 0.005 }],
                [90, "step.updated", { ...step, status: "completed", duration_s: 0.07 }],
                [100, "job.completed", {}],
            ]) line.add({ type, at: at(ms), data });
            line.draw(true);
            return [...line.node.querySelectorAll(".number")].map((each) => each.textContent);
        }"""
    )

    assert shown == ["100 ms", "70 ms", "5 ms"]
