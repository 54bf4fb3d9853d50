"""Jobs that tasks in a host submit: another process queues them and looks after them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streaming import Task, TooMany, task
from streaming.jobs.registry import JobRegistry
from streaming.jobs.request import Request
from streaming.running.host_submits import LinkRunner, runner_methods
from streaming.storage.rows import JobRow
from streaming.storage.snapshots import Snapshots
from tests.gate import Gate
from tests.house import House
from tests.jobs import OWNER
from tests.links import LinkedStorage
from tests.threads import eventually

made: Task = task("quick")(lambda ctx, input: input["n"] * 2)


class Host:
    """The registry of a process whose jobs the house runs."""

    def __init__(self, house: House) -> None:
        self.accepted: list[JobRow] = []
        self.storage = LinkedStorage(house.storage)
        methods = runner_methods(house.runner, house.storage, self.accepted.append)
        self.storage.add_served(methods)
        self.storage.open(timeout=1)
        self.runner = LinkRunner(self.storage.peer)
        self.registry = JobRegistry(
            storage=self.storage,
            snapshots=Snapshots(self.storage.log, self.storage.index),
            tasks=house.tasks,
            runner=self.runner,
            retention_s=1000.0,
            max_event_bytes=64 * 1024,
        )


@pytest.fixture
def house(held: Task) -> House:
    return House(made, held, threads=1, queue=1)


@pytest.fixture
def host(house: House) -> Iterator[Host]:
    host = Host(house)
    yield host
    host.storage.close()


def test_a_job_that_a_host_submits_runs_and_is_looked_after(house: House, host: Host) -> None:
    row, new = host.registry.submit(OWNER, Request("quick", {"n": 4}))

    assert new
    assert house.end(row.id).data["output"] == 8
    assert [each.id for each in host.accepted] == [row.id]


def test_the_limits_of_the_serving_process_count(house: House, host: Host, gate: Gate) -> None:
    first, second = (host.registry.submit(OWNER, Request("held", {}))[0] for _ in range(2))
    eventually(lambda: gate.inside == 1)

    with pytest.raises(TooMany):
        host.registry.submit(OWNER, Request("held", {}))

    load = host.runner.load()
    assert (load.running, load.queued) == (1, 1)
    assert host.runner.position(second.id) == 1
    assert host.runner.knows(first.id)


def test_a_host_cancels_a_job_that_waits(house: House, host: Host, gate: Gate) -> None:
    rows = [host.registry.submit(OWNER, Request("held", {}))[0] for _ in range(2)]
    eventually(lambda: gate.inside == 1)

    host.registry.cancel(rows[1])

    assert house.end(rows[1].id).type == "job.cancelled"
