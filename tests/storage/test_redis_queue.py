"""The queue of jobs on Redis, as web processes see it."""

from __future__ import annotations

from contextlib import closing

from streaming.running.queue import DramatiqRunner, JobQueue
from streaming.storage.memory import MemoryStorage
from streaming.storage.redis.connection import Server
from tests.redis_server import RedisServer

JOBS = [f"job{number}" for number in range(1, 51)]


def test_whoever_learns_of_a_job_finds_its_place_in_the_queue(redis_server: RedisServer) -> None:
    queue = JobQueue(Server(redis_server.url), timeout_s=10)
    places = []
    with redis_server.client() as client:
        client.flushall()
    with closing(DramatiqRunner(queue, MemoryStorage(), limit=len(JOBS))) as runner:
        runner.start()
        for job in JOBS:
            runner.reserve(cooperative=False)  # looks at the queue
            runner.enqueue(job, cooperative=False, reserved=True)
            places.append(runner.position(job))

    assert places == list(range(1, len(JOBS) + 1))
