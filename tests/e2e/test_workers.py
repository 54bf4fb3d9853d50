"""Workers on Redis: they die, freeze, leave, and are cancelled from another process."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import psutil

from streaming.running.queue import NAMESPACE, QUEUE
from tests.e2e.clients import Api
from tests.e2e.cluster import Cluster
from tests.e2e.conftest import MakeCluster
from tests.e2e.reading import assert_ended, assert_whole, of_type
from tests.e2e.waiting import eventually
from tests.redis_server import RedisServer

#: Seconds within which a job that has lost its worker goes on; its time-out is 3 s here.
RECOVERY_S = 9.0


def worker_of(api: Api, job: str) -> int:
    """The process that runs the job's newest attempt."""
    return int(of_type(api.log_of(job), "job.started")[-1]["data"]["worker"].split(":")[1])


def reach_attempt(api: Api, job: str, attempt: int, timeout_s: float = RECOVERY_S) -> None:
    eventually(
        lambda: api.snapshot(job)["attempt"] >= attempt,
        f"attempt {attempt} of {job} has begun",
        timeout_s=timeout_s,
    )


def test_jobs_of_a_killed_worker_go_on_at_another_from_their_last_step(
    make_cluster: MakeCluster, tmp_path: Path
) -> None:
    cluster = make_cluster(job_workers=2)
    api = cluster.start().api
    job = api.submit("diary", {"path": str(tmp_path / "runs")})
    api.reach(job, "waiting_for_input")
    killed = worker_of(api, job)

    cluster.end_worker(killed, signal.SIGKILL)

    reach_attempt(api, job, 2)
    api.reach(job, "waiting_for_input")
    assert worker_of(api, job) != killed
    api.answer(job, "go on")
    assert api.finish(job)["status"] == "completed"
    assert (tmp_path / "runs").read_text().splitlines()[0] == "one of attempt 1"
    assert "one of attempt 2" not in (tmp_path / "runs").read_text()


