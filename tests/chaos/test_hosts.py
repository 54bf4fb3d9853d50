"""Task hosts are killed with -9 among many jobs: the short form of `scripts/bench host`."""

from __future__ import annotations

import pytest

from bench.host import FAULTS, kill

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_nothing_is_lost_or_done_again_when_hosts_are_killed() -> None:
    found = kill(20, 5.0, seed=1)

    assert found["hosts killed"] >= 1
    assert {fault: found[fault] for fault in FAULTS} == dict.fromkeys(FAULTS, 0)
