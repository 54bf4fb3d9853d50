"""The browser client, in a browser: each transport from the first event to the last."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.e2e.clients import Api

WATCH = """async ([job, options]) => {
    const { Streaming, fold } = await import("/static/streaming.js");
    const watch = new Streaming().watch(job, options);
    const events = [];
    let state = null;
    for await (const event of watch) {
        events.push(event);
        state = fold(state, event);
    }
    return { events, state, stats: watch.stats, end: watch.state };
}"""


@pytest.mark.parametrize("transport", ["sse", "websocket", "poll", "ndjson"])
@pytest.mark.parametrize("shared", [False, True], ids=["alone", "shared"])
def test_a_watch_gives_the_whole_log_and_its_fold_is_the_snapshot(
    tab: Page, api: Api, transport: str, shared: bool
) -> None:
    job = api.submit("generate", {"prompt": "Tides", "max_tokens": 30, "tokens_per_s": 100})
    tab.goto(f"{api.url}/healthz")

    seen = tab.evaluate(WATCH, [job, {"transport": transport, "shared": shared}])

    assert seen["events"] == api.log_of(job)
    assert seen["state"] == api.snapshot(job)
    assert seen["end"]["reason"] == "ended"
