from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streaming.concurrency.stop_signal import StopSignal
from streaming.errors import Cancelled, InvalidInput
from streaming.tasks.monitor import MAX_FED, Fed, monitor
from tests.e2e.waiting import eventually
from tests.tasks.conftest import Bench
from tests.threads import Background

Make = Callable[..., Bench]


class Running:
    """A monitor in a thread."""

    def __init__(self, job: Bench) -> None:
        self.job, self.stop = job, StopSignal()
        self.thread = Background(self._run)

    def _run(self) -> None:
        with pytest.raises(Cancelled):
            self.job.run(stop=self.stop)

    def end(self) -> None:
        self.stop.set(Cancelled())
        assert self.thread.ends_within(10)


@pytest.fixture
def run() -> Any:
    running: list[Running] = []

    def start(job: Bench) -> Running:
        running.append(Running(job))
        return running[-1]

    yield start
    for each in running:
        each.end()


def figures(job: Bench, name: str) -> list[float]:
    return [m["value"] for m in job.data("metric") if m["name"] == name]


def test_it_tells_the_figures_of_the_machine_again_and_again(bench: Make, run: Any) -> None:
    job = bench(monitor, interval_s=0.1)

    run(job)

    eventually(lambda: len(figures(job, "cpu")) >= 3, "three looks")
    assert {"memory", "disk", "load", "network_in"} <= {m["name"] for m in job.data("metric")}
    assert all(0 <= value <= 100 for value in figures(job, "memory"))


def test_what_a_client_feeds_in_is_told_and_judged(bench: Make, run: Any) -> None:
    rules = [{"name": "orders_low", "metric": "orders", "below": 10, "clear": 20}]
    job = bench(monitor, interval_s=3600, rules=rules)
    run(job)
    eventually(lambda: figures(job, "cpu"), "the first look")

    for value in (30, 5, 15, 25):
        job.feed({"name": "orders", "value": value, "labels": {"shop": "a"}})

    eventually(lambda: len(job.data("alert")) == 2, "fired and resolved")
    assert [(a["state"], a["value"]) for a in job.data("alert")] == [
        ("firing", 5),
        ("resolved", 25),
    ]
    assert figures(job, "orders") == [30, 5, 15, 25]


def test_a_late_viewer_finds_the_last_figures_in_the_snapshot(bench: Make, run: Any) -> None:
    job = bench(monitor, interval_s=0.1)
    run(job).job.feed({"name": "orders", "value": 3.0, "unit": "1"})

    eventually(lambda: figures(job, "orders"), "it was told")
    names = [metric["name"] for metric in job.state.public()["metrics"]]
    assert {"cpu", "orders"} <= set(names)


def test_an_alert_goes_on_after_a_restart_and_is_not_raised_again(bench: Make, run: Any) -> None:
    rules = [{"name": "low", "metric": "orders", "below": 10}]
    job = bench(monitor, interval_s=3600, rules=rules)
    first = run(job)
    job.feed({"name": "orders", "value": 1})
    eventually(lambda: len(job.data("alert")) == 1, "it fires")
    first.end()

    run(job)
    job.feed({"name": "orders", "value": 2})
    job.feed({"name": "orders", "value": 30})

    eventually(lambda: len(job.data("alert")) == 2, "it is resolved")
    assert [a["state"] for a in job.data("alert")] == ["firing", "resolved"]
    assert figures(job, "orders") == [1, 2, 30]


def test_figures_without_end_are_left_out(bench: Make, run: Any) -> None:
    job = bench(monitor, interval_s=3600)
    run(job)

    for number in (*range(MAX_FED + 1), 0):
        job.feed({"name": f"figure_{number}", "value": 1})

    eventually(lambda: len(figures(job, "figure_0")) == 2, "the known ones come through")
    assert len(figures(job, f"figure_{MAX_FED - 1}")) == 1
    assert figures(job, f"figure_{MAX_FED}") == []
    assert len(job.data("log")) == 1


@pytest.mark.parametrize(
    "data",
    [None, 5, {}, {"name": "x"}, {"name": "", "value": 1}, {"name": "x", "value": "many"}],
)
def test_what_is_no_figure_is_refused(data: Any) -> None:
    with pytest.raises(InvalidInput):
        monitor.check_fed(data)

    assert Fed(name="x", value=1).value == 1


@pytest.mark.parametrize(
    "given",
    [
        {"interval_s": 0},
        {"rules": [{"name": "x", "metric": "cpu"}]},
        {"rules": [{"name": "x", "metric": "cpu", "above": 1}] * 2},
    ],
)
def test_a_bad_input_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        monitor.validate(given)
