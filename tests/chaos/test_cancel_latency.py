"""Cancels at random moments: the terminal event comes soon."""

from __future__ import annotations

import pytest
from rich.console import Console

from bench.cancel import measure, table_of
from tests.chaos.conftest import StartServer

pytestmark = pytest.mark.slow

#: Seconds from the request to the terminal event, for tasks that emit or check.
CONTRACT_S = 0.5


def test_a_hundred_cancels_reach_tasks_that_emit_or_check_in_time(
    start_server: StartServer, worker_class: str
) -> None:
    latencies = measure(start_server(worker_class), count=100, seed=0)
    Console().print(table_of(latencies, f"Cancel to terminal event, {worker_class}"))
    assert max(each.seconds for each in latencies) <= CONTRACT_S
