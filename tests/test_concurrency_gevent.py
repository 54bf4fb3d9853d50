"""Real threads and greenlets together, in a process with gevent's patches."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.under_gevent import CHECKS

RUN = "from gevent import monkey; monkey.patch_all(); from tests.under_gevent import main; main()"


@pytest.fixture(scope="module")
def outcome() -> dict[str, str]:
    """What became of each check; all run in one process."""
    done = subprocess.run(
        [sys.executable, "-c", RUN], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", CHECKS)
def test_under_gevent(name: str, outcome: dict[str, str]) -> None:
    assert not outcome[name], outcome[name]
