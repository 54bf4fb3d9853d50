"""The chaos of bench/chaos.py in its short form: several processes, everything breaks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.chaos import Trouble, failures, under_trouble, with_failover

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.parametrize("run", [under_trouble, with_failover], ids=["trouble", "failover"])
def test_a_deployment_on_redis_loses_and_repeats_nothing_whatever_breaks(
    run: Callable[[Trouble, Path], tuple[dict[str, int], list[str]]], tmp_path: Path
) -> None:
    plan = Trouble(jobs=24, cuts=80, trouble_s=20, bursts=4, pause_s=0.6)

    figures, remarks = run(plan, tmp_path)

    assert failures(plan, figures) == [], remarks
