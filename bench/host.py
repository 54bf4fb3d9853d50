"""Task hosts: what running tasks in a process of their own costs, and what killing it breaks.

The figures compare tasks as threads of the serving process with tasks in a host, on this machine,
one after the other. The kills take a random host with -9 among many jobs. The crowd are readers of
one job, without and with another job that computes in pure Python.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from bench.crowd import Crowd, percentile
from tests.e2e.clients import Api, read_sse
from tests.e2e.server import Server

#: Jobs at once, and events a second of each.
LOADS = ((1, 50.0), (64, 50.0), (500, 10.0))
#: Seconds between two kills.
KILL_S = 2.0
#: Seconds within which all jobs must have ended after the last kill.
PATIENCE_S = 300.0
#: Characters of a time as `pacing` says it.
STAMP = 17


@dataclass(frozen=True)
class Cost:
    """What a load has taken."""

    #: Processor time of the server, its host included, per event.
    cpu_us: float
    #: From a task's call to its reader.
    delay_ms: float
    #: Of worker and host without jobs.
    idle_mib: float


@contextmanager
def serving(hosts: int, jobs: int) -> Iterator[Server]:
    """A server with so many task hosts."""
    with tempfile.TemporaryDirectory(prefix="hosts-") as folder:
        settings = {
            "STREAMING_TASKS": "bench.tasks,bench.host_tasks",
            "STREAMING_TASK_PROCESSES": hosts,
            "STREAMING_JOBS": max(64, jobs),
        }
        with Server(Path(folder), "gevent", **settings) as server:
            yield server.start()
            server.stop()


def family(server: Server) -> list[psutil.Process]:
    """The worker and its hosts."""
    return [each for worker in server.workers() for each in (worker, *worker.children())]


def hosts_of(server: Server) -> list[psutil.Process]:
    return [each for worker in server.workers() for each in worker.children()]


def cpu_s(processes: list[psutil.Process]) -> float:
    return sum(sum(each.cpu_times()[:2]) for each in processes)


def measure(hosts: int, jobs: int, rate: float, seconds: float) -> Cost:
    """The cost of so many jobs with so many events a second each."""
    with serving(hosts, jobs) as server:
        api, processes = server.api, family(server)
        idle = sum(each.memory_full_info().uss for each in processes) / (1 << 20)
        asked = {"seconds": seconds, "rate": rate}
        began = cpu_s(processes)
        ids = [api.submit("pacing", asked) for _ in range(jobs)]
        delays = sorted(_delays(api, ids[-1]))
        for job in ids:
            api.finish(job, timeout_s=60 + 5 * seconds)
        used = cpu_s(processes) - began
    return Cost(used / (jobs * rate * seconds) * 1e6, median(delays) * 1e3, idle)


def _delays(api: Api, job: str) -> Iterator[float]:
    for envelope in read_sse(api, job):
        if envelope["type"] == "text.delta":
            yield time.time() - float(envelope["data"]["text"][-STAMP:])  # deltas may be merged


#: Events a second of the job that the crowd reads, and seconds before they are measured.
CROWD_RATE, SETTLE_S = 20.0, 3.0
#: Events a second of each job beside it.
OTHERS_RATE = 5.0
#: How often the crowd is measured each way, in turns: what else the machine does falls on both.
TURNS = 3


def listen(
    hosts: int, readers: int, others: int, seconds: float
) -> tuple[list[float], list[float]]:
    """Seconds from append to reader: without, and then with a task that computes.

    So many other jobs write all the while, and nobody reads them.
    """
    alone: list[float] = []
    beside: list[float] = []
    with serving(hosts, others + 2) as server:
        api, crowd = server.api, Crowd(("127.0.0.1", server.port))
        long = 600 + 20 * seconds
        job = api.submit("pacing", {"seconds": long, "rate": CROWD_RATE})
        ids = [api.submit("pacing", {"seconds": long, "rate": OTHERS_RATE}) for _ in range(others)]
        for each in [job, *ids]:
            api.reach(each, "running", timeout_s=60)
        after = api.snapshot(job)["seq"]
        for _ in range(readers):
            crowd.join(job, after)
        for _ in range(TURNS):
            alone += _delays_of(crowd, seconds / TURNS)
            computing = api.submit("computing")
            beside += _delays_of(crowd, seconds / TURNS)
            api.cancel(computing)
        crowd.leave()
        for each in [job, *ids]:
            api.cancel(each)
    return alone, beside


def _delays_of(crowd: Crowd, seconds: float) -> list[float]:
    crowd.listen(SETTLE_S)
    crowd.delays = []
    crowd.listen(seconds)
    return crowd.delays


def kill(jobs: int, seconds: float, *, seed: int) -> Counter[str]:
    """Kill hosts among so many jobs; what was lost, doubled or done again."""
    chance = random.Random(seed)
    with serving(1, 64) as server:
        api = server.api
        script = {"bursts": 3, "words": 3, "pause_s": 0.2}
        ids = [api.submit("random-steps", script) for _ in range(jobs)]
        until, pause = time.monotonic() + seconds, threading.Event()
        found: Counter[str] = Counter(dict.fromkeys(FAULTS, 0))
        while time.monotonic() < until:
            pause.wait(KILL_S)
            hosts = hosts_of(server)
            if hosts:
                chance.choice(hosts).kill()
                found["hosts killed"] += 1
        for job in ids:
            shown = api.finish(job, timeout_s=PATIENCE_S)
            found.update(judge(shown, api.log_of(job)))
    return found


#: What must be 0.
FAULTS = ("jobs lost", "events lost", "events repeated", "texts differing", "steps run again")


def judge(shown: Any, events: list[dict[str, Any]]) -> Counter[str]:
    """What is wrong with a job that should have completed."""
    found: Counter[str] = Counter()
    found["jobs lost"] = int(shown["status"] != "completed")
    seqs = [event["seq"] for event in events]
    found["events repeated"] = len(seqs) - len(set(seqs))
    found["events lost"] = len(set(range(1, shown["seq"] + 1)) - set(seqs))
    done: set[str] = set()
    for event in events:
        step = event["data"].get("id") if event["type"] == "step.updated" else None
        status = event["data"].get("status")
        if step in done and status == "running":
            found["steps run again"] += 1
        if step is not None and status == "completed":
            done.add(step)
    found["texts differing"] = int(_text(events) != shown["text"])
    return found


def _text(events: list[dict[str, Any]]) -> str:
    texts: dict[str, str] = {}
    for event in events:
        data = event["data"]
        if event["type"] == "text.delta":
            texts[data["item"]] = texts.get(data["item"], "") + data["text"]
        elif event["type"] == "text.reset":
            texts[data["item"]] = ""
    return "".join(texts.values())


def show_costs(seconds: float) -> None:
    """Threads against hosts, load by load."""
    table = Table("jobs", "events/s each", "where", "CPU/event", "ratio", "delay p50", "idle")
    for jobs, rate in LOADS:
        threads, host = (measure(count, jobs, rate, seconds) for count in (0, 1))
        for where, cost in (("threads", threads), ("host", host)):
            table.add_row(
                str(jobs),
                f"{rate:g}",
                where,
                f"{cost.cpu_us:.0f} µs",
                f"{cost.cpu_us / threads.cpu_us:.2f}",
                f"{cost.delay_ms:.1f} ms",
                f"{cost.idle_mib:.0f} MiB",
            )
    Console().print(table)


def show_crowd(readers: int, others: int, seconds: float) -> None:
    """What a task that computes does to the readers of others."""
    table = Table("where", "readers", "jobs beside", "beside", "p50", "p99")
    for where, hosts in (("threads", 0), ("host", 1), ("two hosts", 2)):
        for beside, delays in zip(
            ("nothing", "computing"), listen(hosts, readers, others, seconds), strict=True
        ):
            shown = [f"{percentile(delays, share) * 1e3:.1f} ms" for share in (0.5, 0.99)]
            table.add_row(where, str(readers), str(others), beside, *shown)
    Console().print(table)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/bench host",
        description="What task hosts cost against threads of the serving process, and what is lost "
        "when they are killed. Exit status 0 when nothing is.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=10, help="of each load")
    parser.add_argument("--readers", type=int, default=300, help="beside a task that computes")
    parser.add_argument("--others", type=int, default=0, help="jobs that write beside, too")
    parser.add_argument("--crowd-seconds", type=float, default=30, help="for which they are timed")
    parser.add_argument("--kill-seconds", type=float, default=60, help="for which hosts are killed")
    parser.add_argument("--jobs", type=int, default=200, help="jobs among which hosts are killed")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    if asked.seconds:
        show_costs(asked.seconds)
    if asked.crowd_seconds:
        show_crowd(asked.readers, asked.others, asked.crowd_seconds)
    if not asked.kill_seconds:
        return 0
    found = kill(asked.jobs, asked.kill_seconds, seed=asked.seed)
    table = Table("what", "count")
    for name, count in found.items():
        table.add_row(name, str(count))
    Console().print(table)
    return int(any(found[fault] for fault in FAULTS))


if __name__ == "__main__":
    sys.exit(main())
