"""Every client through a hostile proxy, each transport: what was lost, repeated, or torn."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests
from playwright.sync_api import sync_playwright

from bench.hostile import HostileProxy
from streaming.client import AsyncClient, Client
from streaming.client.fold import Fold
from tests.browser.conftest import launch
from tests.e2e.clients import Api
from tests.e2e.server import ROOT, Server
from tests.e2e.waiting import eventually

Events = list[dict[str, Any]]
#: Gives all events of the jobs through the proxy at this address.
Run = Callable[[str, list[str]], Events]

#: Jobs that are watched at once over one connection.
MANY = 3
#: Seconds between two pieces of text of a job.
PAUSE_S = 0.003
#: What the clients in JavaScript run, in Node and in a page.
WATCH_ALL = (ROOT / "bench/watch_all.js").read_text()
#: A job must keep the events that a reader who is cut again and again has not seen yet.
KEPT = {"STREAMING_RETENTION_EVENTS": 1_000_000}


def run_sync(transport: str, url: str, jobs: list[str]) -> Events:
    with Client(url, away_s=None) as client:
        if transport == "feed":
            return list(client.watch_many(jobs, transports=["sse"]))  # type: ignore[arg-type]
        return list(client.watch(jobs[0], transports=[transport]))  # type: ignore[list-item,arg-type]


def run_async(transport: str, url: str, jobs: list[str]) -> Events:
    async def read() -> Events:
        async with AsyncClient(url, away_s=None) as client:
            if transport == "feed":
                watch = client.watch_many(jobs, transports=["sse"])
            else:
                watch = client.watch(jobs[0], transports=[transport])  # type: ignore[list-item]
            return [event async for event in watch]  # type: ignore[misc]

    return asyncio.run(read())


def run_node(transport: str, url: str, jobs: list[str]) -> Events:
    node = shutil.which("node", path=str(Path(sys.executable).parent)) or "node"
    script, module = ROOT / "bench/clients.js", ROOT / "static/client/streaming.js"
    command = [node, "--experimental-eventsource", "--no-warnings", str(script), str(module)]
    ended = subprocess.run(
        [*command, url, ",".join(jobs), transport], capture_output=True, text=True, check=False
    )
    if ended.returncode:
        raise RuntimeError(f"node ended with {ended.returncode}: {ended.stderr[-2000:]}")
    *events, last = map(json.loads, ended.stdout.strip().split("\n"))
    if "stats" not in last:
        raise RuntimeError("node has not said all that it was given")
    return events


def run_chromium(transport: str, url: str, jobs: list[str]) -> Events:
    with sync_playwright() as playwright:
        browser = launch(playwright)
        page = browser.new_page()
        page.goto(f"{url}/v1/healthz")
        page.set_default_timeout(0)
        events: Events = page.evaluate(
            """async ([script, module, jobs, transport]) => {
                const { watchAll } = await import(script);
                const { Streaming } = await import(module);
                const events = [];
                await watchAll(new Streaming(), jobs, transport, (event) => events.push(event));
                return events;
            }""",
            [f"data:text/javascript,{quote(WATCH_ALL)}", f"{url}/v1/streaming.js", jobs, transport],
        )
        browser.close()
    return events


CLIENTS: Mapping[str, tuple[Callable[[str, str, list[str]], Events], tuple[str, ...]]] = {
    "python": (run_sync, ("sse", "poll", "feed")),
    "python-async": (run_async, ("sse", "poll", "feed")),
    "node": (run_node, ("sse", "websocket", "poll", "ndjson", "feed")),
    "chromium": (run_chromium, ("sse", "websocket", "poll", "ndjson", "feed")),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one client on one transport was given, against the logs."""

    client: str
    transport: str
    cuts: int
    seconds: float
    events: int
    lost: int
    repeated: int
    #: Events that differ from the log's, and jobs whose text does.
    wrong: int

    @property
    def whole(self) -> bool:
        return not (self.lost or self.repeated or self.wrong)


