"""From level 0 to 3 and back: what readers get at each level, and that no text differs.

A queue that fills up is the load; readers watch a job that goes on. Exit status 0 only when every
reader ended with the same text and with every event covered once.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.account import Account
from bench.transports import READERS, cpu_s
from tests.e2e.server import Server
from tests.e2e.waiting import eventually

#: Jobs that may wait; how many do, and the level that they lead to, up and down again: a level is
#: left well below the bound at which it is reached.
QUEUE, WAY = 40, ((0, 0), (24, 1), (35, 2), (40, 3), (28, 2), (20, 1), (0, 0))
#: Seconds at each level, after it has been reached.
STAY_S = 6.0
#: Seconds in which the level must follow.
SOON_S = 15.0


@dataclass
class Stretch:
    """What came to all readers while the server was at one level."""

    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    cpu_s: float = 0.0
    frames: int = 0
    bytes: int = 0
    delays_s: list[float] = field(default_factory=list)


class Watcher:
    """A reader that counts into the present stretch."""

    def __init__(self, server: Server, job: str, transport: str) -> None:
        self.account = Account(job)
        self.stretch: Stretch | None = None
        self._events = READERS[transport](server.url, job, 0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for envelope in self._events:
            self.account.take(envelope)
            stretch, now = self.stretch, time.time()
            if stretch is None or "seq" not in envelope:
                continue
            stretch.frames += 1
            stretch.bytes += len(json.dumps(envelope, ensure_ascii=False).encode())
            if envelope["type"] == "text.delta":
                lines = envelope["data"]["text"].split()
                stretch.delays_s += [now - float(line) for line in lines]

    def wait(self) -> None:
        self._thread.join(60)


def level_of(server: Server) -> int:
    return int(server.api.get("/readyz").json()["pressure"]["level"])


def fill(server: Server, waiting: list[str], wanted: int) -> None:
    """Have so many jobs wait in the queue."""
    while len(waiting) > wanted:
        server.api.cancel(waiting.pop())
    while len(waiting) < wanted:
        waiting.append(server.api.submit("quiet"))


def levels(server: Server, watchers: list[Watcher]) -> Iterator[tuple[int, Stretch]]:
    """One level after the other, up and down, with what the readers got meanwhile."""
    waiting: list[str] = []
    running = server.api.submit("quiet")  # takes the thread
    for wanted, level in WAY:
        fill(server, waiting, wanted)
        eventually(lambda level=level: level_of(server) == level, f"level {level}", SOON_S)
        stretches = [Stretch() for _ in watchers]
        before, began = cpu_s(server), time.monotonic()
        for watcher, stretch in zip(watchers, stretches, strict=True):
            watcher.stretch = stretch
        time.sleep(STAY_S)
        for watcher in watchers:
            watcher.stretch = None
        yield level, joined(stretches, time.monotonic() - began, cpu_s(server) - before)
    server.api.cancel(running)


def joined(stretches: list[Stretch], seconds: float, cpu: float) -> Stretch:
    whole = Stretch(seconds=seconds, cpu_s=cpu)
    for each in stretches:
        whole.frames += each.frames
        whole.bytes += each.bytes
        whole.delays_s += each.delays_s
    return whole


def table_of(found: list[tuple[int, Stretch]], readers: int) -> Table:
    table = Table(
        "level", "frames/s", "bytes/s", "delay p50 ms", "delay p99 ms", "server CPU %",
        title=f"per reader, of {readers}",
    )  # fmt: skip
    for level, stretch in found:
        delays = sorted(stretch.delays_s) or [0.0]
        table.add_row(
            str(level),
            f"{stretch.frames / readers / stretch.seconds:.1f}",
            f"{stretch.bytes / readers / stretch.seconds:,.0f}",
            f"{1000 * statistics.median(delays):.1f}",
            f"{1000 * delays[int(len(delays) * 0.99)]:.1f}",
            f"{100 * stretch.cpu_s / stretch.seconds:.0f}",
        )
    return table


def faults(server: Server, job: str, watchers: list[Watcher]) -> dict[str, int]:
    """What differed, over all readers: nothing, if all is well."""
    shown: Any = server.api.snapshot(job)
    found: dict[str, int] = defaultdict(int)
    for watcher in watchers:
        for name, count in watcher.account.judge(shown["seq"]).items():
            found[name] += count
        found["texts differing"] += watcher.account.text != shown["text"]
    return {name: count for name, count in found.items() if count}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker-class", choices=["gevent", "gthread"], default="gevent")
    parser.add_argument("--readers", type=int, default=40)
    options = parser.parse_args()
    settings = {"STREAMING_JOBS": 2, "STREAMING_QUEUE": QUEUE, "STREAMING_TASKS": "bench.tasks"}
    with (
        tempfile.TemporaryDirectory(prefix="pressure-") as folder,
        Server(Path(folder), options.worker_class, **settings) as server,
    ):
        server.start()
        job = server.api.submit("stamping", {"count": 100_000, "per_s": 100})
        ways = ("sse", "websocket")
        watchers = [Watcher(server, job, ways[n % 2]) for n in range(options.readers)]
        found = list(levels(server, watchers))
        server.api.cancel(job)
        for watcher in watchers:
            watcher.wait()
        wrong = faults(server, job, watchers)
    Console(width=120).print(table_of(found, options.readers))
    print("faults:", wrong or "none")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
