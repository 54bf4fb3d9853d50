"""The soak of bench/soak.py in its short form."""

from __future__ import annotations

import pytest
from rich.console import Console

from bench.soak import Plan, failures, soak

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]


def test_readers_that_are_cut_and_a_kill_of_everything_lose_and_repeat_nothing(
    worker_class: str,
) -> None:
    plan = Plan(jobs=20, cuts=60, worker_class=worker_class, bursts=3, pause_s=0.7)
    assert failures(plan, soak(plan, console=Console(stderr=True))) == []
