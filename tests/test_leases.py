"""Jobs that need leases: held while they run, given back whatever way they end."""

from __future__ import annotations

from typing import Any

import pytest

from streaming import JobContext, task
from streaming.storage.leases import Pool
from streaming.storage.memory import MemoryStorage
from tests.clocks import Clock
from tests.e2e.waiting import eventually
from tests.gate import Gate
from tests.house import House
from tests.threads import TIMEOUT_S

FREE = Pool(total=1, taken=0, waiting=0)


def house_of(*tasks: Any, **given: Any) -> House:
    return House(*tasks, storage=MemoryStorage(resources={"gpu": 1}), **given)


def gated(gate: Gate, **options: Any) -> Any:
    @task("gated", needs={"gpu": 1}, **options)
    def gated(ctx: JobContext, input: dict[str, Any]) -> None:
        """Hold a gpu until the gate opens."""
        ctx.text("begun")
        while not gate.is_open:
            ctx.sleep(0.005)

    return gated


def one_behind_the_other(house: House, **options: Any) -> tuple[str, str]:
    """A job that holds the gpu, and one that was submitted later and waits for it.

    Of two that are submitted at once, either may come first to ask for it.
    """
    holding = house.submit("gated", **options)
    house.until(holding, lambda event: '"state":"held"' in event.json.decode())
    waiting = house.submit("gated", **options)
    house.until(waiting, lambda event: '"state":"waiting"' in event.json.decode())
    return holding, waiting


def told(house: House, job: str) -> list[Any]:
    """State and position, as the log tells them."""
    logs = [data["leases"][0] for data in house.data(job, "log") if "leases" in data]
    return [(lease["state"], lease["position"]) for lease in logs]


def test_a_job_waits_for_its_turn_and_is_told_its_place(gate: Gate) -> None:
    house = house_of(gated(gate))
    jobs = []
    for place in range(3):
        jobs.append(house.submit("gated"))
        eventually(lambda: told(house, jobs[-1]), "its place is told")
        assert told(house, jobs[-1])[0][1] == place

    assert house.state(jobs[0]).public()["leases"] == [
        {"resource": "gpu", "units": 1, "state": "held", "position": 0}
    ]
    house.registry.cancel(house.row(jobs[0]))
    eventually(lambda: told(house, jobs[2])[-1] == ("waiting", 1), "the last has moved up")
    gate.open()

    for job in jobs[1:]:
        assert house.end(job).type == "job.completed"
        assert house.state(job).public()["leases"] == []
    assert told(house, jobs[2]) == [("waiting", 2), ("waiting", 1), ("held", 0)]
    assert house.storage.leases.pools()["gpu"] == FREE


@task("breaking", needs={"gpu": 1})
def breaking(ctx: JobContext, input: dict[str, Any]) -> None:
    """Fail while it holds a gpu."""
    raise RuntimeError("broken")


def test_a_failed_job_gives_its_lease_back() -> None:
    house = house_of(breaking)

    job = house.run(breaking)

    assert house.end(job).type == "job.failed"
    assert house.storage.leases.pools()["gpu"] == FREE


def test_a_cancelled_job_gives_its_lease_back_also_while_it_waits(gate: Gate) -> None:
    house = house_of(gated(gate))
    holding, waiting = one_behind_the_other(house)

    for job in (waiting, holding):
        house.registry.cancel(house.row(job))
        assert house.end(job).type == "job.cancelled"

    eventually(lambda: house.storage.leases.pools()["gpu"] == FREE, "all is given back")


def test_a_job_whose_time_is_over_gives_its_lease_back_and_waiting_does_not_count(
    gate: Gate,
) -> None:
    clock = Clock()
    house = house_of(gated(gate), clock=clock)
    holding, waiting = one_behind_the_other(house, timeout_s=50)

    clock.advance(100)
    house.runner.start()

    assert house.end(holding).data["error"]["code"] == "timed_out"
    house.until_type(waiting, "text.delta")
    gate.open()
    assert house.end(waiting).type == "job.completed"


def test_a_lease_is_taken_anew_by_a_later_attempt(gate: Gate) -> None:
    first = house_of(gated(gate))
    job = first.submit("gated")
    first.until_type(job, "text.delta")
    first.registry.drain(finish_s=0, unwind_s=TIMEOUT_S)
    assert first.storage.leases.pools()["gpu"] == FREE
    gate.open()

    second = House(gated(gate), storage=first.storage)
    second.take_up()

    assert second.end(job).type == "job.completed"
    assert told(second, job) == [("held", 0), ("held", 0)]


def test_a_task_that_needs_more_than_there_is_fails_and_says_so() -> None:
    @task("greedy", needs={"gpu": 2})
    def greedy(ctx: JobContext, input: dict[str, Any]) -> None:
        """Never runs."""

    house = house_of(greedy)

    job = house.run(greedy)

    assert house.end(job).data["error"]["code"] == "resource_too_small"


def test_a_task_needs_one_unit_or_more() -> None:
    with pytest.raises(ValueError, match="less than one"):
        task("bad", needs={"gpu": 0})
