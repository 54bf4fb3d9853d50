"""`scripts/bench protocols` in a short form."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.e2e.server import ROOT


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_clients_that_are_cut_killed_and_drained_lose_nothing() -> None:
    few = ["--cuts", "4", "--kills", "1", "--hang-ups", "10", "--retries", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "bench.protocols", *few],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
    )

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
