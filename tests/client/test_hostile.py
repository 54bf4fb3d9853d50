"""Each client through a proxy that cuts, delays and refuses, as `scripts/bench clients` has it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench.clients import Events, judge, trial
from tests.e2e.clients import Api
from tests.e2e.server import Server

#: Cuts of each client; a thousand are the measurement's.
CUTS = 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("client", "transport"),
    [
        ("python", "sse"),
        ("python-async", "poll"),
        ("node", "websocket"),
        ("chromium", "sse"),
        ("chromium", "websocket"),
        ("chromium", "poll"),
    ],
)
def test_nothing_is_lost_repeated_or_torn(server: Server, client: str, transport: str) -> None:
    verdict = trial(server, client, transport, CUTS, seed=1)

    assert verdict.cuts >= CUTS
    assert verdict.events > 100
    assert verdict.whole, verdict


@pytest.mark.parametrize(
    ("change", "lost", "repeated"),
    [
        (lambda events: events, 0, 0),
        (lambda events: [*events[:3], *events[4:]], 1, 0),
        (lambda events: [*events[:4], *events[3:]], 0, 1),
    ],
)
def test_what_is_lost_or_repeated_is_found(
    api: Api, change: Callable[[Events], Events], lost: int, repeated: int
) -> None:
    job = api.run("generator", {"words": ["a ", "b ", "c "]})["id"]
    found = change(api.log_of(job))

    verdict = judge("python", "sse", api, [job], found, 0, 0.0)

    assert (verdict.lost, verdict.repeated) == (lost, repeated)
    assert verdict.whole == (lost == repeated == 0)


def test_what_is_torn_is_found(api: Api) -> None:
    job = api.run("generator", {"words": ["a ", "b ", "c "]})["id"]
    found = api.log_of(job)
    said = next(event for event in found if event["type"] == "text.delta")
    said["data"]["text"] = "A "

    verdict = judge("python", "sse", api, [job], found, 0, 0.0)

    assert (verdict.lost, verdict.repeated, verdict.wrong) == (0, 0, 2)
