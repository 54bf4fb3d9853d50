"""The examples that many people share, in browsers of their own: a pad, and a game."""

from __future__ import annotations

import json
import re
import shutil
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, Page, expect
from pycrdt import Doc, Text

from tests.browser.conftest import listen
from tests.browser.pages import PATIENCE_MS
from tests.browser.test_code import tools
from tests.browser.test_page_axe import findings
from tests.e2e.waiting import eventually
from tests.flask.serving import ROOT, Served, gunicorn

__all__ = ["tools"]

EXAMPLES = ROOT / "examples"

Visit = Callable[[str], Page]


@contextmanager
def example(folder: Path, name: str) -> Iterator[Served]:
    shutil.copytree(EXAMPLES / name, folder, dirs_exist_ok=True)
    conf = (EXAMPLES / "gunicorn.conf.py").read_text()
    with gunicorn(folder, app="app:app", conf=conf) as served:
        served.wait_until_ready()
        yield served


@pytest.fixture(scope="module")
def pads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with example(tmp_path_factory.mktemp("pad"), "shared_pad") as served:
        yield served


@pytest.fixture(scope="module")
def games(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with example(tmp_path_factory.mktemp("game"), "game") as served:
        yield served


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Opens an address in a browser of somebody else's each time."""
    complaints: list[list[str]] = []
    with ExitStack() as stack:

        def opened(url: str) -> Page:
            page = stack.enter_context(browser.new_context()).new_page()
            complaints.append(listen(page))
            page.goto(url)
            return page

        yield opened
    assert sum(complaints, []) == []


def begun(page: Page, button: str) -> str:
    """The address of what the start page begins."""
    page.click(f"button:text-is('{button}')")
    page.wait_for_url(re.compile("/job_"), timeout=PATIENCE_MS)
    return page.url


def job_at(served: Served, address: str) -> str:
    return f"{served.url}/v1/jobs/{address.rpartition('/')[2]}"


def send_typed(job: str, words: list[str]) -> None:
    """Somebody types, word by word, without a page."""
    doc: Doc[Text] = Doc()
    text = doc.get("text", type=Text)
    for word in words:
        before = doc.get_state()
        text += word
        update = b64encode(doc.get_update(before)).decode()
        requests.post(
            f"{job}/input", json={"data": {"update": update}}, timeout=30
        ).raise_for_status()


# -- the pad


def expect_text(page: Page, text: str) -> None:
    expect(page.locator("#pad")).to_have_value(text, timeout=PATIENCE_MS)


def insert(page: Page, place: int, text: str) -> None:
    """Type at a place of the text."""
    pad = page.locator("#pad")
    expect(pad).to_be_enabled(timeout=PATIENCE_MS)
    pad.evaluate("(pad, place) => { pad.focus(); pad.setSelectionRange(place, place); }", place)
    page.keyboard.insert_text(text)


def test_what_two_people_type_at_once_is_in_both_texts(pads: Served, visit: Visit) -> None:
    ann = visit(pads.url)
    address = begun(ann, "New pad")
    insert(ann, 0, "The tide rises.")
    bob = visit(address)
    expect_text(bob, "The tide rises.")

    insert(bob, 15, " It falls.")
    insert(ann, 4, "spring ")

    for page in (ann, bob):
        expect_text(page, "The spring tide rises. It falls.")
    assert bob.evaluate("document.getElementById('pad').selectionStart") == 32


def test_edits_of_a_page_without_a_network_are_merged_when_it_is_back(
    pads: Served, visit: Visit
) -> None:
    ann = visit(pads.url)
    address = begun(ann, "New pad")
    insert(ann, 0, "one three")
    bob = visit(address)
    expect_text(bob, "one three")

    bob.context.set_offline(True)
    insert(bob, 4, "two ")
    expect(bob.locator("#said")).to_contain_text("not all is sent")
    insert(ann, 9, " four")
    expect_text(ann, "one three four")
    expect_text(bob, "one two three")
    bob.context.set_offline(False)

    for page in (ann, bob):
        expect_text(page, "one two three four")
    expect(bob.locator("#said")).not_to_contain_text("not all", timeout=PATIENCE_MS)


def test_who_comes_late_starts_from_the_saved_text(pads: Served, visit: Visit) -> None:
    address = begun(visit(pads.url), "New pad")
    job = job_at(pads, address)
    words = [f"{number} " for number in range(120)]
    send_typed(job, words)
    eventually(lambda: saved(job) == 100, "it is saved")
    late = visit(pads.url)
    sent: list[str | bytes] = []
    late.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(frame)))

    late.goto(address)

    expect_text(late, "".join(words))
    subscribed = [json.loads(each) for each in sent if '"subscribe"' in str(each)]
    assert [each["after"] for each in subscribed] == [100]


