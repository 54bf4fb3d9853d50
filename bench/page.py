"""The page with a long job, in a real browser: frames, long tasks, memory and elements.

First live, as the model writes; then the same job opened again, from its whole log at once.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import CDPSession, Page, sync_playwright
from rich.console import Console
from rich.table import Table

from tests.browser.conftest import launch
from tests.e2e.clients import Api
from tests.e2e.server import Server

#: Milliseconds within which the job must be on the page.
PATIENCE_MS = 300_000

#: Watches the page's frames, and what keeps its thread for more than 50 ms.
METER = """() => {
    const meter = { frames: [], tasks: [], last: performance.now() };
    const frame = (now) => {
        meter.frames.push(now - meter.last);
        meter.last = now;
        meter.request = requestAnimationFrame(frame);
    };
    meter.request = requestAnimationFrame(frame);
    meter.observer = new PerformanceObserver((list) => {
        for (const each of list.getEntries()) meter.tasks.push(each.duration);
    });
    meter.observer.observe({ entryTypes: ["longtask"] });
    window.meter = meter;
}"""
READ = """() => {
    cancelAnimationFrame(window.meter.request);
    window.meter.observer.disconnect();
    return { frames: window.meter.frames, tasks: window.meter.tasks };
}"""


@dataclass(frozen=True)
class Smoothness:
    """What the browser did while a job was shown."""

    seconds: float
    events: int
    #: Milliseconds between frames.
    frames: list[float]
    #: Milliseconds of each task of more than 50 ms.
    tasks: list[float]
    #: Most bytes that JavaScript held after a collection, at its looks.
    heap: int
    #: Elements in the page at the end.
    elements: int

    def frame_ms(self, share: float) -> float:
        ordered = sorted(self.frames)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


@contextmanager
def browser_tab() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser.new_page()
        browser.close()


def measure(tab: Page, url: str, api: Api, job: str) -> Smoothness:
    """Open a job's view, and measure until all of it is shown."""
    devtools = tab.context.new_cdp_session(tab)
    tab.goto(url)
    tab.evaluate(METER)
    began = time.monotonic()
    tab.evaluate("job => { location.hash = `#/jobs/${job}`; }", job)
    tab.locator("main header .status[data-status=completed]").wait_for(timeout=PATIENCE_MS)
    seconds = time.monotonic() - began
    seen: dict[str, Any] = tab.evaluate(READ)
    text = tab.locator(".item .prose").evaluate("(box) => box.textContent")
    wanted = api.snapshot(job)
    assert squeezed(text) == squeezed(wanted["text"]), "the page shows another text"
    elements: int = tab.evaluate("document.querySelectorAll('*').length")
    return Smoothness(
        seconds, wanted["seq"], seen["frames"], seen["tasks"], heap_of(devtools), elements
    )


def squeezed(text: str) -> str:
    """Without white space, of which Markdown makes its own."""
    return "".join(text.split())


def heap_of(devtools: CDPSession) -> int:
    """Bytes that JavaScript holds after a collection."""
    devtools.send("HeapProfiler.collectGarbage")
    used: int = devtools.send("Runtime.getHeapUsage")["usedSize"]
    return used


def show(rows: dict[str, Smoothness]) -> None:
    table = Table(title="The page with a long job")
    table.add_column("")
    for name in rows:
        table.add_column(name, justify="right")
    figures: dict[str, Callable[[Smoothness], str]] = {
        "events": lambda row: f"{row.events:,}",
        "seconds until all is shown": lambda row: f"{row.seconds:.1f}",
        "frames": lambda row: f"{len(row.frames):,}",
        "frame p50 / p95 / p99, ms": lambda row: " / ".join(
            f"{row.frame_ms(share):.0f}" for share in (0.5, 0.95, 0.99)
        ),
        "longest frame, ms": lambda row: f"{row.frame_ms(1):.0f}",
        "tasks of more than 50 ms": lambda row: str(len(row.tasks)),
        "longest task, ms": lambda row: f"{max(row.tasks, default=0):.0f}",
        "JavaScript heap, MB": lambda row: f"{row.heap / 1e6:.1f}",
        "elements": lambda row: f"{row.elements:,}",
    }
    for title, figure in figures.items():
        table.add_row(title, *(figure(row) for row in rows.values()))
    Console().print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=500, help="tokens a second")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="page-") as folder,
        Server(Path(folder), "gevent").start() as server,
        browser_tab() as tab,
    ):
        given = {"prompt": "A long text", "max_tokens": options.tokens}
        job = server.api.submit("generate", {**given, "tokens_per_s": options.rate})
        rows = {"live": measure(tab, server.url, server.api, job)}
        tab.goto("about:blank")
        rows["from the log"] = measure(tab, server.url, server.api, job)
    show(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
