"""The crowd of bench/endurance.py in its short form."""

from __future__ import annotations

import pytest

from bench import endurance
from bench.subjects import KEY, Ours
from tests.chaos.conftest import StartServer

pytestmark = pytest.mark.slow


def test_jobs_and_readers_that_come_and_go_lose_and_repeat_nothing(
    start_server: StartServer, worker_class: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("TOKENS", 20), ("RAMP_S", 1.0), ("STAYS_S", (0.1, 0.8))):
        monkeypatch.setattr(endurance, name, value)
    server = start_server(worker_class, STREAMING_TASKS="bench.speed_tasks", STREAMING_API_KEYS=KEY)
    crowd = endurance.Crowd(Ours(server), 20, seed=1)

    crowd.run(6)
    crowd.close()

    assert not +crowd.faults
    assert crowd.figures["jobs"] > 20
    assert crowd.figures["cuts"] > 40
