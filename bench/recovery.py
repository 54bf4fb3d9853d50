"""The recovery: how long a job waits for its next attempt when its worker is killed with -9.

A deployment on Redis with the default STREAMING_WORKER_TIMEOUT_S, idle and with many jobs that
write. All of it shares this machine's cores.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from streaming.config import Settings
from tests.e2e.clients import Api
from tests.e2e.cluster import Cluster
from tests.e2e.reading import of_type
from tests.e2e.waiting import eventually
from tests.redis_server import RedisServer

#: Jobs that begin to write before each kill, where there is load: each writes for some 20 s.
TALKERS = 60
#: Seconds within which a job must go on.
LIMIT_S = 15.0


def recover(cluster: Cluster, talkers: int) -> float:
    """Kill the worker of a job; the seconds until its next attempt has begun."""
    api = cluster.api
    for _ in range(talkers):
        api.submit("stamped-steps")
    job = api.submit("ticking")
    api.reach(job, "running")
    worker = int(_started(api, job)[-1]["data"]["worker"].split(":")[1])

    cluster.end_worker(worker, signal.SIGKILL)
    killed_at = time.time()
    cluster.start_worker()  # as a supervisor does
    eventually(lambda: len(_started(api, job)) > 1, "the next attempt", timeout_s=120)
    began_at = datetime.fromisoformat(_started(api, job)[1]["at"]).timestamp()

    api.cancel(job)
    api.finish(job)
    return began_at - killed_at


def _started(api: Api, job: str) -> list[dict[str, object]]:
    return of_type(api.log_of(job), "job.started")


def measure(kills: int, talkers: int) -> list[float]:
    """The seconds of so many kills, one after the other."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="recovery-")))
        redis = stack.enter_context(RedisServer(folder / "redis"))
        cluster = Cluster(
            folder,
            redis.url,
            job_workers=2,
            STREAMING_TASKS="bench.tasks",
            STREAMING_WORKER_TIMEOUT_S=Settings.model_fields["worker_timeout_s"].default,
        )
        stack.enter_context(cluster)
        cluster.start()
        return [recover(cluster, talkers) for _ in range(kills)]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/bench recovery",
        description="Seconds from kill -9 of a worker to the next attempt of its job, with the "
        f"default settings. Exit status 0 when all are below {LIMIT_S:g}.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--kills", type=int, default=10, help="kills, idle and under load each")
    kills, slow = parser.parse_args().kills, False
    table = Table("deployment", "kills", "shortest", "median", "longest")
    for name, talkers in (("idle", 0), (f"{TALKERS} jobs write", TALKERS)):
        found = measure(kills, talkers)
        shown = [f"{each:.1f} s" for each in (min(found), median(found), max(found))]
        table.add_row(name, str(kills), *shown)
        slow |= max(found) > LIMIT_S
    Console().print(table)
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
