"""Attempts in task hosts: how they end when no host has them, and in which order they wait."""

from __future__ import annotations

from typing import Any

import pytest

from streaming import Task, task
from streaming.errors import Cancelled, Interrupted, Stop, TimedOut
from streaming.running.host_attempt import HostedAttempt
from streaming.running.host_waiting import Waiting
from tests.house import House
from tests.jobs import started, step


class Nowhere:
    """There are no hosts."""

    def stop(self, attempt: HostedAttempt, reason: Stop) -> None:
        """Nothing runs that could be told."""


def quick() -> Task:
    return task("quick")(lambda ctx, input: "done")


def hosted(house: House, job: str, **options: Any) -> HostedAttempt:
    return HostedAttempt(
        job,
        make_attempt=house.attempt,
        storage=house.storage,
        snapshots=house.snapshots,
        home=Nowhere(),
        **options,
    )


def lost_its_host() -> tuple[House, HostedAttempt, list[str]]:
    """One whose first attempt was lost, and that waits for the next host; where `over` is noted."""
    made, noted = quick(), list[str]()
    house = House(made)
    job = house.store(made)
    house.storage.log.append(job, [started(1)])
    attempt = hosted(house, job)
    attempt.over = lambda: noted.append("over")
    return house, attempt, noted


@pytest.mark.parametrize(
    ("reason", "end", "code"),
    [(Cancelled(""), "job.cancelled", None), (TimedOut("too long"), "job.failed", "timed_out")],
)
def test_one_that_is_stopped_while_it_waits_for_a_host_ends_then_and_there(
    reason: Stop, end: str, code: str | None
) -> None:
    house, attempt, noted = lost_its_host()
    attempt.ask_to_stop(reason)

    attempt.conclude()

    last = house.end(attempt.job)
    assert (last.type, last.data.get("error", {}).get("code")) == (end, code)
    assert (noted, attempt.left) == (["over"], False)


def test_one_that_waits_while_the_server_leaves_is_left_to_a_later_attempt() -> None:
    house, attempt, noted = lost_its_host()
    attempt.ask_to_stop(Interrupted("the server is shutting down"))

    attempt.conclude()

    assert not house.row(attempt.job).closed
    assert (noted, attempt.left) == (["over"], True)


@pytest.mark.parametrize("completed", [False, True])
def test_two_deaths_without_a_step_completed_make_a_suspect(completed: bool) -> None:
    made = quick()
    house = House(made)
    job = house.store(made)
    between = [step("one", "running"), step("one", "completed")] if completed else []
    house.storage.log.append(job, [started(1), started(2), *between])
    attempt = hosted(house, job)

    attempt.deaths = 1
    assert not attempt.is_suspect()
    attempt.deaths = 2
    assert attempt.is_suspect() is not completed


def test_who_has_lost_a_host_is_the_next_and_who_waits_alone_waits_apart() -> None:
    made = quick()
    house, waiting = House(made), Waiting()
    first, second, back = (hosted(house, house.store(made)) for _ in range(3))
    alone = hosted(house, house.store(made), alone=True)
    for each in (first, alone, second):
        waiting.put(each)
    waiting.put_back(back)

    assert waiting.take(alone=False) is back
    assert (waiting.count(alone=False), waiting.count(alone=True)) == (2, 1)
    second.ask_to_stop(Cancelled(""))
    alone.ask_to_stop(Cancelled(""))
    assert waiting.take_stopped() == [second, alone]
    assert waiting.take_all() == [first]
    assert waiting.take(alone=True) is None
