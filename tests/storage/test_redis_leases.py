"""Leases in Redis: one count over all processes, in order, and nothing kept by the dead."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from streaming.concurrency.waking import make_waker
from streaming.errors import NotFound, Unavailable
from streaming.storage.leases import Pool
from streaming.storage.redis import RedisStorage
from streaming.storage.redis.leases import RedisLeases
from tests.redis_server import KEYS, RedisServer
from tests.threads import TIMEOUT_S, Background, eventually, together

#: Seconds after which these tests' processes are gone.
GONE_S = 1.0
SIZES = {"gpu": 1}
NEEDS = {"gpu": 1}

Process = Callable[..., RedisLeases]


@pytest.fixture
def process(make_redis: Callable[..., RedisStorage]) -> Iterator[Process]:
    """The leases of another process, each time."""
    with contextlib.ExitStack() as stack:

        def start(sizes: Mapping[str, int] = SIZES, **options: float) -> RedisLeases:
            storage = make_redis(resources=sizes, **{"worker_timeout_s": GONE_S, **options})
            storage.open(timeout=1)
            stack.callback(storage.close)
            return storage.leases

        yield start


def acquire(leases: RedisLeases, job: str) -> float:
    """Wait until the job holds what it has requested; when that was."""
    waker = make_waker()
    while (position := leases.position(job)) > 0:
        leases.wait(job, position, TIMEOUT_S, waker)
    return time.monotonic()


def fall_silent(leases: RedisLeases) -> None:
    """As a process that is frozen: it says nothing, and does not know that."""
    leases.loop.stop()


def test_two_processes_share_a_pool(process: Process) -> None:
    here, there = process({"gpu": 2}), process({"gpu": 2})

    here.request("job_1", NEEDS)
    there.request("job_2", NEEDS)
    here.request("job_3", NEEDS)

    assert (here.position("job_1"), there.position("job_2")) == (0, 0)
    assert here.position("job_3") == 1
    for each in (here, there):
        assert each.pools() == {"gpu": Pool(total=2, taken=2, waiting=1)}


def test_what_one_process_gives_back_another_has_promptly(process: Process) -> None:
    here, there = process(worker_timeout_s=600), process(worker_timeout_s=600)
    here.request("job_1", NEEDS)
    there.request("job_2", NEEDS)
    waiting = Background(lambda: acquire(there, "job_2"))
    # It listens, and is told, not only looks: that would take seconds.
    assert not waiting.ends_within(0.2)

    given_back_at = time.monotonic()
    here.release("job_1")

    assert waiting.result() - given_back_at < 1


def test_jobs_of_all_processes_wait_in_the_order_of_their_ids(process: Process) -> None:
    one, two, three = process(), process(), process()
    one.request("job_1", NEEDS)
    three.request("job_4", NEEDS)
    two.request("job_3", NEEDS)
    one.request("job_2", NEEDS)

    places = [(one, "job_2", 1), (two, "job_3", 2), (three, "job_4", 3)]
    eventually(lambda: all(each.position(job) == place for each, job, place in places))
    one.release("job_1")

    assert one.position("job_2") == 0
    eventually(lambda: (two.position("job_3"), three.position("job_4")) == (1, 2))
    one.release("job_2")
    acquire(two, "job_3")
    assert three.pools()["gpu"] == Pool(total=1, taken=1, waiting=1)


def test_any_process_knows_the_place_of_a_job(process: Process) -> None:
    here, there = process(), process()
    here.request("job_1", NEEDS)
    here.request("job_2", NEEDS)

    assert (there.position("job_1"), there.position("job_2")) == (0, 1)
    with pytest.raises(NotFound):
        there.position("job_3")


def test_what_is_needed_together_is_given_together_over_processes(process: Process) -> None:
    sizes = {"gpu": 1, "license": 1}
    here, there = process(sizes), process(sizes)
    here.request("job_1", {"license": 1})
    there.request("job_2", {"gpu": 1, "license": 1})
    here.request("job_3", {"gpu": 1})

    assert here.pools()["gpu"] == Pool(total=1, taken=0, waiting=2)
    assert here.position("job_3") == 2
    here.release("job_1")

    acquire(there, "job_2")
    eventually(lambda: here.position("job_3") == 1)


HOLDER = """
import sys, threading
from streaming.storage.redis import RedisStorage

