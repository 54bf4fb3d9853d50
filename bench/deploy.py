"""The deploy: an older version of this project is replaced by the present one under load, and back.

Web processes and workers on one Redis, replaced one after the other while jobs are submitted and
readers on three transports are cut at random. The older version is a commit of this repository.
Exit status 0 only when nothing was lost, repeated, torn, doubled or run again.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import requests
from rich.console import Console

from bench.chaos import Chaos, Trouble, show
from tests.e2e.cluster import Cluster
from tests.e2e.server import PATIENCE_S, ROOT
from tests.e2e.waiting import eventually
from tests.redis_server import RedisServer

#: The first commit with web processes and workers on Redis: the oldest that can be deployed.
OLDEST = "97f3278"
#: Where the older tree finds the tasks: its own are not those of today.
TASKS = "deployed_tasks"
#: What is replaced, in this order.
PARTS = ("web", "worker", "web", "worker")


@dataclass(frozen=True)
class Rollout(Trouble):
    """How much load, and how long versions run side by side."""

    jobs: int = 120
    cuts: int = 400
    workers: int = 0
    #: Seconds between two replacements.
    dwell_s: float = 3.0


class Part(Cluster):
    """One web process or one worker of a version, on the port that all web processes share."""

    def __init__(self, folder: Path, redis_url: str, kind: str, root: Path, port: int) -> None:
        settings: dict[str, Any] = {
            "PORT": port,
            "WEB_CONCURRENCY": 1,
            "GUNICORN_CMD_ARGS": "--reuse-port",
            "STREAMING_TASKS": TASKS,
            "PYTHONPATH": root,
        }
        super().__init__(folder, redis_url, job_workers=0, **settings)
        self.root = root
        self.kind = kind

    def begin(self) -> None:
        """Start it, and wait until it takes requests or jobs."""
        if self.kind == "web":
            self.launch()
            sign = "Booting worker"
        else:
            self.start_worker()
            sign = "takes jobs"
        eventually(lambda: sign in self.log_text(), f"{self.kind} has begun", timeout_s=PATIENCE_S)

    def leave(self) -> int:
        """SIGTERM, as platforms send it; the exit code."""
        process = self.process if self.kind == "web" else self.job_workers[0]
        process.send_signal(signal.SIGTERM)
        return process.wait(PATIENCE_S)


class Deploy(Chaos):
    """One run: the older version, the present one, and the older one again."""

    def __init__(self, plan: Rollout, folder: Path, redis: RedisServer, trees: list[Path]) -> None:
        super().__init__(plan, folder, redis, takes_gaps=False)
        self._plan = plan
        self._folder = folder
        self._trees = trees
        self._parts: list[Part] = []
        self._made = 0
        #: Of each worker's process, its version.
        self._versions: dict[str, str] = {}

    def run(self) -> Counter[str]:
        began = time.monotonic()
        with ExitStack() as stack:
            for kind in PARTS:
                self._parts.append(self._start(stack, kind, self._trees[0]))
            self.server = self._parts[0]  # it has the port of all
            self.server.wait_until_ready()
            submitting = threading.Thread(target=self._submit_evenly)
            cutting = threading.Thread(target=self._cut)
            submitting.start()
            cutting.start()
            for tree in self._trees[1:]:
                self._replace_all(stack, tree)
            self._over.set()
            submitting.join()
            cutting.join()
            self.wait_for_ends()
            figures = self.judge()
            self.remarks += self._complaints()
        figures["seconds"] = round(time.monotonic() - began)
        return figures

    def _replace_all(self, stack: ExitStack, tree: Path) -> None:
        for place, old in enumerate(list(self._parts)):
            time.sleep(self._plan.dwell_s)
            self._parts[place] = self._start(stack, old.kind, tree)
            code = old.leave()
            self.done[f"{old.kind} replaced"] += 1
            self.done["not ended in order"] += code != 0

    def _start(self, stack: ExitStack, kind: str, tree: Path) -> Part:
        self._made += 1
        folder = self._folder / f"{self._made}-{kind}"
        folder.mkdir()
        part = Part(folder, self.redis.url, kind, tree, self.cluster.port)
        stack.enter_context(part)
        part.begin()
        self._versions |= {str(each.pid): tree.name for each in part.job_workers}
        return part

    def _judge_job(self, job: str) -> Counter[str]:
        found = super()._judge_job(job)
        for event in self.server.api.log_of(job):
            if event["type"] == "job.started":
                worker = event["data"]["worker"].split(":")[1]
                found[f"attempts by the {self._versions[worker]} version"] += 1
        return found

    def _submit_evenly(self) -> None:
        """All jobs, from the first replacement to the last."""
        total_s = self._plan.dwell_s * len(PARTS) * (len(self._trees) - 1)
        self._until = time.monotonic() + self.plan.patience_s + total_s
        for number in range(self.plan.jobs):
            self.submit(number)
            self._over.wait(total_s / self.plan.jobs)

    def _cut(self) -> None:
        while not self._over.wait(0.05):
            self.cut_until(self.cuts() + 1, lambda: None)

    def _complaints(self) -> list[str]:
        """What any process has said that it should not."""
        said = [line for log in self._folder.glob("*/server.log") for line in _lines(log)]
        return [line for line in said if "Traceback" in line or "ERROR]" in line][:10]


def _lines(log: Path) -> list[str]:
    return log.read_text(errors="replace").splitlines()


def extract(commit: str, folder: Path) -> Path:
    """The tree of a commit, with today's tasks for trials."""
    archive = subprocess.run(
        ["git", "archive", commit], cwd=ROOT, check=True, capture_output=True
    ).stdout
    tree = folder / "older"
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        tar.extractall(tree, filter="data")
    shutil.copy(ROOT / "bench" / "tasks.py", tree / f"{TASKS}.py")
    return tree


def present(folder: Path) -> Path:
    """The present tree, as it is on the disk."""
    tree = folder / "present"
    tree.mkdir()
    for name in ("streaming", "templates", "static"):
        shutil.copytree(ROOT / name, tree / name)
    for name in ("app.py", "wsgi.py", "gunicorn.conf.py", "Procfile"):
        shutil.copy(ROOT / name, tree / name)
    shutil.copy(ROOT / "bench" / "tasks.py", tree / f"{TASKS}.py")
    return tree


def deploy(plan: Rollout, commit: str, folder: Path) -> tuple[Counter[str], list[str]]:
    """From the commit to the present tree and back. Figures and remarks."""
    older, newer = extract(commit, folder), present(folder)
    with RedisServer(folder / "redis") as redis:
        run = Deploy(plan, folder, redis, [older, newer, older])
        return run.run(), run.remarks


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/bench deploy",
        description="Replaces an older version by the present one under load, process by process, "
        "and back. Exit status 0 when nothing was lost, repeated, torn or run again.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--commit", default=OLDEST, help="the older version")
    parser.add_argument("--jobs", type=int, default=Rollout.jobs, help="how many jobs")
    parser.add_argument(
        "--dwell-s", type=float, default=Rollout.dwell_s, help="seconds between replacements"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the cuts")
    given = vars(parser.parse_args())
    commit, plan, console = given.pop("commit"), Rollout(**given), Console()
    with tempfile.TemporaryDirectory(prefix="deploy-") as folder:
        try:
            figures, remarks = deploy(plan, commit, Path(folder))
        except requests.RequestException as error:
            console.print(f"the deployment does not answer: {error}")
            return 1
    return show(console, f"deploy from {commit} and back", plan, figures, remarks)


if __name__ == "__main__":
    sys.exit(main())
