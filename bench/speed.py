"""The speed: what delivering costs, against the usual way (a queue per reader) in the same run.

Each measurement starts a fresh server, pinned to one processor; the readers have the other one.
The figure to compare is deliveries per processor second of all the server's processes: other
load on the machine hardly touches it. `--write` puts the table into docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench.load import Load
from bench.subjects import Subject, ours, rival
from streaming.hooks import raise_descriptor_limit
from streaming.storage.sqlite import SqliteStorage
from tests.e2e.server import ROOT

#: Seconds that a measurement may take.
PATIENCE_S = 90.0
#: Seconds over which jobs are begun.
RAMP_S = 2.0
#: Bytes of an event on the wire, about.
SIZE = 200

#: What one measurement gives, by the name of the figure.
Figures = dict[str, float]


@dataclass(frozen=True)
class Workload:
    """One thing to measure, on every server alike."""

    name: str
    measure: Callable[[Subject], Figures]
    #: Settings of this service's that belong to it.
    settings: tuple[tuple[str, str], ...] = ()


def fan_out(transport: str, readers: int, m: int, rate: float) -> Callable[[Subject], Figures]:
    """One log, many readers."""

    def measure(subject: Subject) -> Figures:
        load = Load(subject.address)
        load.open([subject.fan(transport) for _ in range(readers)])
        load.until(lambda: load.received(subject.extra - 1), 5)
        load.events, load.delays, load.began, before = 0, [], 0.0, subject.cpu_s()
        subject.emit(m, rate, SIZE)
        whole = load.until(lambda: load.received(m + subject.extra), PATIENCE_S)
        cpu_s = subject.cpu_s() - before
        load.close()
        if not whole:
            raise RuntimeError("not every event came")
        return {
            "deliveries per CPU s": load.events / cpu_s,
            "deliveries per s": load.events / (load.ended - load.began),
            "p50 ms": load.percentile(0.5),
            "p99 ms": load.percentile(0.99),
        }

    return measure


def private(jobs: int, rate: float, seconds: float) -> Callable[[Subject], Figures]:
    """Many jobs, each with one reader, through the public API."""

    def measure(subject: Subject) -> Figures:
        tokens = round(rate * seconds)
        load, before = Load(subject.address), subject.cpu_s()
        load.open([subject.private(tokens, rate) for _ in range(jobs)], per_s=jobs / RAMP_S)
        load.delays = []  # opening is another figure
        each = tokens + subject.extra_private
        whole = load.until(lambda: load.received(each), PATIENCE_S)
        cpu_s, memory = subject.cpu_s() - before, subject.memory()
        load.close()
        if not whole:
            raise RuntimeError("not every event came")
        return {
            "deliveries per CPU s": load.events / cpu_s,
            "late s": load.ended - load.began - seconds - RAMP_S,
            "first event p50 ms": 1000 * statistics.median(load.first_s),
            "p50 ms": load.percentile(0.5),
            "p99 ms": load.percentile(0.99),
            "memory MB": memory / 1e6,
        }

    return measure


def idle(transport: str, readers: int) -> Callable[[Subject], Figures]:
    """Readers without events: what each costs."""

    def measure(subject: Subject) -> Figures:
        first = Load(subject.address)
        first.open([subject.fan(transport) for _ in range(20)])
        memory, cpu = subject.memory(), subject.cpu_s()
        load = Load(subject.address)
        load.open([subject.fan(transport) for _ in range(readers)])
        load.until(lambda: False, 2)
        figures = {
            "KiB per reader": (subject.memory() - memory) / readers / 1024,
            "CPU ms to open": (subject.cpu_s() - cpu) * 1000 / readers,
        }
        load.close()
        first.close()
        return figures

    return measure


def stalled(readers: int, every: int, seconds: float) -> Callable[[Subject], Figures]:
    """Some readers read nothing: what the others notice, and what they cost."""

    def measure(subject: Subject) -> Figures:
        load, m = Load(subject.address), round(50 * seconds)
        load.open([subject.fan("sse") for _ in range(readers)])
        if every:
            load.stall(every)
        load.delays = []
        subject.emit(m, 50, 2000)
        load.until(lambda: load.received(m // 2), PATIENCE_S + seconds)
        half = subject.memory()  # by then the kernel's buffers are full
        whole = load.until(lambda: load.received(m + subject.extra), PATIENCE_S + seconds)
        grown = (subject.memory() - half) / 1e6
        load.close()
        if not whole:
            raise RuntimeError("not every event came")
        return {"p99 ms": load.percentile(0.99), "MB grown in the second half": grown}

    return measure


def appends(_subject: Subject | None = None) -> Figures:
    """The SQLite log alone: jobs that post as fast as they can."""
    from tests.jobs import delta, new_job, started

    with tempfile.TemporaryDirectory(prefix="speed-") as folder:
        storage = SqliteStorage(Path(folder) / "log.db", blobs=Path(folder) / "blobs")
        storage.open(timeout=1)
        jobs = [new_job(storage) for _ in range(50)]
        for job in jobs:
            storage.log.append(job, [started()], attempt=1)
        draft, rounds = delta("x" * 60), 1000
        began, cpu = time.monotonic(), time.process_time()
        last = [storage.log.post(job, [draft], attempt=1) for job in jobs]
        for number in range(rounds - 1):
            if not number % 64:
                last[-1].result()  # no task is further ahead
            last = [
                storage.log.post(job, [draft], attempt=1, after=before)
                for job, before in zip(jobs, last, strict=True)
            ]
        for post in last:
            post.result()
        seconds, cpu_s = time.monotonic() - began, time.process_time() - cpu
        storage.close()
    events = rounds * len(jobs)
    return {"events per s": events / seconds, "events per CPU s": events / cpu_s}


def workloads(stall_s: float) -> tuple[Workload, ...]:
    """All of them; those with stalled readers last `stall_s` seconds."""
    # The readers do not come back when their streams are closed for rotation.
    stays = (("STREAMING_ROTATE_S", str(2 * stall_s + 600)),)
    return (
        Workload("one log, 1,000 SSE readers, flat out", fan_out("sse", 1000, 300, 0)),
        Workload(
            "the same, one event per write",
            fan_out("sse", 1000, 300, 0),
            (("STREAMING_EVENTS_PER_WRITE", "1"),),
        ),
        Workload("one log, one SSE reader, 10 events/s", fan_out("sse", 1, 60, 10)),
        Workload("one log, 1,000 SSE readers, 10 events/s", fan_out("sse", 1000, 60, 10)),
        Workload("one log, 1,000 SSE readers, 50 events/s", fan_out("sse", 1000, 200, 50)),
        Workload("one log, 1,000 SSE readers, 100 events/s", fan_out("sse", 1000, 300, 100)),
        Workload("one log, 1,000 WebSocket readers, flat out", fan_out("websocket", 1000, 300, 0)),
        Workload("long poll, 500 readers, 2 events/s", fan_out("poll", 500, 10, 2)),
        Workload("500 jobs at 20 tokens/s, a reader each", private(500, 20, 6)),
        Workload("1,000 jobs at 20 tokens/s, a reader each", private(1000, 20, 6)),
        Workload("3,000 jobs at 2 tokens/s, a reader each", private(3000, 2, 12)),
        Workload("2,000 idle SSE readers", idle("sse", 2000)),
        Workload("2,000 idle WebSocket readers", idle("websocket", 2000)),
        Workload("10,000 idle SSE readers", idle("sse", 10_000)),
        Workload("1,000 SSE readers, 50 events/s of 2 KB", stalled(1000, 0, stall_s), stays),
        Workload("the same, 200 of them read nothing", stalled(1000, 5, stall_s), stays),
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench speed", description=__doc__)
    parser.add_argument("--only", help="a regular expression for the workloads' names")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each; medians are shown")
    parser.add_argument(
        "--stall-s", type=float, default=12.0, help="seconds of those with stalled readers"
    )
    parser.add_argument("--alone", action="store_true", help="without the usual way beside it")
    parser.add_argument("--write", action="store_true", help="put it into docs/performance.md")
    parser.add_argument("--json", type=Path, help="where every run goes, by workload and figure")
    asked = parser.parse_args()
    raise_descriptor_limit()
    console = Console()
    chosen = [
        w for w in workloads(asked.stall_s) if not asked.only or re.search(asked.only, w.name)
    ]
    rows: list[Row] = []
    runs: dict[str, dict[str, list[Figures]]] = {}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        under_way = progress.add_task("", total=len(chosen) * asked.repeat)
        for workload in chosen:
            progress.update(under_way, description=workload.name)
            ours_, theirs = [], []
            for _ in range(asked.repeat):
                with tempfile.TemporaryDirectory(prefix="speed-") as folder:
                    with ours(Path(folder) / "ours", **dict(workload.settings)) as subject:
                        ours_.append(workload.measure(subject))
                    if not asked.alone:
                        with rival(Path(folder)) as subject:
                            theirs.append(_attempted(workload, subject))
                progress.advance(under_way)
            rows += rows_of(workload.name, ours_, theirs)
            runs[workload.name] = {"this service": ours_, "a queue per reader": theirs}
        if not asked.only or re.search(asked.only, "append"):
            appended = [appends() for _ in range(asked.repeat)]
            rows += rows_of("append to the SQLite log", appended, [])
            runs["append to the SQLite log"] = {"this service": appended}
    console.print(machine())
    console.print(drawn(rows))
    if asked.write:
        write(rows)
    if asked.json:
        asked.json.write_text(json.dumps({"machine": machine(), "workloads": runs}, indent=1))


#: Workload, figure, this service, the usual way, ratio: as text.
Row = tuple[str, str, str, str, str]


def _attempted(workload: Workload, subject: Subject) -> Figures:
    """The usual way may fail where this service must not."""
    try:
        return workload.measure(subject)
    except (OSError, RuntimeError):
        return {}


def rows_of(name: str, ours_: list[Figures], theirs: list[Figures]) -> list[Row]:
    rows: list[Row] = []
    for figure in ours_[0]:
        mine = statistics.median([run[figure] for run in ours_])
        others = [run[figure] for run in theirs if figure in run]
        other = statistics.median(others) if others else None
        ratio = f"{mine / other:.2f}" if other else ""
        shown = "" if other is None else number(other)
        if theirs and not others:
            shown = "failed"
        rows.append((name if not rows else "", figure, number(mine), shown, ratio))
    return rows


def number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def drawn(rows: list[Row]) -> Table:
    table = Table("workload", "figure", "this service", "a queue per reader", "ratio")
    for row in rows:
        table.add_row(*row, end_section=False)
    return table


def machine() -> str:
    """What it ran on."""
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{_processor()}, {os.cpu_count()} processors, {memory:.0f} GiB, "
        f"{platform.system()}, Python {platform.python_version()}"
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", info.read_text()) if info.exists() else None
    return found.group(1) if found else platform.processor()


def write(rows: list[Row]) -> None:
    """The table and a plot, between the marks in docs/performance.md."""
    page = ROOT / "docs" / "performance.md"
    lines = [
        f"On {machine()}.",
        "",
        "| workload | figure | this service | a queue per reader | ratio |",
    ]
    lines += [
        "|---|---|---|---|---|",
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
        *plot(rows),
    ]
    text = page.read_text()
    marks = re.compile(r"(<!-- measured -->\n).*(<!-- /measured -->)", re.DOTALL)
    page.write_text(marks.sub(lambda m: m[1] + "\n".join(lines) + "\n" + m[2], text))


def plot(rows: list[Row]) -> list[str]:
    """Deliveries per CPU second, as a chart in Mermaid."""
    names, mine, others, name = [], [], [], ""
    for workload, figure, here, there, _ in rows:
        name = workload or name
        if figure == "deliveries per CPU s" and there not in ("", "failed"):
            names.append(f'"{name.removeprefix("one log, ")}"')
            mine.append(here.replace(",", ""))
            others.append(there.replace(",", ""))
    return [
        "```mermaid",
        "xychart-beta horizontal",
        '    title "Deliveries per CPU second: this service (bars), a queue per reader (line)"',
        f"    x-axis [{', '.join(names)}]",
        f"    bar [{', '.join(mine)}]",
        f"    line [{', '.join(others)}]",
        "```",
    ]


if __name__ == "__main__":
    sys.exit(main())