storage = RedisStorage(sys.argv[1], resources={"gpu": 1}, worker_timeout_s=float(sys.argv[2]))
storage.open(timeout=1)
storage.leases.request("job_1", {"gpu": 1})
print(storage.leases.position("job_1"), flush=True)
threading.Event().wait(60)
"""


def test_what_a_killed_process_held_is_free_after_the_time_out(
    process: Process, redis_server: RedisServer
) -> None:
    leases = process()
    command = [sys.executable, "-c", HOLDER, redis_server.url, str(GONE_S)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"0\n"
            leases.request("job_2", NEEDS)
            waiting = Background(lambda: acquire(leases, "job_2"))
            assert not waiting.ends_within(2 * GONE_S)  # it lives, and says so
        finally:
            holder.kill()
        killed_at = time.monotonic()

    assert waiting.result() - killed_at < GONE_S + 2
    assert leases.pools() == {"gpu": Pool(total=1, taken=1, waiting=0)}


def test_a_later_attempt_elsewhere_takes_over_what_the_job_holds(process: Process) -> None:
    first, second = process(), process()
    first.request("job_1", NEEDS)
    second.request("job_2", NEEDS)

    second.request("job_1", NEEDS)

    assert second.position("job_1") == 0
    assert second.pools() == {"gpu": Pool(total=1, taken=1, waiting=1)}
    first.release("job_1")  # the older attempt ends: what it had is not its own any more
    assert second.pools()["gpu"].taken == 1
    assert second.position("job_2") == 1
    second.release("job_1")
    assert second.position("job_2") == 0


def test_what_is_taken_over_was_never_free_for_others(process: Process) -> None:
    first, second = process(), process()
    first.request("job_1", NEEDS)
    first.request("job_0", NEEDS)

    second.request("job_1", NEEDS)

    assert second.position("job_1") == 0
    eventually(lambda: first.position("job_0") == 1)


def test_what_is_taken_over_does_not_count_twice_though_both_state_it(process: Process) -> None:
    first, second = process({"gpu": 2}), process({"gpu": 2})
    first.request("job_1", NEEDS)
    second.request("job_1", NEEDS)

    first.state()
    second.state()
    second.request("job_2", NEEDS)

    assert second.position("job_2") == 0


def test_an_older_attempt_that_still_waits_is_told_to_go(process: Process) -> None:
    first, second = process(), process()
    second.request("job_1", NEEDS)
    first.request("job_2", NEEDS)
    older = Background(lambda: acquire(first, "job_2"))
    assert not older.ends_within(0.05)

    second.request("job_2", NEEDS)

    with pytest.raises(NotFound):
        older.result(TIMEOUT_S / 4)
    assert second.position("job_2") == 1
    assert second.pools()["gpu"].waiting == 1


def test_a_later_attempt_that_needs_more_waits_for_it(process: Process) -> None:
    first, second = process({"gpu": 2}), process({"gpu": 2})
    first.request("job_1", NEEDS)
    first.request("job_0", NEEDS)

    second.request("job_1", {"gpu": 2})

    assert second.position("job_1") == 1
    assert second.pools()["gpu"] == Pool(total=2, taken=1, waiting=1)


def test_a_process_that_was_thought_to_be_gone_is_counted_again(process: Process) -> None:
    frozen, other = process(), process()
    frozen.request("job_1", NEEDS)
    fall_silent(frozen)
    other.request("job_2", NEEDS)
    acquire(other, "job_2")

    frozen.state()  # it goes on, and its job still uses what it had

    assert frozen.position("job_1") == 0
    assert other.pools()["gpu"] == Pool(total=1, taken=2, waiting=0)
    other.request("job_3", NEEDS)
    other.release("job_2")
    assert other.position("job_3") == 1
    frozen.release("job_1")
    acquire(other, "job_3")


def test_an_older_statement_that_comes_late_is_not_taken(
    process: Process, make_redis: Callable[..., RedisStorage]
) -> None:
    storage = make_redis()
    storage.open(timeout=1)
    twice = [RedisLeases(storage.link, KEYS, process="one", sizes=SIZES) for _ in range(2)]
    twice[0].request("job_1", NEEDS)
    twice[0].release("job_1")

    twice[1].request("job_1", NEEDS)  # as its first statement, now that the second is known

    assert process().pools()["gpu"].taken == 0
    storage.close()


def test_a_process_that_closes_gives_all_back(
    process: Process, make_redis: Callable[..., RedisStorage]
) -> None:
    leases, storage = process(), make_redis(resources=SIZES, worker_timeout_s=600)
    storage.open(timeout=1)
    storage.leases.request("job_1", NEEDS)
    leases.request("job_2", NEEDS)
    assert leases.position("job_2") == 1

    storage.close()

    Background(lambda: acquire(leases, "job_2")).result()


def test_a_process_without_the_setting_gives_no_more_than_there_is(process: Process) -> None:
    here, other = process(), process({})
    here.request("job_1", NEEDS)
    here.request("job_2", NEEDS)

    other.request("job_3", {"license": 1})

    assert here.pools()["gpu"] == Pool(total=1, taken=1, waiting=1)


def test_no_pool_is_overdrawn_by_processes_at_once_and_all_get_their_turn(
    process: Process,
) -> None:
    sizes = {"gpu": 2, "license": 1}
    processes = [process(sizes) for _ in range(3)]
    dice = random.Random(7)
    needs = [dice.choice([{"gpu": 1}, {"gpu": 2}, sizes, {"license": 1}]) for _ in range(30)]
    using = dict.fromkeys(sizes, 0)

    def work(number: int) -> None:
        leases, job = processes[number % 3], f"job_{number:02}"
        leases.request(job, needs[number])
        acquire(leases, job)
        for name, units in needs[number].items():
            using[name] += units
            assert using[name] <= sizes[name], job
        for name, units in needs[number].items():
            using[name] -= units
        leases.release(job)

    assert together([lambda n=n: work(n) for n in range(30)]) == [None] * 30
    assert processes[0].pools() == {n: Pool(size, 0, 0) for n, size in sizes.items()}


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of the test's own."""
    with RedisServer(tmp_path / "redis") as server:
        yield server


