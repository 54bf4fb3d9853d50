"""Jobs in threads: bounds, queue, positions, cancel."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from streaming import JobContext, Task, TooMany, task
from tests.gate import Gate, listening
from tests.house import House
from tests.jobs import cancelled, types
from tests.threads import eventually, together


def test_a_job_that_is_given_to_the_runner_runs_and_ends() -> None:
    made: Task = task("quick")(lambda ctx, input: input["n"] * 2)
    house = House(made)

    job = house.submit(made, {"n": 21})

    assert house.end(job).data["output"] == 42
    eventually(lambda: house.runner.load().running == 0)
    assert not house.runner.knows(job)


def test_no_more_jobs_run_at_once_than_there_are_threads(gate: Gate, held: Task) -> None:
    house = House(held, threads=2)

    jobs = [house.submit(held) for _ in range(6)]
    eventually(lambda: gate.inside == 2)
    load = house.runner.load()
    gate.open()

    assert (load.running, load.queued, load.threads, load.stuck) == (2, 4, 2, 0)
    assert all(house.end(job).type == "job.completed" for job in jobs)
    assert gate.most == 2


def test_jobs_start_in_the_order_of_their_coming(gate: Gate, held: Task) -> None:
    house = House(held, threads=1)
    jobs = [house.submit(held) for _ in range(5)]

    gate.open()

    ends = {job: house.end(job).at for job in jobs}
    starts = [house.until_type(job, "job.started").at for job in jobs]
    assert starts == sorted(starts)
    assert all(start >= end for start, end in zip(starts[1:], ends.values(), strict=False))


def test_positions_are_told_and_move_up(gate: Gate, held: Task) -> None:
    house = House(held, threads=1)
    jobs = [house.submit(held) for _ in range(4)]
    eventually(lambda: gate.inside == 1)

    told = [house.data(job, "job.queued")[0]["position"] for job in jobs]

    assert told == [0, 1, 2, 3]
    assert [house.runner.position(job) for job in jobs] == [None, 1, 2, 3]
    house.registry.cancel(house.row(jobs[1]))
    assert [house.runner.position(job) for job in jobs] == [None, None, 1, 2]


def test_a_reserved_place_counts_like_a_job(held: Task) -> None:
    house = House(held, threads=1, queue=1)

    assert house.runner.reserve(cooperative=False) == 0
    assert house.runner.reserve(cooperative=False) == 1
    with pytest.raises(TooMany):
        house.runner.reserve(cooperative=False)

    house.runner.release(cooperative=False)
    assert house.runner.reserve(cooperative=False) == 1


def test_a_full_queue_refuses_and_says_when_to_come_back(gate: Gate, held: Task) -> None:
    house = House(held, threads=1, queue=2)
    for _ in range(3):
        house.submit(held)

    with pytest.raises(TooMany) as refused:
        house.submit(held)

    assert refused.value.code == "queue_full"
    assert refused.value.extra["retry_after_s"] > 0
    assert len(house.storage.index.list()) == 3
    gate.open()
    eventually(lambda: house.runner.load().running == 0)
    house.submit(held)


def test_no_more_are_accepted_at_once_than_there_is_room(gate: Gate, held: Task) -> None:
    house = House(held, threads=2, queue=3)

    results = together([lambda: house.submit(held)] * 12)

    assert sum(isinstance(each, str) for each in results) == 5
    assert sum(isinstance(each, TooMany) for each in results) == 7


def test_a_submission_that_fails_gives_its_place_back(held: Task) -> None:
    house = House(held, threads=1, queue=0)

    for _ in range(3):
        with pytest.raises(Exception, match="lone surrogate|surrogates not allowed|UTF-8"):
            house.submit(held, {"text": "\ud800"})

    assert house.runner.reserve(cooperative=False) == 0


def test_a_queued_job_is_cancelled_without_being_run(gate: Gate, held: Task) -> None:
    house = House(held, threads=1)
    running, queued = house.submit(held), house.submit(held)

    row = house.registry.cancel(house.row(queued), "not needed")

    assert row.status == "cancelled"
    assert types(house.events(queued)) == ["job.queued", "job.cancel_requested", "job.cancelled"]
    assert house.data(queued, "job.cancelled")[0]["reason"] == "not needed"
    gate.open()
    assert house.end(running).type == "job.completed"
    assert gate.come == 1


def test_a_running_job_is_cancelled_at_its_next_word() -> None:
    made = listening()
    house = House(made)
    job = house.submit(made)
    house.until_type(job, "job.started")

    row = house.registry.cancel(house.row(job), "enough")

    assert row.status in ("cancelling", "cancelled")
    assert house.end(job).data["reason"] == "enough"


def test_a_cancel_before_the_first_word_counts(gate: Gate) -> None:
    @task("late")
    def late(ctx: JobContext, input: Any) -> None:
        gate.wait()
        ctx.text("too late")

    house = House(late)
    job = house.submit(late)
    eventually(lambda: gate.inside)
    house.registry.cancel(house.row(job))

    gate.open()

    assert house.end(job).type == "job.cancelled"
    assert "text.delta" not in types(house.events(job))


def test_a_cancelled_job_keeps_what_it_has_said() -> None:
    @task("says")
    def says(ctx: JobContext, input: Any) -> None:
        ctx.text("so far")
        ctx.sleep(60)

    house = House(says)
    job = house.submit(says)
    house.until_type(job, "text.delta")
    house.registry.cancel(house.row(job))

    assert house.end(job).data["partial"] == {"text": "so far", "cut": False}


def test_a_job_runs_in_a_thread_of_its_own() -> None:
    names: list[str] = []
    made: Task = task("where")(lambda ctx, input: names.append(threading.current_thread().name))
    house = House(made)

    job = house.submit(made)
    house.end(job)

    assert names == [f"job-{job[-8:]}"]


def test_a_task_that_only_waits_runs_in_a_thread_where_there_is_no_event_loop() -> None:
    made: Task = task("waits", cooperative=True)(lambda ctx, input: ctx.sleep(0.001))
    house = House(made, threads=1, queue=0)

    assert house.end(house.submit(made)).type == "job.completed"


def test_twenty_tasks_run_asyncio_at_once() -> None:
    import asyncio

    @task("awaits")
    async def awaits(ctx: JobContext, input: Any) -> int:
        await asyncio.sleep(0.01)
        return int(input["n"])

    house = House(awaits, threads=20)
    jobs = [house.submit(awaits, {"n": n}) for n in range(20)]

    assert [house.end(job).data["output"] for job in jobs] == list(range(20))


def test_a_job_is_run_once_though_it_is_given_twice(gate: Gate, held: Task) -> None:
    house = House(held, threads=1)
    job, other = house.submit(held), house.submit(held)

    for each in (job, other):
        house.runner.enqueue(each, cooperative=False)
    gate.open()

    for each in (job, other):
        house.end(each)
        assert types(house.events(each)).count("job.started") == 1


@pytest.mark.parametrize("change", ["ended", "deleted"])
def test_a_job_that_is_gone_when_its_turn_comes_is_passed_over(
    gate: Gate, held: Task, change: str
) -> None:
    house = House(held, threads=1)
    first, gone, last = (house.submit(held) for _ in range(3))
    actions: dict[str, Callable[[], object]] = {
        "ended": lambda: house.storage.log.append(gone, [cancelled()]),
        "deleted": lambda: house.storage.index.remove(gone, tombstone=False),
    }
    actions[change]()

    gate.open()

    assert house.end(first).type == house.end(last).type == "job.completed"
    assert gate.come == 2
