"""Cancels at random moments: how long from the request until a reader has the terminal event."""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench.account import TERMINAL, Envelope
from bench.readers import TRANSPORTS, Reader
from tests.e2e.server import Server

#: What is cancelled: a greenlet that waits for a model, threads that emit, that check.
WORK: tuple[tuple[str, dict[str, Any]], ...] = (
    ("generate", {"prompt": "Why is the sky blue?", "max_tokens": 50_000, "tokens_per_s": 50}),
    ("generate", {"prompt": "Why is the sky blue?", "max_tokens": 50_000, "tokens_per_s": 0.1}),
    ("ticking", {}),
    ("checking", {}),
)
#: Seconds after its submission within which a job is cancelled.
WITHIN_S = 0.5
#: Cancels under way at the same time.
AT_ONCE = 6


@dataclass(frozen=True)
class Latency:
    """One cancel: of which task, and seconds from the request to the reader's terminal event."""

    task: str
    seconds: float


def measure(
    server: Server,
    count: int,
    seed: int,
    *,
    each: Callable[[], None] = lambda: None,
) -> list[Latency]:
    """Cancel `count` jobs at random moments."""

    def cancel(number: int) -> Latency:
        latency = _cancel_one(server, number, random.Random(f"{seed}-{number}"))
        each()
        return latency

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(cancel, range(count)))


def _cancel_one(server: Server, number: int, chance: random.Random) -> Latency:
    task, input = WORK[number % len(WORK)]
    transport = list(TRANSPORTS)[number % len(TRANSPORTS)]
    ends: list[float] = []

    def note(envelope: Envelope) -> None:
        if envelope["type"] in TERMINAL:
            ends.append(time.monotonic())

    job = server.api.submit(task, input)
    reader = Reader(("127.0.0.1", server.port), job, transport, on_event=note).start()
    time.sleep(chance.uniform(0, WITHIN_S))
    asked = time.monotonic()
    server.api.cancel(job)
    reader.wait(30)
    if not ends or reader.account.types[-1] != "job.cancelled":
        raise AssertionError(f"{job} ({task}) ended as {reader.account.types[-1]}")
    return Latency(task, ends[0] - asked)


def percentile(latencies: list[Latency], percent: int) -> float:
    """Seconds."""
    seconds = [latency.seconds for latency in latencies]
    return statistics.quantiles(seconds, n=100, method="inclusive")[percent - 1]


def table_of(latencies: list[Latency], title: str) -> Table:
    """p50, p99 and the longest, in all and for each task."""
    table = Table("task", "cancels", "p50 ms", "p99 ms", "max ms", title=title)
    for task in ["all", *sorted({latency.task for latency in latencies})]:
        found = [each for each in latencies if task in ("all", each.task)]
        longest = max(each.seconds for each in found)
        figures = (percentile(found, 50), percentile(found, 99), longest)
        table.add_row(task, str(len(found)), *(f"{1000 * each:.1f}" for each in figures))
    return table


def main() -> int:
    options = _parse(sys.argv[1:])
    with (
        Progress(console=Console(stderr=True)) as progress,
        tempfile.TemporaryDirectory(prefix="cancel-") as folder,
        Server(Path(folder), options.worker_class, STREAMING_TASKS="bench.tasks") as server,
    ):
        server.start()
        bar = progress.add_task("cancels", total=options.count)
        latencies = measure(server, options.count, options.seed, each=lambda: progress.advance(bar))
    title = f"Cancel to terminal event, {options.worker_class}, seed {options.seed}"
    Console().print(table_of(latencies, title))
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench cancel",
        description="Cancels jobs at random moments and prints how long it took until a reader had "
        "the terminal event.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--count", type=int, default=100, help="how many cancels")
    parser.add_argument("--worker-class", choices=["gevent", "gthread"], default="gevent")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