def test_a_frozen_worker_that_wakes_is_refused_and_stops(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(job_workers=2)
    api = cluster.start().api
    job = api.submit("counting")
    api.reach(job, "running")
    frozen = worker_of(api, job)

    os.kill(frozen, signal.SIGSTOP)
    reach_attempt(api, job, 2)
    os.kill(frozen, signal.SIGCONT)
    eventually(lambda: "goes on without this attempt" in cluster.log_text(), "it has noticed")
    api.cancel(job)

    assert api.finish(job)["status"] == "cancelled"
    log = api.log_of(job)
    assert_ended(log)
    assert assert_whole(log) == len(log)
    started = [event["seq"] for event in of_type(log, "job.started")]
    assert len(started) == 2
    # Whatever the frozen one had still in hand, the second attempt's numbers are its own.
    numbers = [int(e["data"]["text"]) for e in of_type(log, "text.delta") if e["seq"] > started[1]]
    assert numbers == list(range(len(numbers)))


def test_a_worker_that_leaves_hands_its_jobs_over_at_once(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(job_workers=2, STREAMING_DRAIN_S=1)
    api = cluster.start().api
    jobs = [api.submit("asking") for _ in range(4)]
    for job in jobs:
        api.reach(job, "waiting_for_input")
    leaving = worker_of(api, jobs[0])
    its_jobs = [job for job in jobs if worker_of(api, job) == leaving]

    began = time.monotonic()
    for _ in range(3):  # platforms send several
        os.kill(leaving, signal.SIGTERM)
    (process,) = (each for each in cluster.job_workers if each.pid == leaving)

    assert process.wait(10) == 0
    assert time.monotonic() - began < 5
    cluster.job_workers.remove(process)
    for job in its_jobs:
        reach_attempt(api, job, 2, timeout_s=2)
    for job in jobs:
        api.reach(job, "waiting_for_input")
        api.answer(job, {"ok": True})
        assert api.finish(job)["status"] == "completed"


def test_a_worker_that_leaves_runs_what_tasks_have_registered_for_the_end_and_waits_for_none(
    make_cluster: MakeCluster, tmp_path: Path
) -> None:
    cluster = make_cluster(STREAMING_TASKS="tests.e2e.code_tasks")
    api, file = cluster.start().api, tmp_path / "ended"
    job = api.submit("registering", {"case": "", "path": str(file)})
    api.finish(job)

    cluster.end_worker(worker_of(api, job), signal.SIGTERM)

    assert file.read_text() == "ended"


def test_a_job_that_must_not_be_tried_twice_ends_as_worker_lost(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(job_workers=2)
    api = cluster.start().api
    job = api.submit("once-only")
    api.reach(job, "running")

    cluster.end_worker(worker_of(api, job), signal.SIGKILL)

    assert api.finish(job, timeout_s=RECOVERY_S)["error"]["code"] == "worker_lost"


def test_a_cancelled_job_whose_worker_is_gone_ends_though_there_is_no_other(
    make_cluster: MakeCluster,
) -> None:
    cluster = make_cluster()
    api = cluster.start().api
    job = api.submit("sleeping")
    api.reach(job, "running")
    cluster.end_worker(worker_of(api, job), signal.SIGKILL)

    api.cancel(job)

    assert api.finish(job, timeout_s=25)["status"] == "cancelled"


def test_workers_share_a_pool_and_what_a_killed_one_held_goes_on(
    make_cluster: MakeCluster,
) -> None:
    cluster = make_cluster(job_workers=2, STREAMING_RESOURCES="gpu=1", STREAMING_JOBS=2)
    api = cluster.start().api
    jobs = [api.submit("leasing") for _ in range(4)]  # two for each worker
    lost: dict[str, int] = {}  # attempts that seem to go on, and do not

    def holder() -> str | None:
        shown = [api.snapshot(job) for job in jobs]
        asking = [
            each["id"]
            for each in shown
            if each["status"] == "waiting_for_input" and each["attempt"] > lost.get(each["id"], 0)
        ]
        assert len(asking) <= 1
        return asking[0] if asking else None

    def places() -> list[int]:
        shown = [api.snapshot(job)["leases"] for job in jobs]
        return [leases[0]["position"] for leases in shown if leases]

    first = eventually(holder, "one has it")
    waiting = [job for job in jobs if job != first]
    expected = [0 if job == first else 1 + waiting.index(job) for job in jobs]
    eventually(lambda: places() == expected, "the others wait in order")
    assert len({worker_of(api, job) for job in jobs}) == 2
    figures = api.get("/metrics").text
    assert 'streaming_lease_units{pool="gpu",state="taken"} 1.0' in figures
    assert 'streaming_lease_jobs_waiting{pool="gpu"} 3.0' in figures

    cluster.end_worker(worker_of(api, first), signal.SIGKILL)
    lost[first] = 1
    cluster.start_worker()

    while jobs:
        job = eventually(holder, "the next one has it", timeout_s=20)
        api.answer(job, {"ok": True})
        assert api.finish(job)["status"] == "completed"
        jobs.remove(job)
    assert 'streaming_lease_units{pool="gpu",state="taken"} 0.0' in api.get("/metrics").text


def test_a_cancel_reaches_a_job_on_another_machine_promptly(make_cluster: MakeCluster) -> None:
    api = make_cluster(job_workers=2).start().api

    for task in ("sleeping", "counting", "sleeping-async", "asking"):
        job = api.submit(task)
        api.reach(job, "running", "waiting_for_input")
        began = time.monotonic()
        api.cancel(job)
        assert api.finish(job)["status"] == "cancelled"
        assert time.monotonic() - began < 0.5, task


def test_jobs_wait_for_a_worker_within_one_limit_and_are_cancelled_there(
    make_cluster: MakeCluster, redis_server: RedisServer
) -> None:
    cluster = make_cluster(job_workers=0, STREAMING_QUEUE=3)
    cluster.launch()
    api = cluster.api
    eventually(lambda: answers(api), "it answers")
    assert "no worker" in api.get("/readyz").text

    jobs = [api.submit("plain", {"words": [str(n)]}) for n in range(3)]
    refused = api.post("/v1/jobs", json={"task": "plain", "input": {"words": []}})
    assert refused.status_code == 429
    assert refused.headers["Retry-After"]
    assert [api.snapshot(job)["queue_position"] for job in jobs] == [1, 2, 3]

    api.cancel(jobs[0])
    assert api.snapshot(jobs[0])["status"] == "cancelled"
    assert [api.snapshot(job)["queue_position"] for job in jobs[1:]] == [1, 2]
    add_to_messages(redis_server, {"on_trial": False, "future": 1})  # of other versions
    cluster.start_worker()

    for job in jobs[1:]:
        assert api.finish(job)["status"] == "completed"


def add_to_messages(redis_server: RedisServer, said: dict[str, Any]) -> None:
    with redis_server.client() as client:
        client.select(1)
        key = f"{NAMESPACE}:{QUEUE}.msgs"
        for id, message in client.hgetall(key).items():
            client.hset(key, id, json.dumps({**json.loads(message), "kwargs": said}))


def answers(api: Api) -> bool:
    try:
        return api.get("/healthz").status_code == 200
    except OSError:
        return False


def test_a_job_whose_message_was_lost_is_run_all_the_same(
    make_cluster: MakeCluster, redis_server: RedisServer
) -> None:
    cluster = make_cluster(job_workers=0)
    cluster.launch()
    api = cluster.api
    eventually(lambda: answers(api), "it answers")
    job = api.submit("plain", {"words": ["a"]})
    with redis_server.client() as client:
        client.select(1)
        client.flushdb()

    cluster.start_worker()

    assert api.finish(job, timeout_s=20)["status"] == "completed"


def test_a_task_that_kills_its_workers_is_found_out_and_its_neighbours_complete(
    make_cluster: MakeCluster,
) -> None:
    cluster = make_cluster(job_workers=2, STREAMING_JOBS=4)
    api = cluster.start().api
    neighbours = [api.submit("asking") for _ in range(4)]
    for job in neighbours:
        api.reach(job, "waiting_for_input")
    poisons = [api.submit("killing", {"after_s": after_s}) for after_s in (0, 0.5)]

    def found_out() -> bool:
        for worker in list(cluster.job_workers):
            if worker.poll() is not None:
                cluster.job_workers.remove(worker)
                cluster.start_worker()  # as a supervisor does
        return all(api.snapshot(poison)["status"] == "failed" for poison in poisons)

    eventually(found_out, "they are found out", timeout_s=60)

    for poison in poisons:
        assert api.snapshot(poison)["error"]["code"] == "worker_lost"
    for job in neighbours:
        api.reach(job, "waiting_for_input", timeout_s=RECOVERY_S)
        api.answer(job, {"ok": True})
        assert api.finish(job, timeout_s=RECOVERY_S)["status"] == "completed"


def test_web_processes_show_the_workers_hosts(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(STREAMING_TASK_PROCESSES=1, WEB_CONCURRENCY=1)
    api = cluster.start().api
    assert api.get("/readyz").json()["notes"] == []
    assert figure(api, "streaming_task_hosts") == 1
    assert figure(api, "streaming_task_hosts_memory_bytes") > 1e6

    worker = psutil.Process(cluster.job_workers[0].pid)
    for host in worker.children():
        host.kill()

    eventually(lambda: figure(api, "streaming_task_hosts_replaced") == 1, "that is seen")
    eventually(lambda: figure(api, "streaming_task_hosts") == 1, "there is a host again", 20)


def figure(api: Api, name: str) -> float:
    """As a web process shows it."""
    (line,) = re.findall(rf"^{name} (.+)$", api.get("/metrics").text, re.MULTILINE)
    return float(line)


def test_a_worker_needs_a_redis_and_says_so(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(job_workers=0, STREAMING_LOG_URL="memory://")

    worker = cluster.start_worker()

    assert worker.wait(20) != 0
    assert "set REDIS_URL" in cluster.log_text()


def test_a_deployment_runs_over_tls_with_a_certificate_that_nobody_vouches_for(
    encrypted: str, tmp_path: Path
) -> None:
    settings = {"STREAMING_REDIS_VERIFY": 0, "STREAMING_RATE_SUBMITS": "100/minute"}
    with Cluster(tmp_path, encrypted, **settings) as cluster:
        api = cluster.start().api

        assert api.run("plain", {"words": ["a"]})["text"] == "a"

        assert "WARNING" not in cluster.log_text()


def test_nothing_is_left_behind(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(job_workers=2)
    cluster.start()
    pids = [worker.pid for worker in cluster.job_workers]
    pids += [worker.pid for worker in cluster.workers()]

    assert cluster.stop() < 15

    assert not any(psutil.pid_exists(pid) for pid in pids)
    said = cluster.log_text()
    for word in ("Traceback", "WARNING", "ERROR", "Warning"):
        assert word not in said
