"""What the tests have computed in a child process; it must be importable there."""

from __future__ import annotations

import os
import time
from pathlib import Path

from streaming.errors import TaskError


def divide(a: int, *, by: int) -> tuple[float, int]:
    """The quotient, and the process that has computed it."""
    return a / by, os.getpid()


def fail() -> None:
    raise TaskError("in the child", code="in_child", line=3)


def die() -> None:
    os._exit(3)


def hang(marker: str) -> None:
    """Say which process hangs, then compute for ever."""
    Path(marker).write_text(str(os.getpid()))
    while True:
        time.sleep(0)
