"""Watches in a tab, seen from the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Page, TimeoutError as PlaywrightTimeout

Json = Any

SCRIPT = (Path(__file__).parent / "watching.js").read_text()
#: Seconds that a watch may take.
PATIENCE_S = 30.0


class Watch:
    """One watch of the client, in a page."""

    def __init__(self, tab: Page, number: int) -> None:
        self._tab = tab
        self._number = number

    def show(self) -> Json:
        """What it was given so far (`events`, `states`, the folded `job`), and how it stands."""
        return self._tab.evaluate("(number) => show(watches[number])", self._number)

    def do(self, call: str) -> None:
        """Call a method: `cut()`."""
        self._tab.evaluate(f"(number) => watches[number].watch.{call}", self._number)

    def until(self, condition: str, timeout_s: float = PATIENCE_S) -> Json:
        """What it shows, once this holds of `watch` and `seen`."""
        function = (
            f"(number) => {{ const {{ watch, seen }} = watches[number]; return {condition}; }}"
        )
        try:
            self._tab.wait_for_function(function, arg=self._number, timeout=timeout_s * 1000)
        except PlaywrightTimeout:
            raise AssertionError(f"not within {timeout_s} s: {condition}; {self.show()}") from None
        return self.show()

    def finish(self, timeout_s: float = PATIENCE_S) -> Json:
        """What it shows at its end."""
        return self.until("watch.ended", timeout_s)


class Client:
    """The browser client in a page of a server's that does nothing by itself."""

    def __init__(self, tab: Page, url: str) -> None:
        self.tab = tab
        #: What the page has thrown.
        self.thrown: list[str] = []
        tab.on("pageerror", lambda error: self.thrown.append(str(error)))
        tab.goto(f"{url}/v1/healthz")
        tab.evaluate(SCRIPT, f"{url}/v1/streaming.js")

    def watch(self, job: str, settings: Json = None, **options: Json) -> Watch:
        number = self.tab.evaluate(
            "([job, options, settings]) => start(job, options, settings)",
            [job, options, settings or {}],
        )
        return Watch(self.tab, number)

    def run(self, code: str, argument: Json = None) -> Json:
        """What an async function of (streaming, argument) gives; a Problem as {problem}."""
        return self.tab.evaluate(
            f"""async (argument) => {{
                window.streaming ??= new client.Streaming();
                try {{ return await (async (streaming) => {{ {code} }})(window.streaming); }}
                catch (error) {{
                    if (!(error instanceof client.Problem)) throw error;
                    return {{ problem: {{ ...error, message: error.message }} }};
                }}
            }}""",
            argument,
        )


def covered(events: list[Json]) -> list[int]:
    """The seqs that events stand for, in order, as often as they do."""
    numbers = []
    for event in events:
        if "seq" in event:
            numbers += range(event.get("from", event["seq"]), event["seq"] + 1)
    return numbers
