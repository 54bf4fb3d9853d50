"""The ways to watch a job side by side: delay, bytes, requests, CPU, and what proxies do to them.

`--write` puts the figures where `GET /v1/transports` finds them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import requests
import websocket
from rich.console import Console
from rich.table import Table

from bench.proxy import Proxy
from tests.e2e.server import Server

FIGURES = Path(__file__).parents[1] / "streaming" / "api" / "transports.json"
PAGE = Path(__file__).parents[1] / "docs" / "transports.md"
#: Seconds between two looks of a client that polls.
SHORT_POLL_S = 1.0
#: Seconds after which a client gives up a connection that says nothing.
SILENCE_S = 40.0
#: What cuts a connection looks like, from whichever library.
BROKEN = (requests.RequestException, websocket.WebSocketException, OSError, ValueError)
ENDS = ("job.completed", "job.failed", "job.cancelled")

Envelope = dict[str, Any]
#: Gives events of a job behind a position until its end, or until the connection breaks.
Read = Callable[[str, str, int], Iterator[Envelope]]


def read_sse(url: str, job: str, after: int) -> Iterator[Envelope]:
    asked = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
    path = f"{url}/v1/jobs/{job}/events"
    with requests.get(path, headers=asked, stream=True, timeout=SILENCE_S) as response:
        response.raise_for_status()
        for line in response.iter_lines(chunk_size=1):
            if line.startswith(b"data: "):
                yield json.loads(line[6:])


def read_websocket(url: str, job: str, after: int) -> Iterator[Envelope]:
    address = f"{url.replace('http', 'ws', 1)}/v1/jobs/{job}/ws?after={after}"
    connection = websocket.create_connection(address, timeout=SILENCE_S)
    with contextlib.closing(connection):
        while message := connection.recv():
            yield json.loads(message)


def read_poll(url: str, job: str, after: int, *, wait: int = 25) -> Iterator[Envelope]:
    with requests.Session() as session:
        while True:
            asked = {"after": after, "wait": wait, "limit": 5000}
            path = f"{url}/v1/jobs/{job}/poll"
            response = session.get(path, params=asked, timeout=SILENCE_S)
            response.raise_for_status()
            page = response.json()
            yield from page["events"]
            after = page["next"]
            if page["closed"]:
                return
            if wait == 0:
                time.sleep(SHORT_POLL_S)


def read_short_poll(url: str, job: str, after: int) -> Iterator[Envelope]:
    yield from read_poll(url, job, after, wait=0)


READERS: dict[str, Read] = {
    "sse": read_sse,
    "websocket": read_websocket,
    "long_poll": read_poll,
    "short_poll": read_short_poll,
}


@dataclass
class Watch:
    """What one client has seen of a job."""

    first_s: float | None = None
    delays_s: list[float] = field(default_factory=list)
    seqs: list[int] = field(default_factory=list)
    breaks: int = 0
    ended: bool = False


def watch(read: Read, url: str, job: str, began: float, seen: Watch) -> None:
    """Read to the end, coming back with the last position after every break."""
    until = time.monotonic() + 120
    while not seen.ended and time.monotonic() < until:
        try:
            for event in read(url, job, seen.seqs[-1] if seen.seqs else 0):
                take(event, began, seen)
            seen.ended = seen.ended or bool(seen.seqs and not seen.breaks)
        except BROKEN:
            seen.breaks += 1
            time.sleep(0.2)


def take(event: Envelope, began: float, seen: Watch) -> None:
    now = time.time()
    if "seq" not in event:
        return
    seen.first_s = now - began if seen.first_s is None else seen.first_s
    seen.seqs.append(event["seq"])
    if event["type"] == "text.delta":
        seen.delays_s += [now - float(line) for line in event["data"]["text"].split()]
    seen.ended = event["type"] in ENDS


def block(url: str, input: dict[str, Any], key: str, seen: Watch) -> None:
    """The traditional way: a request that is answered when the job has ended.

    The same key has all of them wait for the same job.
    """
    began = time.time()
    try:
        body = {"task": "stamping", "input": input}
        asked = {"Prefer": "wait=300", "Idempotency-Key": key}
        response = requests.post(f"{url}/v1/jobs", json=body, headers=asked, timeout=320)
        response.raise_for_status()
    except BROKEN as error:
        print(f"the blocking request was cut off: {error}", file=sys.stderr)
        return
    now, shown = time.time(), response.json()
    seen.first_s, seen.ended = now - began, shown["status"] == "completed"
    seen.delays_s = [now - float(line) for line in shown["text"].split()]


def run(server: Server, way: str, proxy: Proxy, readers: int, **input: Any) -> list[Watch]:
    """One job and its readers, all through the proxy; over when all have ended."""
    seen = [Watch() for _ in range(readers)]
    if way == "blocking":
        key = f"{time.time()}"
        threads = [
            threading.Thread(target=block, args=(proxy.url, input, key, each)) for each in seen
        ]
    else:
        began = time.time()
        job = server.api.submit("stamping", input)
        threads = [
            threading.Thread(target=watch, args=(READERS[way], proxy.url, job, began, each))
            for each in seen
        ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


def cpu_s(server: Server) -> float:
    """Seconds of computing of the server's processes."""
    processes = [psutil.Process(server.process.pid), *server.workers()]
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def measure(server: Server, way: str, readers: int) -> dict[str, Any]:
    """Delay, cost, and behaviour behind proxies of one way."""
    found: dict[str, Any] = {}
    with Proxy(server.port) as proxy:
        before, asked = cpu_s(server), {"count": 500, "per_s": 100.0}
        seen = run(server, way, proxy, readers, **asked)
        delays = sorted(delay for each in seen for delay in each.delays_s)
        thousands = len(delays) / 1000
        found |= {
            "first_feedback_s": round(statistics.median(each.first_s or 0 for each in seen), 3),
            "delay_p50_ms": round(1000 * delays[len(delays) // 2], 1),
            "delay_p99_ms": round(1000 * delays[int(len(delays) * 0.99)], 1),
            "bytes_per_1000_events": round(proxy.bytes / thousands),
            "requests_per_1000_events": round(proxy.requests / thousands, 1),
            "cpu_ms_per_1000_events": round(1000 * (cpu_s(server) - before) / thousands, 1),
        }
    with Proxy(server.port, buffering=True) as proxy:
        (seen_one,) = run(server, way, proxy, 1, count=100, per_s=50.0)
        found["behind_a_buffering_proxy"] = {
            "first_feedback_s": round(seen_one.first_s or 0, 3),
            "delay_p50_ms": round(1000 * statistics.median(seen_one.delays_s), 1),
        }
    with Proxy(server.port, timeout_s=5.0) as proxy:
        (seen_one,) = run(server, way, proxy, 1, count=10, per_s=10.0, quiet_s=8.0)
        found["behind_a_5_s_gateway"] = outcome(seen_one, proxy.given_up)
    with Proxy(server.port) as proxy:
        cutter = threading.Timer(1.0, proxy.cut)
        cutter.start()
        (seen_one,) = run(server, way, proxy, 1, count=100, per_s=50.0)
        cutter.cancel()
        found["after_a_disconnect"] = outcome(seen_one, 1)
    return found


def outcome(seen: Watch, cuts: int) -> dict[str, Any]:
    """Whether the client has got all, and what became of the events."""
    last = max(seen.seqs, default=0)
    return {
        "cuts": cuts,
        "got_the_result": seen.ended,
        "events_lost": last - len(set(seen.seqs)),
        "events_repeated": len(seen.seqs) - len(set(seen.seqs)),
    }


def shown(found: dict[str, dict[str, Any]]) -> Table:
    table = Table("", *found, title="the ways to watch, measured")
    flat = {way: dict(flattened(each)) for way, each in found.items()}
    for row in next(iter(flat.values())):
        table.add_row(row, *(str(each.get(row, "")) for each in flat.values()))
    return table


def markdown(facts: dict[str, Any]) -> str:
    """The figures as the page in docs has them."""
    flat = {way: dict(flattened(each)) for way, each in facts["measured"].items()}
    rows = [["", *(way.replace("_", " ") for way in flat)], ["---"] * (len(flat) + 1)]
    for row in next(iter(flat.values())):
        rows.append([row.replace("_", " "), *(cell(each[row]) for each in flat.values())])
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return (
        f"{table}\n\n{facts['at']}, {facts['worker_class']}, {facts['readers']} readers, "
        f"{facts['cores']} cores, Python {facts['python']}."
    )


def cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def write(facts: dict[str, Any]) -> None:
    """The figures for `GET /v1/transports`, and for the page in docs."""
    FIGURES.write_text(json.dumps(facts, indent=1) + "\n")
    head, mark, rest = PAGE.read_text().partition("<!-- figures -->\n")
    _, end, tail = rest.partition("<!-- end -->")
    PAGE.write_text(f"{head}{mark}{markdown(facts)}\n{end}{tail}")


def flattened(figures: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from ((f"{name}: {inner}", each) for inner, each in value.items())
        else:
            yield name, value


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker-class", choices=["gevent", "gthread"], default="gevent")
    parser.add_argument("--readers", type=int, default=20, help="of one job, for its cost")
    parser.add_argument("--write", action="store_true", help=f"write {FIGURES.name}")
    options = parser.parse_args()
    found = {}
    for way in [*READERS, "blocking"]:
        with (
            tempfile.TemporaryDirectory(prefix="transports-") as folder,
            Server(Path(folder), options.worker_class, STREAMING_TASKS="bench.tasks") as server,
        ):
            found[way] = measure(server.start(), way, options.readers)
    Console(width=150).print(shown(found))
    if options.write:
        facts = {
            "command": "scripts/bench transports",
            "at": datetime.now(UTC).date().isoformat(),
            "cores": psutil.cpu_count(),
            "python": platform.python_version(),
            "readers": options.readers,
            "worker_class": options.worker_class,
        }
        write({**facts, "measured": found})
    lost = [way for way in READERS if not found[way]["after_a_disconnect"]["got_the_result"]]
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
