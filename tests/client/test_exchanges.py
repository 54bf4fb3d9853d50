"""Every client against the recorded exchanges, over real sockets."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streaming.client import AsyncClient, Client, ProblemError
from tests.client.replay import ReplayServer
from tests.readme import ROOT

FOLDER = Path(__file__).parent / "exchanges"
EXCHANGES = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
Json = Any
#: Events, and the problem with which the watch ended, if it did.
Found = tuple[list[Json], Json]


def watch_sync(url: str, jobs: dict[str, int], types: list[str]) -> Found:
    found: list[Json] = []
    with Client(url) as client:
        if len(jobs) > 1:
            watch = client.watch_many(jobs, types=types)
        else:
            [(job, after)] = jobs.items()
            watch = client.watch(job, after, types=types)
        try:
            found.extend(watch)
        except ProblemError as error:
            return found, {"status": error.status, "code": error.code}
    return found, None


def watch_async(url: str, jobs: dict[str, int], types: list[str]) -> Found:
    async def read() -> Found:
        found: list[Json] = []
        async with AsyncClient(url) as client:
            watch = client.watch_many(jobs, types=types)
            try:
                async for event in watch:
                    found.append(event)
            except ProblemError as error:
                return found, {"status": error.status, "code": error.code}
        return found, None

    return asyncio.run(read())


def watch_node(url: str, jobs: dict[str, int], types: list[str]) -> Found:
    node = shutil.which("node", path=str(Path(sys.executable).parent)) or "node"
    script, module = ROOT / "tests/client/watch.js", ROOT / "static/client/streaming.js"
    command = [node, "--experimental-eventsource", "--no-warnings", str(script), str(module)]
    ended = subprocess.run(
        [*command, url, json.dumps(jobs), ",".join(types)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    *events, end = map(json.loads, ended.stdout.strip().split("\n"))
    return events, end["problem"]


CLIENTS: dict[str, Callable[[str, dict[str, int], list[str]], Found]] = {
    "python": watch_sync,
    "python-async": watch_async,
    "node": watch_node,
}
#: An EventSource does not show positions without an event: it goes on from the last event.
NOT_SEEN_BY = {"node": {"filtered"}}


@pytest.mark.parametrize(
    ("client", "name"),
    [
        (client, name)
        for client in CLIENTS
        for name in EXCHANGES
        if name not in NOT_SEEN_BY.get(client, ())
    ],
)
def test_a_client_makes_of_an_exchange_what_it_says(client: str, name: str) -> None:
    exchange = EXCHANGES[name]
    with ReplayServer(exchange) as server:
        watch = exchange["watch"]
        events, error = CLIENTS[client](server.url, dict(watch["jobs"]), watch["types"])

    assert events == exchange["events"]
    assert error == exchange.get("error")
    assert server.faults == []
    assert server.unused == []
