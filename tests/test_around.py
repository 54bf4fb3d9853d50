"""What the server enters round a task's code."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

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

    Attempt(job, dependencies, on_trial=False).run()

    assert said == [(what, job, threading.get_ident()) for what in ("enter", "run", "leave")]


@pytest.mark.parametrize("raised", [OSError("the pool is gone"), SystemExit(3)])
@pytest.mark.parametrize("fails", [False, True])
def test_what_leaving_it_raises_is_logged_once_and_changes_no_end(
    caplog: pytest.LogCaptureFixture, fails: bool, raised: BaseException
) -> None:
    seen: list[BaseException | None] = []

    @contextmanager
    def around(_: str) -> Iterator[None]:
        try:
            yield
        except LookupError as error:
            seen.append(error)
            raise raised from error
        raise raised

    @task("quick")
    def quick(ctx: JobContext, input: object) -> int:
        if fails:
            raise LookupError("no such thing")
        return 7

    made: Task = quick
    house = House(made)
    job, dependencies = house.store(made), replace(house.dependencies, around=around)

    Attempt(job, dependencies, on_trial=False).run()

    end = house.end(job)
    if fails:
        assert "LookupError" in end.data["error"]["detail"]
        assert [str(error) for error in seen] == ["no such thing"]
    else:
        assert (end.type, end.data["output"]) == ("job.completed", 7)
    told = [each for each in caplog.records if each.exc_info and each.exc_info[1] is raised]
    assert [each.levelno for each in told] == [logging.ERROR]
    assert job in told[0].getMessage()
