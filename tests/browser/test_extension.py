"""The browser clients in the page of an app that has the extension."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from flask import Flask
from playwright.sync_api import Page, expect
from werkzeug.serving import make_server

from streaming import Streaming, server_of
from tests.browser.watching import Client
from tests.readme import BROWSER, ROOT, blocks

EXAMPLE = ROOT / "examples/existing_app/after.py"


def test_the_readmes_page_shows_the_answer_of_the_example(
    tab: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMING_LOG_URL", "memory://")
    (page,) = [block.text for block in blocks(BROWSER) if block.language == "html"]
    example: dict[str, Any] = {"__name__": "example"}
    exec(EXAMPLE.read_text(), example)
    app: Flask = example["app"]
    app.add_url_rule("/", view_func=lambda: page)

    with serving(app) as url:
        tab.goto(url)
        tab.click("#ask")
        expect(tab.locator("#answer")).to_contain_text(
            "a good answer takes some time", timeout=20_000
        )


@pytest.mark.parametrize("transport", ["sse", "websocket", "poll"])
def test_below_a_prefix_the_module_knows_its_server(tab: Page, transport: str) -> None:
    app = Flask("host")
    app.config.update(STREAMING_LOG_URL="memory://")
    streaming = Streaming(app, url_prefix="/ai")

    @streaming.task("greet", open=True)
    def greet(ctx: object, input: object) -> Iterator[str]:
        yield "hello"

    with serving(app) as url:
        client = Client(tab, f"{url}/ai")
        job = client.run("return (await streaming.submit({ task: 'greet' })).id")
        seen = client.watch(job, transport=transport).finish()

    assert seen["job"]["text"] == "hello"
    assert seen["job"]["status"] == "completed"


def test_the_files_come_as_scripts_and_nothing_else_does() -> None:
    app = Flask("host")
    app.config.update(STREAMING_LOG_URL="memory://")
    Streaming(app)

    with serving(app) as url:
        for path in ("streaming.js", "poll.js", "streaming/fold.js"):
            answer = requests.get(f"{url}/v1/{path}", timeout=10)
            assert answer.headers["Content-Type"].startswith("text/javascript")
            assert answer.content == (ROOT / "static" / "client" / path).read_bytes()
        for path in ("streaming/none.js", "streaming/..%2Fpoll.js", "streaming.css"):
            assert requests.get(f"{url}/v1/{path}", timeout=10).status_code == 404


@contextmanager
def serving(app: Flask) -> Iterator[str]:
    """The app on Flask's own server; its address."""
    server_of(app).start(timeout=5)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    server.daemon_threads = True  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server_of(app).drain()
        thread.join(10)
        server.server_close()