def trial(server: Server, client: str, transport: str, cuts: int, seed: int) -> Verdict:
    """One client on one transport, until it was cut so many times; then in peace to the end."""
    run, _ = CLIENTS[client]
    count = MANY if transport == "feed" else 1
    jobs = [server.api.submit("counting", {"pause_s": PAUSE_S * count}) for _ in range(count)]
    began = time.monotonic()
    with HostileProxy(server.port, seed=seed) as proxy, ThreadPoolExecutor(1) as pool:
        reading = pool.submit(run, transport, proxy.url, jobs)
        while proxy.cuts < cuts and not reading.done():
            time.sleep(0.02)
        proxy.calm()
        for job in jobs:
            server.api.cancel(job)
        found = reading.result(timeout=120)
        seconds, done = time.monotonic() - began, proxy.cuts
    return judge(client, transport, server.api, jobs, found, done, seconds)


def judge(
    client: str, transport: str, api: Api, jobs: list[str], found: Events, cuts: int, seconds: float
) -> Verdict:
    lost = repeated = wrong = 0
    for job in jobs:
        mine = [event for event in found if event.get("job") == job and "seq" in event]
        log = whole_log(api, job)
        seen = [
            seq
            for event in mine
            for seq in range(event.get("from", event["seq"]), event["seq"] + 1)
        ]
        lost += len(set(log) - set(seen))
        repeated += len(seen) - len(set(seen))
        wrong += sum("from" not in event and event != log[event["seq"]] for event in mine)
        folded = Fold()
        for event in mine:
            folded.apply(event)  # type: ignore[arg-type]
        told = "" if folded.job is None else folded.job["text"]
        wrong += told.encode() != api.snapshot(job)["text"].encode()
        wrong += seen != sorted(seen)
    return Verdict(client, transport, cuts, seconds, len(found), lost, repeated, wrong)


def whole_log(api: Api, job: str) -> dict[int, dict[str, Any]]:
    """A job's events by number, each of them: a server under pressure merges what it gives."""
    log: dict[int, dict[str, Any]] = {}
    count = api.snapshot(job)["seq"]

    def is_whole() -> bool:
        with contextlib.suppress(requests.ConnectionError):  # it is asked again
            log.update((each["seq"], each) for each in api.log_of(job) if "from" not in each)
        return len(log) == count

    eventually(is_whole, f"the log of {job} comes whole", timeout_s=120)
    return log


def trials(clients: Iterable[str], transports: Iterable[str] | None) -> Iterator[tuple[str, str]]:
    for client in clients:
        for transport in CLIENTS[client][1]:
            if not transports or transport in transports:
                yield client, transport


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench clients", description=__doc__)
    parser.add_argument("--cuts", type=int, default=1000, help="of each client on each transport")
    parser.add_argument(
        "--client", choices=CLIENTS, action="append", help="all, where none is named"
    )
    parser.add_argument(
        "--transport",
        choices=sorted({each for _, transports in CLIENTS.values() for each in transports}),
        action="append",
        help="all, where none is named",
    )
    parser.add_argument("--at-once", type=int, default=4, help="trials that run side by side")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    print(f"{'client':13} {'transport':10} {'cuts':>5} {'s':>5} {'events':>7} lost repeated wrong")
    lock, whole = threading.Lock(), []
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder), "gevent", **KEPT) as server:
        server.start()

        def run(each: tuple[str, str]) -> None:
            v = trial(server, *each, options.cuts, options.seed)
            with lock:
                whole.append(v.whole)
                print(
                    f"{v.client:13} {v.transport:10} {v.cuts:5} {v.seconds:5.0f} {v.events:7} "
                    f"{v.lost:4} {v.repeated:8} {v.wrong:5}",
                    flush=True,
                )

        with ThreadPoolExecutor(options.at_once) as pool:
            list(pool.map(run, trials(options.client or CLIENTS, options.transport)))
    print("nothing was lost, repeated or torn" if all(whole) else "NOT WHOLE")
    return 0 if all(whole) else 1


if __name__ == "__main__":
    sys.exit(main())
