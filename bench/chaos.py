"""The chaos: a deployment on Redis in which everything is killed, frozen and cut at random.

Two web processes, several workers, readers on three transports that come back at whichever
process answers. Then a failover to a replica that lagged. What the readers were given is kept
as it came, without leaving out repetitions, and compared with the logs. Exit status 0 only
when nothing was lost, repeated, torn or written by a second writer.
"""

from __future__ import annotations

import argparse
import random
import re
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import requests
from rich.console import Console
from rich.table import Table

from bench.account import TERMINAL
from bench.readers import TRANSPORTS, Reader
from bench.soak import Plan, Soak
from tests.e2e.cluster import Cluster
from tests.redis_server import RedisServer

#: Readers of each job.
READERS = 2
#: Figures that must be 0.
FAULTS = (
    "jobs lost",
    "jobs doubled",
    "jobs not completed",
    "jobs without one end",
    "readers unfinished",
    "events lost",
    "events repeated",
    "events out of order",
    "events torn",
    "events differing",
    "texts differing",
    "steps run again",
    "second writers",
)
#: Seconds between two troubles of a kind, at random within these.
WORKER_KILL_S, WEB_KILL_S, FREEZE_S, REDIS_S = (3, 7), (5, 9), (6, 10), (9, 14)
#: Seconds that Redis stays away, and that a supervisor takes to start a worker again.
AWAY_S, RESTART_S = (0.5, 2.0), (0.2, 1.0)
#: Seconds for which a replica falls behind.
LAG_S = 1.0


@dataclass(frozen=True)
class Trouble(Plan):
    """What to do to the deployment. Times in seconds."""

    jobs: int = 300
    cuts: int = 1500
    workers: int = 3
    #: How long things are killed and frozen.
    trouble_s: float = 60.0
    #: Seconds of silence after which a worker counts as lost.
    worker_timeout_s: float = 3.0

    @property
    def patience_s(self) -> float:
        return 120 + 4 * self.trouble_s + 4 * self.job_s


