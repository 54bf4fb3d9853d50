"""Progress: a percentage that never falls, and the time that is left, with a hand-moved clock."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from streaming.running.progress import INTERVAL_S, Progress, Reading
from tests.clocks import Clock


def progress(steps: int = 1, done: int = 0) -> tuple[Progress, Clock]:
    clock = Clock()
    return Progress(steps, done, clock=clock), clock


def read(reading: Reading | None) -> Reading:
    assert reading is not None
    return reading


def test_counted_units_of_one_step_are_measured() -> None:
    counter, clock = progress()
    clock.advance(10)

    reading = read(counter.count(25, 100, "reading"))

    assert (reading.percent, reading.eta_s, reading.basis) == (25, 30, "measured")
    assert reading.data()["message"] == "reading"


def test_steps_count_alike_and_that_is_an_estimate() -> None:
    counter, clock = progress(steps=4)
    clock.advance(10)

    reading = read(counter.count(1, 2, None))

    assert (reading.percent, reading.basis) == (12.5, "estimated")
    assert reading.eta_s == 70


def test_a_completed_step_counts_whole() -> None:
    counter, clock = progress(steps=2)
    counter.count(1, 10, None)
    clock.advance(5)

    assert read(counter.step_completed()).percent == 50
    assert read(counter.step_completed()).percent == 100


def test_what_earlier_attempts_did_counts_in_the_percentage_not_in_the_rate() -> None:
    counter, clock = progress(steps=4, done=2)
    clock.advance(10)

    reading = read(counter.step_completed())

    assert (reading.percent, reading.eta_s) == (75, 10)


def test_nobody_knows_the_rest_before_anything_is_done() -> None:
    counter, _ = progress()

    assert read(counter.count(0, 100, None)).eta_s is None


def test_small_changes_wait_for_their_time() -> None:
    counter, clock = progress()
    counter.count(10, 1000, None)

    assert counter.count(11, 1000, None) is None
    clock.advance(INTERVAL_S)
    assert read(counter.count(12, 1000, None)).percent == 1.2


def test_a_large_change_and_the_end_are_told_at_once() -> None:
    counter, _ = progress()
    counter.count(10, 100, None)

    assert read(counter.count(20, 100, None)).percent == 20
    assert counter.count(22, 100, None) is None
    assert read(counter.count(100, 100, None)).percent == 100


def test_a_new_message_is_told_at_once() -> None:
    counter, _ = progress()
    counter.count(10, 100, "first")

    assert counter.count(10, 100, "first") is None
    assert read(counter.count(10, 100, "second")).message == "second"


def test_nothing_new_is_told_once() -> None:
    counter, clock = progress()
    counter.count(10, 100, None)
    clock.advance(60)

    assert counter.count(10, 100, None) is None


def test_a_task_may_count_beyond_its_end_or_without_one() -> None:
    counter, _ = progress()

    assert read(counter.count(5, 0, None)).percent == 0
    assert read(counter.count(250, 100, None)).percent == 100
    assert counter.count(-3, 100, None) is None


@given(
    st.integers(1, 5),
    st.lists(st.tuples(st.integers(-5, 120), st.integers(-1, 100), st.booleans()), max_size=30),
)
def test_the_percentage_never_falls_and_stays_in_its_bounds(
    steps: int, counts: list[tuple[int, int, bool]]
) -> None:
    counter, clock = progress(steps)
    shown = [0.0]
    for done, total, completed in counts:
        clock.advance(1)
        reading = counter.step_completed() if completed else counter.count(done, total, None)
        if reading is not None:
            shown.append(reading.percent)
            assert reading.eta_s is None or reading.eta_s >= 0

    assert shown == sorted(shown)
    assert shown[-1] <= 100
