"""The soak: many jobs, three readers each, cut at random, and one kill -9 of everything.

Runs the Procfile's command on a folder of its own and prints what was lost, repeated, out of
order, torn or different. Exit status 0 only when nothing was.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench.account import TERMINAL, digests_of
from bench.readers import TRANSPORTS, Reader
from tests.e2e.server import Server
from tests.e2e.waiting import eventually

#: Seconds over which the cuts are spread, as a share of a job's length.
CUTTING_SHARE = 0.9
#: Of the jobs, how many are submitted while everything is killed.
LATE_SHARE = 0.1
#: One job in so many runs in a thread of its own, the others as greenlets where there are any.
THREADED = 3
#: One cut reader in so many comes back on another transport.
CHANGING = 4

#: Figures that must be 0.
FAULTS = (
    "jobs lost",
    "jobs doubled",
    "jobs not completed",
    "readers unfinished",
    "events lost",
    "events repeated",
    "events out of order",
    "events torn",
    "events differing",
    "texts differing",
    "steps run again",
    "streams dropped",
    "slots kept",
    "errors logged",
)


@dataclass(frozen=True)
class Plan:
    """What to do to the server. Times in seconds."""

    jobs: int = 200
    cuts: int = 1000
    worker_class: str = "gevent"
    seed: int = 0
    bursts: int = 6
    pause_s: float = 0.8

    @property
    def job_s(self) -> float:
        """How long a job takes when nobody disturbs it."""
        return 3 * self.bursts * self.pause_s

    @property
    def patience_s(self) -> float:
        """How long all may take: jobs wait for threads, and begin steps again after the kill."""
        return 60 + 6 * self.job_s


class Soak:
    """One run against one server."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        # Threads for all readers: each open stream of a gthread worker holds one.
        self.server = Server(
            folder,
            plan.worker_class,
            STREAMING_TASKS="bench.tasks",
            GUNICORN_THREADS=3 * plan.jobs + 64,
        )
        self.readers: list[Reader] = []
        self.jobs: list[str] = []
        #: What is worth knowing about what went wrong.
        self.remarks: list[str] = []
        self._random = random.Random(plan.seed)
        self._lock = threading.Lock()
        self.kills = 0
        #: From the kill to the restart: connections break then.
        self._down = (0.0, 0.0)
        self._until = 0.0

    def run(self, progress: Progress) -> Counter[str]:
        """All of it; the figures."""
        began = time.monotonic()
        jobs = progress.add_task("jobs accepted", total=self.plan.jobs)
        cuts = progress.add_task("cuts", total=self.plan.cuts)
        ended = progress.add_task("readers at the end", total=3 * self.plan.jobs)
        self._until = began + self.plan.patience_s

        def show() -> None:
            progress.update(jobs, completed=len(self.jobs))
            progress.update(cuts, completed=self.cuts())
            progress.update(ended, completed=sum(r.finished.is_set() for r in self.readers))

        with self.server:
            self.server.start()
            late = int(self.plan.jobs * LATE_SHARE)
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(self.submit, range(late, self.plan.jobs)))
                show()
                self.cut_until(self.plan.cuts // 2, show)
                accepted = len(self.jobs)
                submitting = pool.map(self.submit, range(late))
                # Some answers have just come then, others are on their way.
                eventually(lambda: len(self.jobs) > accepted or not late, "a late job")
                self.kill_everything(progress)
                list(submitting)
            self.cut_until(self.plan.cuts, show)
            while self.unfinished() and time.monotonic() < self._until:
                show()
                time.sleep(0.1)
            show()
            figures = self.judge() + Counter(seconds=round(time.monotonic() - began))
            for remark in self.remarks:
                progress.console.print(remark)
            return figures

    def submit(self, number: int) -> None:
        """Start a job and its three readers, however often the server goes away meanwhile."""
        script = {"bursts": self.plan.bursts, "pause_s": self.plan.pause_s}
        body = {"task": self.task_of(number), "input": script}
        headers = {"Idempotency-Key": f"soak-{number}"}
        while time.monotonic() < self._until:
            try:
                response = self.server.api.post("/v1/jobs", json=body, headers=headers)
                if response.status_code == 202:
                    self._watch(response.json()["id"], number)
                    return
            except requests.RequestException:
                pass
            time.sleep(0.1)

    def task_of(self, number: int) -> str:
        return "random-steps" if number % THREADED == 0 else "random-steps-cooperative"

    def _watch(self, job: str, number: int) -> None:
        address = ("127.0.0.1", self.server.port)
        readers = [
            Reader(address, job, transport, seed=self.plan.seed + 3 * number + index)
            for index, transport in enumerate(TRANSPORTS)
        ]
        with self._lock:
            self.jobs.append(job)
            self.readers += [reader.start() for reader in readers]

    def cuts(self) -> int:
        return sum(reader.cuts for reader in self.readers)

    def unfinished(self) -> list[Reader]:
        with self._lock:
            return [reader for reader in self.readers if not reader.finished.is_set()]

    def cut_until(self, count: int, show: Any) -> None:
        """Cut readers, at random, at an even pace, until so many cuts have been made."""
        pause_s = CUTTING_SHARE * self.plan.job_s / self.plan.cuts
        while self.cuts() < count and (open_readers := self.unfinished()):
            if time.monotonic() > self._until:
                return
            reader = self._random.choice(open_readers)
            # In the midst of what comes next, or while it waits for that.
            reader.cut(self._random.choice([0, self._random.randrange(1, 2000)]))
            if self._random.randrange(CHANGING) == 0:
                reader.transport = self._random.choice(list(TRANSPORTS))
            show()
            time.sleep(pause_s * self._random.uniform(0, 2))

    def kill_everything(self, progress: Progress) -> None:
        """kill -9 of master and worker, and a restart on the same folder."""
        progress.console.print("kill -9 of master and worker")
        began = time.monotonic()
        self.server.kill()
        self.kills += 1
        self.server.start()
        self._down = (began, time.monotonic())
        progress.console.print(f"ready again after {self._down[1] - began:.1f} s")

    def judge(self) -> Counter[str]:
        """Compare what the readers hold with each other, the log and the snapshot."""
        figures = Counter(dict.fromkeys(FAULTS, 0))
        figures["jobs accepted"] = len(self.jobs)
        figures["jobs doubled"] = self._count_jobs() - len(self.jobs)
        figures["readers"] = len(self.readers)
        figures["readers unfinished"] = len(self.unfinished())
        figures["cuts"] = self.cuts()
        figures["kills"] = self.kills
        for reader in self.readers:
            reader.stop()
        for job in self.jobs:
            figures += self._judge_job(job)
        figures["slots kept"] = self._slots_kept()
        errors = [line for line in self.server.log_text().splitlines() if "[ERROR]" in line]
        figures["errors logged"] = len(errors)
        self.remarks += errors[:5]
        for reader in self.readers:
            figures["events delivered"] += len(reader.account.ranges)
            for at, error in reader.breaks:
                if not self._while_down(at):
                    figures["streams dropped"] += 1
                    self.remarks.append(f"dropped {at - self._down[1]:+.1f} s from ready: {error}")
        return figures

    def _judge_job(self, job: str) -> Counter[str]:
        found: Counter[str] = Counter()
        response = self.server.api.get(f"/v1/jobs/{job}")
        if response.status_code != 200:
            return Counter({"jobs lost": 1})
        shown, log = response.json(), self.server.api.log_of(job)
        found["jobs ended"] += bool(log) and log[-1]["type"] in TERMINAL
        found["jobs not completed"] += shown["status"] != "completed"
        found["steps run again"] += _steps_run_again(log)
        output = (shown["output"] or {}).get("text")
        found["texts differing"] += output != shown["text"]

        digests = digests_of(log)
        for reader in self.readers:
            if reader.job == job:
                for fault, count in reader.account.judge(shown["seq"]).items():
                    found[f"events {fault}"] += count
                found["events differing"] += reader.account.differs(digests)
                found["texts differing"] += reader.account.text != shown["text"]
        return found

    def _count_jobs(self) -> int:
        count, token = 0, None
        while True:
            query = {"limit": 100} | ({"page_token": token} if token else {})
            page = self.server.api.get("/v1/jobs", params=query).json()
            count, token = count + len(page["jobs"]), page["next_page_token"]
            if token is None:
                return count

    def _slots_kept(self) -> int:
        """Streams that the server still counts when all readers are gone for a while."""
        streams: dict[str, int] = {}
        until = time.monotonic() + 10
        while time.monotonic() < until:
            streams = self.server.api.get("/readyz").json()["streams"]
            if not streams:
                break
            time.sleep(0.1)
        return sum(streams.values())

    def _while_down(self, at: float) -> bool:
        began, ended = self._down
        return began <= at <= ended


def _steps_run_again(log: list[dict[str, Any]]) -> int:
    """How many steps began again after they had been completed."""
    completed: set[str] = set()
    again = 0
    for event in log:
        if event["type"] == "step.updated":
            again += event["data"]["id"] in completed
            if event["data"]["status"] == "completed":
                completed.add(event["data"]["id"])
    return again


def failures(plan: Plan, figures: Counter[str]) -> list[str]:
    """What is not as it must be."""
    wanted = {"jobs accepted": plan.jobs, "jobs ended": plan.jobs, "cuts": plan.cuts, "kills": 1}
    found = [f"{name}: {figures[name]}" for name in FAULTS if figures[name]]
    return found + [
        f"{name}: {figures[name]}, not {count}"
        for name, count in wanted.items()
        if figures[name] < count
    ]


def soak(plan: Plan, *, console: Console | None = None) -> Counter[str]:
    """Run it in a folder that is removed afterwards."""
    columns = (
        TextColumn("{task.description:>20}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    progress = Progress(*columns, console=console or Console(stderr=True))
    with progress, tempfile.TemporaryDirectory(prefix="soak-") as folder:
        return Soak(plan, Path(folder)).run(progress)


def main() -> int:
    plan = _parse(sys.argv[1:])
    figures = soak(plan)
    console = Console()
    table = Table("figure", "value", title=f"Soak, {plan.worker_class}, seed {plan.seed}")
    names = ["jobs accepted", "jobs ended", "readers", "cuts", "kills", "events delivered", *FAULTS]
    for name in [*names, "seconds"]:
        table.add_row(name, f"{figures[name]:,}")
    console.print(table)
    wrong = failures(plan, figures)
    console.print("failed: " + "; ".join(wrong) if wrong else "passed")
    return 1 if wrong else 0


def _parse(arguments: list[str]) -> Plan:
    parser = argparse.ArgumentParser(
        prog="scripts/bench soak",
        description="Jobs with three readers each (SSE, WebSocket, long poll), cut at random, and "
        "one kill -9 of everything. Exit status 0 when nothing was lost, repeated or torn.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--jobs", type=int, default=Plan.jobs, help="how many jobs")
    parser.add_argument("--cuts", type=int, default=Plan.cuts, help="how many cuts in all")
    parser.add_argument("--worker-class", choices=["gevent", "gthread"], default="gevent")
    parser.add_argument("--seed", type=int, default=0, help="of the cuts")
    return Plan(**vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main())