class Chaos(Soak):
    """One run against one deployment."""

    def __init__(
        self, plan: Trouble, folder: Path, redis: RedisServer, *, takes_gaps: bool
    ) -> None:
        super().__init__(plan, folder)
        self.trouble = plan
        self.redis = redis
        self.cluster = Cluster(
            folder,
            redis.url,
            job_workers=plan.workers,
            STREAMING_TASKS="bench.tasks",
            STREAMING_WORKER_TIMEOUT_S=plan.worker_timeout_s,
        )
        self.server = self.cluster
        self.done: Counter[str] = Counter()
        self._takes_gaps = takes_gaps
        #: One trouble with processes at a time.
        self._processes = threading.Lock()
        self._over = threading.Event()
        #: Readers that had all before the failover took some of it away.
        self.satisfied: set[Reader] = set()

    def task_of(self, number: int) -> str:
        return "stamped-steps"

    def _watch(self, job: str, number: int) -> None:
        names = list(TRANSPORTS)
        readers = [
            Reader(
                ("127.0.0.1", self.server.port),
                job,
                names[(READERS * number + index) % len(names)],
                seed=self.plan.seed + READERS * number + index,
            )
            for index in range(READERS)
        ]
        with self._lock:
            self.jobs.append(job)
            for reader in readers:
                reader.account.takes_gaps = self._takes_gaps
                self.readers.append(reader.start())

    def submit_all(self) -> None:
        self._until = time.monotonic() + self.plan.patience_s
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self.submit, range(self.plan.jobs)))

    def make_trouble(self) -> None:
        """Everything at once, for its time; while jobs are still being accepted, too."""
        troubles = [
            (self.kill_worker, WORKER_KILL_S),
            (self.kill_web, WEB_KILL_S),
            (self.freeze_worker, FREEZE_S),
            (self.restart_redis, REDIS_S),
        ]
        threads = [
            threading.Thread(target=self._again_and_again, args=(trouble, pause, seed))
            for seed, (trouble, pause) in enumerate(troubles)
        ]
        submitting = threading.Thread(target=self.submit_all)
        submitting.start()
        for thread in threads:
            thread.start()
        until = time.monotonic() + self.trouble.trouble_s
        while time.monotonic() < until:
            self.cut_until(self.cuts() + 1, lambda: None)
            time.sleep(self.trouble.trouble_s / self.plan.cuts / 2)
        self._over.set()
        for thread in threads:
            thread.join()
        submitting.join()

    def fail_over(self, folder: Path) -> None:
        """Put a replica that lagged in the place of Redis."""
        with RedisServer(
            folder / "replica", "--replicaof", f"127.0.0.1 {self.redis.port}"
        ) as replica:
            with replica.client() as client:
                _wait(lambda: client.info("replication")["master_link_status"] == "up", "in step")
                client.replicaof("NO", "ONE")  # from here on it lags
            time.sleep(LAG_S)
            self.redis.kill()
            # These had all that there was; what is lost of it, nobody can tell them any more.
            self.satisfied = {r for r in self.readers if r.finished.is_set()}
            replica.stop()
        self.redis.folder = folder / "replica"
        self.redis.start()
        self.done["failovers"] += 1

    def wait_for_ends(self) -> None:
        """Until the readers have all, and the jobs have ended: some began anew after a failover."""
        while (self.unfinished() or self._go_on()) and time.monotonic() < self._until:
            self._restart_dead_workers()
            time.sleep(0.2)

    def _go_on(self) -> bool:
        """Whether any job has not ended."""
        for status in ("queued", "running", "cancelling"):
            listed = self.server.api.get("/v1/jobs", params={"status": status, "limit": 1})
            if listed.status_code != 200 or listed.json()["jobs"]:
                return True
        return False

    # -- troubles

    def kill_worker(self, dice: random.Random) -> None:
        with self._processes:
            victim = dice.choice(self.cluster.job_workers)
            self.cluster.end_worker(victim.pid, signal.SIGKILL)
            self.done["workers killed"] += 1
        time.sleep(dice.uniform(*RESTART_S))
        self.cluster.start_worker()

    def kill_web(self, dice: random.Random) -> None:
        victims = self.cluster.workers()
        if victims:
            dice.choice(victims).kill()
            self.done["web processes killed"] += 1

    def freeze_worker(self, dice: random.Random) -> None:
        with self._processes:
            frozen = psutil.Process(dice.choice(self.cluster.job_workers).pid)
            frozen.suspend()
            time.sleep(self.trouble.worker_timeout_s + 1.5)
            frozen.resume()
            self.done["workers frozen"] += 1

    def restart_redis(self, dice: random.Random) -> None:
        how = self.redis.stop if dice.random() < 0.5 else self.redis.kill
        how()
        self.remarks.append(f"{time.strftime('%H:%M:%S')}: Redis {how.__name__}")
        time.sleep(dice.uniform(*AWAY_S))
        self.redis.start()
        self.done["Redis restarts"] += 1

    def _again_and_again(
        self, trouble: Callable[[random.Random], None], pause: tuple[float, float], seed: int
    ) -> None:
        dice = random.Random(self.plan.seed + seed)
        while not self._over.wait(dice.uniform(*pause)):
            trouble(dice)

    def _restart_dead_workers(self) -> None:
        for worker in list(self.cluster.job_workers):
            if worker.poll() is not None:
                self.cluster.job_workers.remove(worker)
                self.cluster.start_worker()

    # -- judgement

    def judge(self) -> Counter[str]:
        figures = Counter(dict.fromkeys(FAULTS, 0))
        figures["jobs accepted"] = len(self.jobs)
        figures["jobs doubled"] = self._count_jobs() - len(self.jobs)
        figures["readers"] = len(self.readers)
        figures["readers unfinished"] = len(self.unfinished())
        figures["cuts"] = self.cuts()
        for reader in self.unfinished()[:5]:
            self.remarks.append(f"{reader.transport} of {reader.job} is at {reader.position}")
        for reader in self.readers:
            reader.stop()
            figures["events delivered"] += len(reader.account.ranges)
            figures["gaps told"] += reader.account.count("stream.gap")
            figures["connections lost"] += len(reader.breaks)
        for job in self.jobs:
            figures += self._judge_job(job)
        said = self.server.log_text().splitlines()
        self.remarks += [line for line in said if "the log of job" in line][:20]
        return figures + self.done

    def _judge_job(self, job: str) -> Counter[str]:
        response = self.server.api.get(f"/v1/jobs/{job}")
        if response.status_code != 200:
            self.remarks.append(f"{job}: {response.text[:200]}")
            return Counter({"jobs lost": 1})
        log = self.server.api.log_of(job)
        had = self.readers
        if self._takes_gaps:
            for reader in had:
                reader.account.leave_out_trimmed(log)
        self.readers = [reader for reader in had if reader not in self.satisfied]
        found = super()._judge_job(job)
        self.readers = had
        found["jobs without one end"] += sum(e["type"] in TERMINAL for e in log) != 1
        found["second writers"] += _second_writers(log)
        found["attempts"] += response.json()["attempt"]
        wrong = {name: count for name, count in found.items() if name in FAULTS and count}
        if wrong:
            self.remarks.append(f"{job}: {wrong}, attempt {response.json()['attempt']}")
            for reader in had:
                if reader.job == job and reader.account.torn:
                    self.remarks.append(f"{reader.transport}: {reader.account.torn[:3]}")
                elif reader.job == job:
                    self.remarks.append(f"{reader.transport}: …{reader.account.types[-8:]}")
        return found


