"""Workers on Redis with task hosts: for jobs that may have killed one, and for all jobs."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil

from streaming.events.recovery import SUSPICIOUS
from streaming.storage.redis import RedisStorage
from tests.e2e.clients import Api
from tests.e2e.cluster import Cluster
from tests.e2e.conftest import MakeCluster
from tests.e2e.reading import assert_ended, of_type
from tests.e2e.waiting import eventually
from tests.jobs import started
from tests.redis_server import RedisServer

#: Seconds within which workers and hosts must have begun, on a machine that does much besides.
START_S = 60.0


def started_without_workers(make_cluster: MakeCluster) -> Cluster:
    cluster = make_cluster(job_workers=0, WEB_CONCURRENCY=1, STREAMING_DRAIN_S=1)
    cluster.launch()
    eventually(lambda: _answers(cluster.api), "it answers")
    return cluster


def _answers(api: Api) -> bool:
    try:
        return api.get("/healthz").status_code == 200
    except OSError:
        return False


def suspect(redis: RedisServer, api: Api, task: str) -> str:
    """A job that waits, and whose last attempts were lost without a word."""
    job = api.submit(task)
    storage = RedisStorage(redis.url)
    storage.open(timeout=1)
    for attempt in range(1, SUSPICIOUS + 1):
        storage.log.append(job, [started(attempt)], attempt=attempt)
    storage.close()
    return job


def process_of(api: Api, job: str) -> int:
    """Where the job's newest attempt runs."""
    return int(of_type(api.log_of(job), "job.started")[-1]["data"]["worker"].split(":")[1])


def reach_attempt(api: Api, job: str, attempt: int) -> None:
    eventually(
        lambda: (
            (api.snapshot(job)["attempt"], api.snapshot(job)["status"])
            == (attempt, "waiting_for_input")
        ),
        f"attempt {attempt} of {job} asks",
        timeout_s=START_S,
    )


def test_a_suspect_runs_in_a_process_of_its_own_and_completes(
    make_cluster: MakeCluster, redis_server: RedisServer
) -> None:
    cluster = started_without_workers(make_cluster)
    api = cluster.api
    jobs = [suspect(redis_server, api, "asking") for _ in range(3)]
    worker = cluster.start_worker()

    for job in jobs:
        reach_attempt(api, job, SUSPICIOUS + 1)
    hosts = {process_of(api, job) for job in jobs}
    assert len(hosts) == 3
    assert worker.pid not in hosts
    assert hosts == {child.pid for child in psutil.Process(worker.pid).children()}
    for job in jobs[:2]:
        api.answer(job, {"ok": True})
        assert api.finish(job)["status"] == "completed"
    api.cancel(jobs[2])
    assert api.finish(jobs[2])["status"] == "cancelled"
    eventually(lambda: not any(map(psutil.pid_exists, hosts)), "the hosts are gone")


def test_a_host_that_dies_takes_nobody_along_and_its_job_is_found_out(
    make_cluster: MakeCluster, redis_server: RedisServer
) -> None:
    cluster = started_without_workers(make_cluster)
    api = cluster.api
    neighbour = suspect(redis_server, api, "asking")
    poison = suspect(redis_server, api, "killing")
    worker = cluster.start_worker()

    reach_attempt(api, neighbour, SUSPICIOUS + 1)
    error = api.finish(poison, timeout_s=START_S)["error"]

    assert error["code"] == "worker_lost"
    assert "alone" in error["detail"]
    log = api.log_of(poison)
    assert_ended(log)
    assert [e["data"]["message"] for e in of_type(log, "log")] == [
        "its process died (exit code 9)"
    ] * 3
    assert worker.poll() is None
    assert "Warning:" not in cluster.log_text()
    assert api.snapshot(neighbour)["attempt"] == SUSPICIOUS + 1


def test_a_host_leaves_with_its_worker_whether_told_or_not(
    make_cluster: MakeCluster, redis_server: RedisServer
) -> None:
    cluster = started_without_workers(make_cluster)
    api = cluster.api
    job = suspect(redis_server, api, "asking")
    worker = cluster.start_worker()
    reach_attempt(api, job, SUSPICIOUS + 1)
    hosts = [process_of(api, job)]

    cluster.start_worker()
    cluster.end_worker(worker.pid, signal.SIGTERM)
    reach_attempt(api, job, SUSPICIOUS + 2)
    assert of_type(api.log_of(job), "log")[-1]["data"]["handed_over"]
    hosts.append(process_of(api, job))

    (worker,) = cluster.job_workers
    cluster.end_worker(worker.pid, signal.SIGKILL)
    eventually(lambda: not any(map(psutil.pid_exists, hosts)), "the hosts are gone")


def test_a_worker_with_hosts_outlives_what_its_tasks_do_to_their_process(
    make_cluster: MakeCluster,
) -> None:
    cluster = make_cluster(WEB_CONCURRENCY=1, STREAMING_TASK_PROCESSES=1)
    api = cluster.start().api
    (worker,) = cluster.job_workers
    neighbour = api.submit("asking")
    reach_attempt(api, neighbour, 1)
    host = process_of(api, neighbour)

    links = [os.readlink(each) for each in Path(f"/proc/{host}/fd").iterdir()]
    error = api.finish(api.submit("killing"), timeout_s=2 * START_S)["error"]

    assert host != worker.pid
    assert sum(link.startswith("socket:") for link in links) == 1
    assert error["code"] == "worker_lost"
    assert worker.poll() is None
    reach_attempt(api, neighbour, SUSPICIOUS + 1)
    api.answer(neighbour, {"ok": True})
    assert api.finish(neighbour, timeout_s=START_S)["status"] == "completed"
