"""Task hosts are killed with -9, a short form of `scripts/bench host`; what is left of them."""

from __future__ import annotations

from functools import partial

import psutil
import pytest

from bench.host import FAULTS, hosts_of, kill, serving
from tests.e2e.server import Server
from tests.e2e.test_any_code import assert_nothing_left
from tests.e2e.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

#: Hosts that come and go, and descriptors and threads of the server that may be others' meanwhile.
HOSTS, OTHERS = 20, 5
#: Seconds within which a host must be there, on a machine that does much besides.
HOST_S = 60.0


def test_nothing_is_lost_or_done_again_when_hosts_are_killed() -> None:
    found = kill(20, 5.0, seed=1)

    assert found["hosts killed"] >= 1
    assert {fault: found[fault] for fault in FAULTS} == dict.fromkeys(FAULTS, 0)


def is_replaced(server: Server, host: psutil.Process) -> bool:
    hosts = hosts_of(server)
    return len(hosts) == 1 and host not in hosts


def test_nothing_is_left_of_twenty_hosts_that_have_come_and_gone() -> None:
    with serving(1, 64) as server:
        (worker,) = server.workers()

        def run_job() -> None:
            job = server.api.submit("pacing", {"seconds": 0.1})
            assert server.api.finish(job, timeout_s=HOST_S)["status"] == "completed"

        run_job()
        before = worker.num_fds(), worker.num_threads()
        for _ in range(HOSTS):
            (host,) = hosts_of(server)
            host.kill()
            eventually(partial(is_replaced, server, host), "another takes its place", HOST_S)
            run_job()

        eventually(lambda: worker.num_fds() <= before[0] + OTHERS, "descriptors are closed")
        eventually(lambda: worker.num_threads() <= before[1] + OTHERS, "threads have ended", 20)
        assert len(hosts_of(server)) == 1
    assert_nothing_left(server)