def _second_writers(log: list[dict[str, Any]]) -> int:
    """Words of an attempt that come after a later one has begun; attempts that begin twice."""
    attempt, found = 0, 0
    for event in log:
        if event["type"] == "job.started":
            found += event["data"]["attempt"] <= attempt
            attempt = event["data"]["attempt"]
        elif event["type"] == "text.delta" and attempt:
            stamps = {int(each) for each in re.findall(r"\[(\d+)\]", event["data"]["text"])}
            found += stamps not in ({attempt}, set())
    return found


def _wait(condition: Callable[[], bool], what: str, timeout_s: float = 30) -> None:
    until = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > until:
            raise AssertionError(f"not within {timeout_s} s: {what}")
        time.sleep(0.02)


def under_trouble(plan: Trouble, folder: Path) -> tuple[Counter[str], list[str]]:
    """Kills, freezes, restarts and cuts; nothing at all may be missing. Figures and remarks."""
    with ExitStack() as stack:
        # With the default, everysec, a kill -9 of Redis may take what its file did not have yet.
        redis = stack.enter_context(RedisServer(folder / "redis", "--appendfsync", "always"))
        chaos = Chaos(plan, folder, redis, takes_gaps=False)
        stack.enter_context(chaos.cluster)
        chaos.cluster.start()
        began = time.monotonic()
        chaos.make_trouble()
        chaos.wait_for_ends()
        figures = chaos.judge()
        figures["seconds"] = round(time.monotonic() - began)
        return figures, chaos.remarks


def with_failover(plan: Trouble, folder: Path) -> tuple[Counter[str], list[str]]:
    """A failover to a replica that lagged; what it did not have is told as a gap."""
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(folder / "redis"))
        chaos = Chaos(plan, folder, redis, takes_gaps=True)
        stack.enter_context(chaos.cluster)
        chaos.cluster.start()
        began = time.monotonic()
        chaos.submit_all()
        time.sleep(plan.job_s / 3)
        chaos.fail_over(folder)
        chaos.wait_for_ends()
        figures = chaos.judge()
        figures["seconds"] = round(time.monotonic() - began)
        figures["readers that had all before"] = len(chaos.satisfied)
        return figures, chaos.remarks


def failures(plan: Trouble, figures: Counter[str]) -> list[str]:
    """What is not as it must be."""
    found = [f"{name}: {figures[name]}" for name in FAULTS if figures[name]]
    if figures["jobs accepted"] != plan.jobs or figures["jobs ended"] != plan.jobs:
        found.append(f"accepted {figures['jobs accepted']}, ended {figures['jobs ended']}")
    return found


def main() -> int:
    plan, names = _parse(sys.argv[1:])
    console, status = Console(), 0
    runs = {"trouble": under_trouble, "failover": with_failover}
    for title, run in ((name, runs[name]) for name in names):
        with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
            try:
                figures, remarks = run(plan, Path(folder))
            except requests.RequestException as error:
                console.print(f"{title}: the deployment does not answer: {error}")
                return 1
        status |= show(console, title, plan, figures, remarks)
    return status


def show(
    console: Console, title: str, plan: Trouble, figures: Counter[str], remarks: list[str]
) -> int:
    """Print how a run has gone; the exit status."""
    table = Table("figure", "value", title=f"{title}, seed {plan.seed}")
    for name in [*sorted(figures.keys() - set(FAULTS)), *FAULTS]:
        table.add_row(name, f"{figures[name]:,}")
    console.print(table)
    for remark in remarks[:60]:
        console.print(remark)
    wrong = failures(plan, figures)
    console.print("failed: " + "; ".join(wrong) if wrong else "passed")
    return int(bool(wrong))


def _parse(arguments: list[str]) -> tuple[Trouble, list[str]]:
    parser = argparse.ArgumentParser(
        prog="scripts/bench chaos",
        description="A deployment on Redis (two web processes, workers) in which workers and web "
        "processes are killed and frozen, Redis is restarted, and readers are cut; then a failover "
        "to a replica that lagged. Exit status 0 when nothing was lost, repeated or torn.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--jobs", type=int, default=Trouble.jobs, help="how many jobs")
    parser.add_argument("--cuts", type=int, default=Trouble.cuts, help="cuts of readers, about")
    parser.add_argument("--workers", type=int, default=Trouble.workers, help="job workers")
    parser.add_argument(
        "--trouble-s", type=float, default=Trouble.trouble_s, help="seconds of kills and freezes"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the troubles")
    parser.add_argument("--only", choices=["trouble", "failover"], help="one part of it")
    given = vars(parser.parse_args(arguments))
    only = given.pop("only")
    return Trouble(**given), [only] if only else ["trouble", "failover"]


if __name__ == "__main__":
    sys.exit(main())