def saved(job: str) -> int | None:
    """How many changes the saved text has."""
    found = requests.get(f"{job}/artifacts/pad.json", timeout=30)
    return found.json()["after"] if found.ok else None


def test_a_pad_goes_on_after_a_restart_of_its_server(tmp_path: Path, visit: Visit) -> None:
    words = [f"{number} " for number in range(60)]
    with example(tmp_path, "shared_pad") as served:
        address = begun(visit(served.url), "New pad")
        send_typed(job_at(served, address), words[:55])
    with example(tmp_path, "shared_pad") as served:
        address = f"{served.url}/pads/{address.rpartition('/')[2]}"
        page = visit(address)
        expect_text(page, "".join(words[:55]))

        insert(page, len("".join(words[:55])), "".join(words[55:]))
        expect_text(visit(address), "".join(words))


def test_what_is_no_update_is_refused_at_its_field(pads: Served, visit: Visit) -> None:
    job = job_at(pads, begun(visit(pads.url), "New pad"))
    for update in ("no base64!", b64encode(b"no update").decode()):
        refused = requests.post(f"{job}/input", json={"data": {"update": update}}, timeout=30)
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["field"] == "data.update"


# -- the game


def play(page: Page, name: str, column: int) -> None:
    page.fill("#name", name)
    button = page.locator("#board button").nth(column)
    expect(button).to_be_enabled(timeout=PATIENCE_MS)
    button.click()


def discs(page: Page) -> dict[str, int]:
    return {each: page.locator(f"#board i.{each}").count() for each in ("first", "second")}


def test_two_play_and_who_comes_late_sees_the_whole_game(games: Served, visit: Visit) -> None:
    ann = visit(games.url)
    address = begun(ann, "New game")
    bob = visit(address)
    for column in (0, 1, 2):
        play(ann, "ann", column)
        play(bob, "bob", column)

    late = visit(address)
    expect(late.locator("#board i.second")).to_have_count(3, timeout=PATIENCE_MS)
    assert discs(late) == {"first": 3, "second": 3}
    late.fill("#name", "eve")
    expect(late.locator("#said")).to_have_text("It is ann's turn")
    assert late.locator("#board button:enabled").count() == 0

    play(ann, "ann", 3)
    for page in (ann, bob, late):
        expect(page.locator("#said")).to_have_text("ann has won", timeout=PATIENCE_MS)
    done = requests.get(job_at(games, address), timeout=30).json()
    assert done["output"] == {"winner": "ann"}
    assert done["text"].splitlines()[:2] == ["ann 0", "bob 0"]


def test_moves_out_of_turn_and_of_others_are_left_out(games: Served, visit: Visit) -> None:
    job = job_at(games, begun(visit(games.url), "New game"))

    def move(by: str, column: int) -> int:
        data = {"by": by, "column": column}
        return requests.post(f"{job}/input", json={"data": data}, timeout=30).status_code

    assert move("ann", 9) == 422
    for by in ("ann", "ann", "bob", "eve", "bob", "ann"):
        assert move(by, 5) == 200
    move("bob", 4)

    eventually(
        lambda: requests.get(job, timeout=30).json()["text"] == "ann 5\nbob 5\nann 5\nbob 4\n",
        "the moves that count are in the text",
    )


# -- both


@pytest.mark.usefixtures("tools")
def test_no_page_has_an_accessibility_fault(pads: Served, games: Served, visit: Visit) -> None:
    for served, button in ((pads, "New pad"), (games, "New game")):
        page = visit(served.url)
        assert findings(page) == []
        begun(page, button)
        expect(page.locator("#said")).not_to_have_text("connecting", timeout=PATIENCE_MS)
        assert findings(page) == []