def own(server: RedisServer, **options: float) -> RedisStorage:
    storage = RedisStorage(server.url, resources=SIZES, **options)
    storage.open(timeout=1)
    return storage


def test_jobs_wait_on_while_redis_is_away(own_server: RedisServer) -> None:
    here, there = own(own_server), own(own_server)
    here.leases.request("job_1", NEEDS)
    there.leases.request("job_2", NEEDS)
    waiting = Background(lambda: acquire(there.leases, "job_2"))
    own_server.stop()

    here.leases.release("job_1")  # raises nothing, and is not forgotten
    here.leases.request("job_3", NEEDS)
    assert here.leases.position("job_3") > 0
    assert not waiting.ends_within(0.2)
    with pytest.raises(Unavailable):
        here.leases.pools()
    own_server.start()

    waiting.result(2 * TIMEOUT_S)
    eventually(lambda: here.leases.position("job_3") == 1)
    for each in (here, there):
        each.close()


def test_a_wait_gives_up_when_redis_stays_away(own_server: RedisServer) -> None:
    storage = own(own_server, patience_s=0.5)
    own_server.stop()
    storage.leases.request("job_1", NEEDS)

    def wait() -> None:
        waker = make_waker()
        while storage.leases.position("job_1"):
            storage.leases.wait("job_1", 1, 0.1, waker)

    with pytest.raises(Unavailable):
        Background(wait).result()
    storage.leases.release("job_1")
    storage.close()


def test_what_redis_has_lost_is_stated_again(own_server: RedisServer) -> None:
    storage = own(own_server, worker_timeout_s=GONE_S)
    storage.leases.request("job_1", NEEDS)
    storage.leases.request("job_2", NEEDS)

    with own_server.client() as client:
        client.flushall()

    with own_server.client() as client:
        eventually(lambda: client.exists("streaming:leases"))
    assert storage.leases.pools() == {"gpu": Pool(total=1, taken=1, waiting=1)}
    assert (storage.leases.position("job_1"), storage.leases.position("job_2")) == (0, 1)
    storage.close()
