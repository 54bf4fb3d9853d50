"""The scale: appends per second, delay to the readers, connections and memory, on one machine.

A deployment on Redis with 1, 2 and 4 web processes and two workers; then many readers in one
web process. All of it, the readers too, shares this machine's cores.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from bench.crowd import Crowd, percentile
from tests.e2e.cluster import Cluster
from tests.redis_server import RedisServer

#: Jobs that write as fast as they can, and how much each writes.
WRITERS, TOKENS = 32, 1500
#: Jobs that write at a person's pace, their readers, and for how long they are measured.
TALKERS, TALKER_READERS, TALK_S = 20, 10, 8.0
TOKENS_PER_S = 20
#: Seconds that many readers are listened to.
CROWD_S = 15.0


@contextmanager
def deployment(web: int) -> Iterator[tuple[Cluster, RedisServer]]:
    settings: dict[str, Any] = {
        "WEB_CONCURRENCY": web,
        "STREAMING_TASKS": "bench.tasks",
        "STREAMING_MAX_STREAMS": 20_000,
        "STREAMING_HEARTBEAT_S": 60,
        "STREAMING_JOBS": WRITERS // 2,  # so that both workers have their share
    }
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="scale-")))
        redis = stack.enter_context(RedisServer(folder / "redis"))
        cluster = stack.enter_context(Cluster(folder, redis.url, job_workers=2, **settings))
        yield cluster.start(), redis


def appends(cluster: Cluster, redis: RedisServer) -> tuple[float, float, float]:
    """Events per second of jobs that write as fast as they can; Redis's µs and bytes for each."""
    api = cluster.api
    memory, cpu = _memory(redis), _cpu_s(redis)
    began = time.monotonic()
    asked = {"prompt": "x", "max_tokens": TOKENS, "tokens_per_s": 0}
    jobs = [api.submit("generate", asked) for _ in range(WRITERS)]
    ended = [api.finish(job, timeout_s=300) for job in jobs]
    seconds = time.monotonic() - began
    events = sum(each["seq"] for each in ended)
    usec = (_cpu_s(redis) - cpu) * 1e6
    return events / seconds, usec / events, (_memory(redis) - memory) / events


def delays(cluster: Cluster) -> Crowd:
    """Readers of jobs that write at a person's pace."""
    crowd = Crowd(("127.0.0.1", cluster.port))
    tokens = int(TOKENS_PER_S * TALK_S * 4)
    asked = {"prompt": "x", "max_tokens": tokens, "tokens_per_s": TOKENS_PER_S}
    jobs = [cluster.api.submit("generate", asked) for _ in range(TALKERS)]
    for job in jobs:
        cluster.api.reach(job, "running")
        for _ in range(TALKER_READERS):
            crowd.join(job, 0)
    crowd.listen(2.0)  # what was there before
    crowd.delays, crowd.events = [], 0
    crowd.listen(TALK_S)
    crowd.leave()
    for job in jobs:
        cluster.api.cancel(job)
    return crowd


def many(cluster: Cluster, redis: RedisServer, readers: int, table: Table) -> None:
    """What many readers cost, in one web process."""
    api = cluster.api
    [web] = cluster.workers()
    jobs = [api.submit("ticking-slowly") for _ in range(10)]
    for job in jobs:
        api.reach(job, "running")
    before, clients = web.memory_info().rss, _clients(redis)
    crowd = Crowd(("127.0.0.1", cluster.port))
    began = time.monotonic()
    for number in range(readers):
        crowd.join(jobs[number % len(jobs)], 0)
    joined_s = time.monotonic() - began
    crowd.listen(5.0, sample=100)
    crowd.delays, crowd.events = [], 0
    cpu = sum(web.cpu_times()[:2])
    crowd.listen(CROWD_S, sample=10)
    cpu = sum(web.cpu_times()[:2]) - cpu
    rss = web.memory_info().rss
    table.add_row("readers in one web process", f"{readers:,}")
    table.add_row("… joined within", f"{joined_s:.0f} s")
    table.add_row(
        "Redis connections of the deployment, before / with them", f"{clients} / {_clients(redis)}"
    )
    table.add_row(
        "memory of the web process, before / with them", f"{before >> 20} / {rss >> 20} MiB"
    )
    table.add_row("… for each reader", f"{(rss - before) / readers / 1024:.1f} KiB")
    table.add_row("events delivered per second", f"{crowd.events / CROWD_S:,.0f}")
    table.add_row(
        "processor time of the web process for each", f"{cpu / crowd.events * 1e6:.0f} µs"
    )
    table.add_row("from append to reader, p50 / p99", _shown(crowd))
    table.add_row("memory of Redis", f"{_memory(redis) >> 20} MiB")
    crowd.leave()
    for job in jobs:
        api.cancel(job)


def _clients(redis: RedisServer) -> int:
    with redis.client() as client:
        return int(client.info("clients")["connected_clients"]) - 1


def _cpu_s(redis: RedisServer) -> float:
    with redis.client() as client:
        cpu = client.info("cpu")
    return float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])


def _memory(redis: RedisServer) -> int:
    with redis.client() as client:
        return int(client.info("memory")["used_memory"])


def _shown(crowd: Crowd) -> str:
    p50, p99 = (percentile(crowd.delays, share) * 1000 for share in (0.5, 0.99))
    return f"{p50:.0f} / {p99:.0f} ms"


def main() -> int:
    asked = _parse(sys.argv[1:])
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    console = Console()
    cores = f"{psutil.cpu_count()} cores"
    table = Table(
        "web processes",
        "events appended per second",
        "processor time of Redis for each",
        "bytes of Redis for each",
        f"from append to {TALKERS * TALKER_READERS} readers, p50 / p99",
        "delivered per second",
        title=f"Two workers, {cores} for everything",
    )
    for web in asked.web:
        with deployment(web) as (cluster, redis):
            rate, usec, size = appends(cluster, redis)
            crowd = delays(cluster)
            delivered = crowd.events / TALK_S
            figures = f"{rate:,.0f}", f"{usec:.1f} µs", f"{size:.0f}"
            table.add_row(str(web), *figures, _shown(crowd), f"{delivered:,.0f}")
    console.print(table)
    costs = Table("figure", "value", title=f"Many readers, {cores} for everything")
    with deployment(1) as (cluster, redis):
        many(cluster, redis, asked.readers, costs)
    console.print(costs)
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench scale",
        description="Appends per second and the delay from append to reader with several web "
        "processes on Redis; connections, memory and processor time with many readers.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--web", type=int, nargs="*", default=[1, 2, 4], help="web processes")
    parser.add_argument("--readers", type=int, default=10_000, help="readers in one process")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
