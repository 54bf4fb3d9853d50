"""Leases: pools of scarce things, waited for in order. One suite for all implementations."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Mapping

import pytest
from hypothesis import given, strategies as st

from streaming.concurrency.waking import make_waker
from streaming.errors import NotFound
from streaming.storage.base import Storage
from streaming.storage.leases import Leases, LocalLeases, Pool
from streaming.storage.memory import MemoryStorage
from tests.links import LinkedStorage
from tests.threads import Background

Make = Callable[[Mapping[str, int]], Leases]


@pytest.fixture(params=["local", "link", pytest.param("redis", marks=pytest.mark.server)])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Leases on pools of these sizes."""
    if request.param == "local":
        yield LocalLeases
        return
    with contextlib.ExitStack() as stack:

        def make_one(sizes: Mapping[str, int]) -> Leases:
            if request.param == "link":
                storage: Storage = LinkedStorage(MemoryStorage(resources=sizes))
            else:
                storage = request.getfixturevalue("make_redis")(resources=sizes)
            storage.open(timeout=1)
            stack.callback(storage.close)
            return storage.leases

        yield make_one


def positions(leases: Leases, *jobs: str) -> list[int]:
    return [leases.position(job) for job in jobs]


def test_what_is_free_is_given_at_once(make: Make) -> None:
    leases = make({"gpu": 2})

    leases.request("job_1", {"gpu": 1})
    leases.request("job_2", {"gpu": 1})

    assert positions(leases, "job_1", "job_2") == [0, 0]
    assert leases.pools() == {"gpu": Pool(total=2, taken=2, waiting=0)}


def test_the_others_wait_in_the_order_of_their_ids(make: Make) -> None:
    leases = make({"gpu": 1})
    for job in ("job_1", "job_3", "job_2"):
        leases.request(job, {"gpu": 1})

    assert positions(leases, "job_1", "job_2", "job_3") == [0, 1, 2]
    leases.release("job_1")
    assert positions(leases, "job_2", "job_3") == [0, 1]


def test_several_pools_are_given_together(make: Make) -> None:
    leases = make({"gpu": 1, "license": 1})
    leases.request("job_1", {"license": 1})
    leases.request("job_2", {"gpu": 1, "license": 1})

    assert leases.position("job_2") == 1
    assert leases.pools()["gpu"].taken == 0
    leases.release("job_1")
    assert leases.position("job_2") == 0


def test_nobody_is_passed_over_in_a_pool_that_it_waits_for(make: Make) -> None:
    leases = make({"gpu": 2, "license": 1})
    leases.request("job_1", {"gpu": 1})
    leases.request("job_2", {"gpu": 2})
    leases.request("job_3", {"gpu": 1})
    leases.request("job_4", {"license": 1})

    assert positions(leases, "job_1", "job_2", "job_3", "job_4") == [0, 1, 2, 0]


def test_a_request_made_again_changes_nothing(make: Make) -> None:
    leases = make({"gpu": 1})
    for _ in range(2):
        leases.request("job_1", {"gpu": 1})
        leases.request("job_2", {"gpu": 1})

    assert leases.pools()["gpu"] == Pool(total=1, taken=1, waiting=1)


def test_who_waits_may_go_away(make: Make) -> None:
    leases = make({"gpu": 1})
    for job in ("job_1", "job_2", "job_3"):
        leases.request(job, {"gpu": 1})

    leases.release("job_2")

    assert leases.position("job_3") == 1
    with pytest.raises(NotFound):
        leases.position("job_2")


def test_a_release_of_what_is_not_held_does_nothing(make: Make) -> None:
    leases = make({"gpu": 1})
    leases.request("job_1", {"gpu": 1})

    leases.release("job_2")
    leases.release("job_1")
    leases.release("job_1")

    assert leases.pools()["gpu"] == Pool(total=1, taken=0, waiting=0)


def test_more_than_there_is_is_refused(make: Make) -> None:
    with pytest.raises(ValueError, match="3 units of gpu"):
        make({"gpu": 2}).request("job_1", {"gpu": 3})


def test_a_pool_that_nobody_declared_has_no_limit(make: Make) -> None:
    leases = make({})

    for job in ("job_1", "job_2"):
        leases.request(job, {"gpu": 5})

    assert positions(leases, "job_1", "job_2") == [0, 0]


def test_a_wait_ends_with_a_change_of_the_position(make: Make) -> None:
    leases = make({"gpu": 1})
    leases.request("job_1", {"gpu": 1})
    leases.request("job_2", {"gpu": 1})
    waiting = Background(lambda: leases.wait("job_2", 1, 10, make_waker()))
    assert not waiting.ends_within(0.05)

    leases.release("job_1")

    assert waiting.ends_within(5)


def test_a_wait_ends_at_once_when_the_position_is_another(make: Make) -> None:
    leases = make({"gpu": 1})
    leases.request("job_1", {"gpu": 1})

    assert Background(lambda: leases.wait("job_1", 1, 10, make_waker())).ends_within(1)


@given(st.randoms(use_true_random=False))
def test_no_pool_is_ever_overdrawn_and_all_get_their_turn(dice: random.Random) -> None:
    sizes = {"gpu": 2, "license": 1}
    leases = LocalLeases(sizes)
    needs = {
        f"job_{n:02}": {
            name: dice.randint(1, size) for name, size in sizes.items() if dice.random() > 0.4
        }
        for n in range(12)
    }
    served: list[str] = []
    open_jobs = [job for job in needs if needs[job]]
    dice.shuffle(open_jobs)
    for job in open_jobs:
        leases.request(job, needs[job])
    while open_jobs:
        holders = [job for job in open_jobs if leases.position(job) == 0]
        assert holders
        for name, pool in leases.pools().items():
            assert pool.taken == sum(needs[job].get(name, 0) for job in holders) <= sizes[name]
        done = dice.choice(holders)
        leases.release(done)
        served.append(done)
        open_jobs.remove(done)
    assert sorted(served) == sorted(job for job in needs if needs[job])
