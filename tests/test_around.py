"""What the server enters round a task's code."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from streaming import JobContext, Task, task
from streaming.running.attempt import Attempt
from tests.house import House


def test_a_task_runs_within_what_is_entered_round_it_in_its_own_thread() -> None:
    said: list[tuple[str, str, int]] = []

    @contextmanager
    def around(job: str) -> Iterator[None]:
        said.append(("enter", job, threading.get_ident()))
        yield
        said.append(("leave", job, threading.get_ident()))

    @task("quick")
    def quick(ctx: JobContext, input: object) -> None:
        said.append(("run", ctx.job, threading.get_ident()))

    made: Task = quick
    house = House(made)
    job, dependencies = house.store(made), replace(house.dependencies, around=around)

    Attempt(job, dependencies).run()

    assert said == [(what, job, threading.get_ident()) for what in ("enter", "run", "leave")]
