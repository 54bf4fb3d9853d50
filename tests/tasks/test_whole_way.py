"""Every task, stopped and cancelled at one event after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from streaming.errors import Cancelled, Interrupted
from streaming.running.task import Task
from streaming.tasks.agent import agent
from streaming.tasks.analyze import analyze
from streaming.tasks.files import files
from streaming.tasks.generate import generate
from streaming.tasks.report import report
from streaming.tasks.train import train
from tests.tasks.conftest import Bench

SALES = b"month,revenue\n2024-01,100\n2024-02,120\n2024-03,140\n"


@dataclass(frozen=True)
class Case:
    """A task, what it is asked, and from how many events to the next it is stopped."""

    task: Task
    input: dict[str, Any] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    stride: int = 1

    def bench(self) -> Bench:
        job = Bench(self.task, self.input)
        for file, content in self.uploads.items():
            job.upload(file, content, name=f"{file}.txt")
        return job


CASES = [
    Case(generate, {"prompt": "x", "max_tokens": 20, "tokens_per_s": 0}),
    Case(report, {"csv": SALES.decode(), "tokens_per_s": 0}, stride=3),
    Case(
        agent,
        {"question": "Is cancel 2*3 or the mean of revenue?", "table": "file_t", "tokens_per_s": 0},
        {"file_t": SALES},
        stride=3,
    ),
    Case(analyze, {"file": "file_a"}, {"file_a": SALES}, stride=8),
    Case(train, {"epochs": 3}, stride=2),
    Case(files, {"files": ["file_a", "file_none", "file_b"]}, {"file_a": b"a b", "file_b": b"\0"}),
]


@dataclass(frozen=True)
class Whole:
    """A job of a case that nothing has disturbed."""

    case: Case
    job: Bench
    output: Any
    #: The lengths of the log at which others are stopped: from its start to its end.
    stops: range


@pytest.fixture(scope="module", params=CASES, ids=[case.task.name for case in CASES])
def whole(request: pytest.FixtureRequest) -> Whole:
    case: Case = request.param
    job = case.bench()
    begun = job.state.seq + 1 + len(case.task.steps)
    output = job.run()
    return Whole(case, job, output, range(begun + 1, job.state.seq + 1, case.stride))


def test_a_task_that_was_cut_short_anywhere_ends_as_if_it_had_not_been(whole: Whole) -> None:
    for at in whole.stops:
        job = whole.case.bench()
        stopped = run_until_stopped(lambda job=job, at=at: job.run(stop_at=at))

        assert job.run() == whole.output, (at, stopped)
        assert job.state.texts == whole.job.state.texts
        assert artifacts(job) == artifacts(whole.job)
        assert_steps_completed_once(job)


def test_a_cancel_anywhere_ends_the_task(whole: Whole) -> None:
    for at in whole.stops:
        job = whole.case.bench()

        cut = run_until_stopped(lambda job=job, at=at: job.run(stop_at=at, reason=Cancelled()))

        assert job.state.seq == job.log.stopped_at
        # One that comes with the last events finds a task that has done all.
        assert cut == (job.state.seq < whole.job.state.seq), at


def run_until_stopped(run: Callable[[], Any]) -> bool:
    try:
        run()
    except (Interrupted, Cancelled):
        return True
    return False


def artifacts(job: Bench) -> dict[str, bytes]:
    return {name: job.artifact(name) for name in job.state.summary.artifacts}


def assert_steps_completed_once(job: Bench) -> None:
    done = [step["id"] for step in job.data("step.updated") if step["status"] == "completed"]
    assert len(set(done)) == len(done)
