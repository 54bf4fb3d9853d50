"""The level: rises after five seconds, falls with hysteresis."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest
from hypothesis import given, strategies as st

from streaming.watching.pressure import BOUNDS, FALL_S, FRAME_GAP_S, RISE_S, TOP, Pressure, Signals
from tests.clocks import Clock

BUSY = Signals(queue=0.6)
FULL = Signals(queue=0.99)
CALM = Signals()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pressure(clock: Clock) -> Pressure:
    return Pressure(clock=clock)


def levels(pressure: Pressure, clock: Clock, signals: Signals, seconds: int) -> list[int]:
    """The level at each of so many seconds."""
    found = []
    for _ in range(seconds):
        pressure.look(signals)
        found.append(pressure.level)
        clock.advance(1)
    return found


def test_a_level_is_reached_after_five_seconds_and_not_before(
    pressure: Pressure, clock: Clock
) -> None:
    assert levels(pressure, clock, BUSY, 7) == [0, 0, 0, 0, 0, 1, 1]
    assert pressure.why == "queue"


def test_a_break_begins_the_five_seconds_anew(pressure: Pressure, clock: Clock) -> None:
    levels(pressure, clock, BUSY, 4)
    levels(pressure, clock, CALM, 1)

    assert levels(pressure, clock, BUSY, 5) == [0] * 5


def test_the_top_is_reached_at_once_after_five_seconds_above_its_bound(
    pressure: Pressure, clock: Clock
) -> None:
    assert levels(pressure, clock, FULL, 6) == [0, 0, 0, 0, 0, 3]


def test_it_falls_after_five_seconds_well_below(pressure: Pressure, clock: Clock) -> None:
    levels(pressure, clock, FULL, 6)

    assert levels(pressure, clock, CALM, 6) == [3] * 5 + [0]
    assert pressure.why == ""


def test_a_little_below_its_bound_it_stays(pressure: Pressure, clock: Clock) -> None:
    levels(pressure, clock, BUSY, 6)

    assert levels(pressure, clock, Signals(queue=0.45), 20) == [1] * 20
    assert levels(pressure, clock, Signals(queue=0.39), 6)[-1] == 0


def test_it_falls_to_the_level_that_still_holds(pressure: Pressure, clock: Clock) -> None:
    levels(pressure, clock, FULL, 6)

    assert levels(pressure, clock, Signals(queue=0.7), 6)[-1] == 2
    assert pressure.why == "queue"


def test_other_signals_may_take_over(pressure: Pressure, clock: Clock) -> None:
    levels(pressure, clock, FULL, 6)
    levels(pressure, clock, Signals(loop_lag_s=0.2), 6)

    assert (pressure.level, pressure.why) == (1, "loop_lag_s")


def test_computing_alone_refuses_nobody(pressure: Pressure, clock: Clock) -> None:
    assert max(levels(pressure, clock, Signals(cpu=1.0), 60)) == 2


def test_a_change_is_told_once(pressure: Pressure, clock: Clock) -> None:
    told = []
    for _ in range(10):
        told.append(pressure.look(BUSY))
        clock.advance(1)

    assert told.count(True) == 1


def test_how_far_one_reader_is_behind_raises_nothing(pressure: Pressure, clock: Clock) -> None:
    assert max(levels(pressure, clock, Signals(lag=10**6), 60)) == 0


def test_every_signal_has_rising_bounds_and_every_level_a_gap() -> None:
    assert {field.name for field in fields(Signals)} == BOUNDS.keys() | {"lag"}
    for bounds in BOUNDS.values():
        assert list(bounds) == sorted(bounds)
    assert len(FRAME_GAP_S) == TOP + 1
    assert (RISE_S, FALL_S) == (5, 5)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_the_level_changes_no_faster_than_the_signals_allow(queue: list[float]) -> None:
    clock = Clock()
    pressure = Pressure(clock=clock)
    changed_at = -math.inf
    for share in queue:
        before = pressure.level
        if pressure.look(Signals(queue=share)):
            rose = pressure.level > before
            assert rose or clock.now - changed_at >= FALL_S
            changed_at = clock.now
        clock.advance(1)
