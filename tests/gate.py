"""Tasks that are held up until the test lets them go, and tasks that wait for ever."""

from __future__ import annotations

import threading
from typing import Any

from streaming import JobContext, Task, task
from tests.threads import TIMEOUT_S


class Gate:
    """Holds jobs up, as code does that cannot be woken; it counts those who have come."""

    def __init__(self) -> None:
        self._opened = threading.Event()
        self._lock = threading.Lock()
        self.inside = self.most = self.come = 0

    @property
    def is_open(self) -> bool:
        return self._opened.is_set()

    def open(self) -> None:
        self._opened.set()

    def wait(self) -> None:
        with self._lock:
            self.inside += 1
            self.come += 1
            self.most = max(self.most, self.inside)
        self._opened.wait(3 * TIMEOUT_S)
        with self._lock:
            self.inside -= 1


def held_at(gate: Gate) -> Task:
    """A task that runs until the gate opens, and listens to nobody."""

    @task("held")
    def held(ctx: JobContext, input: Any) -> str:
        gate.wait()
        return "let go"

    return held


def listening(name: str = "listens") -> Task:
    """A task that would run for ever, and is unwound by a stop."""

    @task(name)
    def listens(ctx: JobContext, input: Any) -> None:
        while True:
            ctx.sleep(60)

    return listens
