"""Waiting for a condition, with a time-out that fails."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: Seconds that a test waits for what must come: a machine under load is no fault.
PATIENCE_S = 30.0
#: Seconds between two looks, at first and later on: a look may be a request.
LOOK_S = 0.02, 0.1


def eventually(condition: Callable[[], T], what: str, timeout_s: float = PATIENCE_S) -> T:
    """The first true value of `condition`; `AssertionError` when there is none in time."""
    until = time.monotonic() + timeout_s
    pause, longest = LOOK_S
    while not (value := condition()):
        assert time.monotonic() < until, f"not within {timeout_s} s: {what}"
        time.sleep(pause)
        pause = min(1.2 * pause, longest)
    return value
