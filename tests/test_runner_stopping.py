"""Time-outs, code that does not listen, and shutdown."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import pytest

from streaming import Cancelled, JobContext, Task, Unavailable, task
from streaming.errors import Interrupted
from streaming.events.event import Draft, rfc3339
from tests.disk import Disk
from tests.gate import Gate, listening
from tests.house import House
from tests.jobs import completed, delta, types
from tests.threads import TIMEOUT_S, Background, eventually


def test_a_job_whose_time_is_over_fails() -> None:
    made = listening()
    house = House(made)
    house.runner.start()

    job = house.submit(made, timeout_s=0.05)

    error = house.end(job).data["error"]
    assert (error["code"], error["status"]) == ("timed_out", 504)


def test_the_time_of_a_job_is_that_of_all_its_attempts() -> None:
    made = listening()
    house = House(made)
    job = house.store(made, timeout_s=100)
    began = Draft("job.started", {"attempt": 1, "worker": "w"}, at=rfc3339(time.time() - 99.9))
    house.storage.log.append(job, [began, delta()])
    house.runner.start()

    house.take_up()

    assert house.end(job).data["error"]["code"] == "timed_out"


@pytest.mark.parametrize("kind", ["cancel", "time-out"])
def test_code_that_does_not_react_to_its_stop_is_ended_without_it_and_counted(
    gate: Gate, held: Task, kind: str
) -> None:
    house = House(held, stop_grace_s=0.05)
    house.runner.start()
    job = house.submit(held, timeout_s=0.05 if kind == "time-out" else 60)
    eventually(lambda: gate.inside)

    if kind == "cancel":
        house.registry.cancel(house.row(job))

    assert house.end(job).type == ("job.cancelled" if kind == "cancel" else "job.failed")
    assert house.runner.load().stuck == 1
    gate.open()
    eventually(lambda: house.runner.load().running == 0)
    assert house.runner.load().stuck == 0


def test_code_that_swallows_every_exception_is_ended_without_it(gate: Gate) -> None:
    swallowed: list[BaseException] = []

    @task("swallows")
    def swallows(ctx: JobContext, input: Any) -> None:
        while not gate.is_open:
            try:
                ctx.text("on and on ")
                ctx.sleep(0.001)
            except BaseException as error:  # noqa: BLE001 - that is the point
                swallowed.append(error)

    house = House(swallows, stop_grace_s=600)  # it emits, so no grace is waited for
    house.runner.start()
    job = house.submit(swallows)
    house.until_type(job, "text.delta")
    house.registry.cancel(house.row(job))

    assert house.end(job).type == "job.cancelled"
    assert any(isinstance(error, Cancelled) for error in swallowed)
    events = len(house.events(job))
    eventually(lambda: len(swallowed) > 5)
    assert len(house.events(job)) == events
    gate.open()
    eventually(lambda: house.runner.load().stuck == 0)


def test_a_job_is_ended_over_the_head_of_its_code_when_the_disk_has_room_again(
    tmp_path: Path, gate: Gate
) -> None:
    @task("says")
    def says(ctx: JobContext, input: Any) -> None:
        ctx.text("x" * 20_000)  # its end will hold a part of this
        gate.wait()

    disk = Disk(tmp_path)
    house = House(says, storage=disk.storage, stop_grace_s=0.02)
    house.runner.start()
    job = house.submit(says)
    eventually(lambda: gate.inside)
    disk.fill()
    house.runner.stop(job, Cancelled())
    eventually(disk.storage.fault)

    disk.make_room()

    assert house.end(job).type == "job.cancelled"
    gate.open()
    eventually(lambda: house.runner.load().running == 0)
    disk.storage.close()


def test_a_zombie_that_swallows_the_refusal_of_its_log_is_counted_as_stuck(gate: Gate) -> None:
    @task("zombie")
    def zombie(ctx: JobContext, input: Any) -> None:
        house.storage.log.append(ctx.job, [completed("by another")])
        while not gate.is_open:
            with contextlib.suppress(BaseException):
                ctx.text("too late")
                ctx.sleep(0.001)

    house = House(zombie, stop_grace_s=0.02)
    house.runner.start()
    house.submit(zombie)

    eventually(lambda: house.runner.load().stuck == 1)


def test_a_stuck_thread_keeps_its_place_until_it_returns(gate: Gate, held: Task) -> None:
    house = House(held, threads=1, stop_grace_s=0.05)
    house.runner.start()
    stuck = house.submit(held)
    eventually(lambda: gate.inside)
    house.registry.cancel(house.row(stuck))
    house.end(stuck)

    waiting = house.submit(held)
    assert house.runner.position(waiting) == 1
    gate.open()

    assert house.end(waiting).type == "job.completed"


def test_a_drain_lets_jobs_finish(gate: Gate, held: Task) -> None:
    house = House(held)
    job = house.submit(held)
    eventually(lambda: gate.inside)
    draining = Background(lambda: house.runner.drain(finish_s=TIMEOUT_S, unwind_s=0))
    assert not draining.ends_within(0.05)

    gate.open()
    draining.result()

    assert house.end(job).data["output"] == "let go"


def test_a_drain_hands_over_what_does_not_finish() -> None:
    made = listening()
    house = House(made)
    job = house.submit(made)
    house.until_type(job, "job.started")

    house.runner.drain(finish_s=0.01, unwind_s=TIMEOUT_S)

    assert types(house.events(job))[-1] == "log"
    assert not house.row(job).closed
    assert house.state(job).recovery.lost_attempts == 0
    assert house.runner.load().running == 0


def test_a_job_that_is_handed_over_for_the_third_time_is_named_in_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = listening()
    house = House(made)
    job = house.submit(made)
    warnings = []
    for attempt in range(1, 4):
        if attempt > 1:
            house = House(made, storage=house.storage)
            house.take_up()
        eventually(lambda house=house, attempt=attempt: house.row(job).attempt == attempt)
        house.until_type(job, "job.started")
        house.runner.drain(finish_s=0.01, unwind_s=TIMEOUT_S)
        warnings.append("STREAMING_DRAIN_S" in caplog.text)

    assert warnings == [False, False, True]
    assert f"job {job} is handed over at attempt 3" in caplog.text


def test_a_drain_ends_a_job_that_is_not_to_start_over() -> None:
    made = listening()
    house = House(made)
    job = house.submit(made, on_break="fail")
    house.until_type(job, "job.started")

    house.runner.drain(finish_s=0.01, unwind_s=TIMEOUT_S)

    error = house.end(job).data["error"]
    assert (error["code"], error["retryable"]) == ("worker_lost", True)


def test_a_drain_leaves_queued_jobs_to_the_next_process(gate: Gate, held: Task) -> None:
    house = House(held, threads=1)
    running, queued = house.submit(held), house.submit(held)
    draining = Background(lambda: house.runner.drain(finish_s=TIMEOUT_S, unwind_s=0))
    eventually(lambda: house.runner.position(queued) is None)

    gate.open()
    draining.result()

    assert house.end(running).type == "job.completed"
    assert types(house.events(queued)) == ["job.queued"]


def test_a_draining_runner_takes_no_job(held: Task) -> None:
    house = House(held)
    house.runner.drain(finish_s=0, unwind_s=0)

    with pytest.raises(Unavailable) as refused:
        house.submit(held)

    assert refused.value.code == "draining"
    assert house.storage.index.list() == []


def test_a_drain_does_not_wait_for_what_does_not_listen(gate: Gate, held: Task) -> None:
    house = House(held)
    house.submit(held)
    eventually(lambda: gate.inside)

    Background(lambda: house.runner.drain(finish_s=0.01, unwind_s=0.05)).result()

    assert house.runner.load().running == 1


def test_a_stop_of_an_unknown_job_does_nothing(held: Task) -> None:
    assert House(held).runner.stop("job_unknown", Interrupted()) is False


def test_the_watcher_outlives_an_attempt_that_it_cannot_end(gate: Gate, held: Task) -> None:
    house = House(held, stop_grace_s=0.02)
    house.runner.start()
    deleted, late = house.submit(held), house.submit(held)
    eventually(lambda: gate.inside == 2)

    for job in (deleted, late):
        house.registry.cancel(house.row(job))
        if job == deleted:
            house.storage.index.remove(job, tombstone=False)

    assert house.end(late).type == "job.cancelled"
