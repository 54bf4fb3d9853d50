"""What streams say of themselves, and readers that are slow: gaps, rotation, thinning."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tests.browser.watching import Client, covered
from tests.e2e.clients import Api
from tests.e2e.server import Server
from tests.e2e.waiting import eventually

TRANSPORTS = ["sse", "websocket", "poll", "ndjson"]


@pytest.fixture(scope="module")
def restless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Keeps the last few events of a job; a stream does not live long."""
    settings = {"STREAMING_RETENTION_EVENTS": 20, "STREAMING_ROTATE_S": 0.5}
    with Server(tmp_path_factory.mktemp("restless"), "gevent", **settings) as server:
        yield server.start()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_after_a_gap_the_fold_goes_on_from_the_snapshot(
    tab: Page, restless: Server, transport: str
) -> None:
    api = restless.api
    ended = api.run("plain", {"words": [f"{number} " for number in range(60)]})

    def trimmed() -> bool:
        return api.get(f"/v1/jobs/{ended['id']}/poll?wait=0").json()["events"][0]["type"] == (
            "stream.gap"
        )

    eventually(trimmed, "the log's head is gone")

    seen = Client(tab, restless.url).watch(ended["id"], transport=transport).finish()

    kinds = [event["type"] for event in seen["events"][:2]]
    assert kinds == ["stream.gap", "stream.snapshot"]
    gap, snapshot = (event["data"] for event in seen["events"][:2])
    assert seen["stats"]["lost"] == gap["to"] - gap["from"] + 1 == snapshot["seq"]
    assert covered(seen["events"]) == list(range(snapshot["seq"] + 1, ended["seq"] + 1))
    assert seen["job"] == ended


@pytest.mark.parametrize("transport", ["sse", "websocket", "ndjson"])
def test_a_stream_that_is_closed_for_rotation_goes_on(
    tab: Page, restless: Server, transport: str
) -> None:
    api = restless.api
    job = api.submit("asking")
    watch = Client(tab, restless.url).watch(job, transport=transport)

    waiting = watch.until("watch.state.reason === 'closing'")
    assert waiting["state"]["retryAt"] > 0
    watch.until("watch.stats.reconnects >= 1")
    api.answer(job, {"ok": True})

    seen = watch.finish()
    assert seen["events"] == api.log_of(job)
    assert seen["state"]["transport"] == transport


@pytest.mark.slow
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_reader_that_pauses_lags_and_has_the_same_text_in_the_end(
    client: Client, api: Api, transport: str
) -> None:
    job = api.submit("flooding", {"bytes": 8000, "count": 400, "pause_s": 0.002})
    watch = client.watch(job, transport=transport)
    watch.until("seen.job?.status === 'waiting_for_input'")

    watch.do("pause()")
    api.answer(job, True)
    ended = api.finish(job, timeout_s=60)  # whoever reads slowly
    paused = watch.show()
    assert paused["position"] < ended["seq"]
    assert (paused["state"]["name"] == "waiting") == (transport in ("sse", "websocket"))
    watch.do("resume()")

    seen = watch.until("watch.ended")
    assert seen["job"] == api.snapshot(job)
    assert covered(seen["events"]) == list(range(1, ended["seq"] + 1))
    assert (seen["stats"]["lost"], seen["stats"]["repeated"]) == (0, 0)


@pytest.mark.slow
def test_the_server_feels_a_paused_reader_who_has_the_same_text_in_the_end(
    client: Client, api: Api
) -> None:
    job = api.submit("flooding", {"bytes": 8000, "count": 1500, "pause_s": 0.002})
    watch = client.watch(job, transport="ndjson")
    watch.until("seen.job?.status === 'waiting_for_input'")

    watch.do("pause()")
    api.answer(job, True)
    eventually(lambda: lag(api, job) > 200, "the viewer lags", timeout_s=30)
    watch.do("resume()")

    seen = watch.finish(timeout_s=60)
    assert seen["job"]["text"] == api.snapshot(job)["text"]
    assert seen["stats"]["lost"] == 0


def lag(api: Api, job: str) -> int:
    viewers = api.get(f"/v1/jobs/{job}/viewers").json()["viewers"]
    return max((viewer["lag"] for viewer in viewers), default=0)
