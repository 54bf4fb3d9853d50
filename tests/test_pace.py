"""The pace of a stream: rests between frames, and what is left out."""

from __future__ import annotations

import pytest

from streaming.events.event import Event
from streaming.watching.cursor import Delivery
from streaming.watching.pace import FULL_S, Pace, thinned
from streaming.watching.pressure import Pressure
from tests.clocks import Clock
from tests.jobs import delta, progress


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pressure(clock: Clock) -> Pressure:
    return Pressure(clock=clock)


@pytest.fixture
def pace(pressure: Pressure, clock: Clock) -> Pace:
    return Pace(pressure, clock=clock)


def send(pace: Pace, clock: Clock, *, takes_s: float = 0.0, caught_up: bool = True) -> None:
    began = clock.now
    clock.advance(takes_s)
    pace.sent(began=began, caught_up=caught_up)


@pytest.mark.parametrize(("level", "gap_s"), [(0, 0.0), (1, 0.1), (2, 0.5), (3, 0.5)])
def test_a_live_reader_rests_between_frames(
    pressure: Pressure, pace: Pace, clock: Clock, level: int, gap_s: float
) -> None:
    pressure.level = level
    send(pace, clock)

    assert pace.rest_s() == pytest.approx(gap_s)
    clock.advance(gap_s)
    assert pace.rest_s() <= 1e-9
    assert pace.level == level


def test_who_catches_up_need_not_rest(pressure: Pressure, pace: Pace, clock: Clock) -> None:
    pressure.level = 2
    assert pace.rest_s() == 0

    send(pace, clock, caught_up=False)

    assert pace.rest_s() == 0


def test_a_live_reader_whose_socket_is_full_for_long_is_thinned(pace: Pace, clock: Clock) -> None:
    send(pace, clock)
    send(pace, clock, takes_s=FULL_S + 0.1, caught_up=False)
    assert pace.level == 2
    send(pace, clock, caught_up=False)
    assert pace.level == 2

    send(pace, clock)

    assert pace.level == 0


def test_a_replay_is_never_thinned_however_slow(pace: Pace, clock: Clock) -> None:
    send(pace, clock, takes_s=60, caught_up=False)
    send(pace, clock, takes_s=60, caught_up=False)

    assert pace.level == 0


def deliveries(job: str, first: int, *drafts: object) -> list[Delivery]:
    events = [Event.of(job, first + n, draft) for n, draft in enumerate(drafts)]  # type: ignore[arg-type]
    return [Delivery(job, event.seq, event) for event in events]


def test_jobs_and_what_lies_between_them_are_kept_apart() -> None:
    gap = Delivery("a", 4, kind="stream.gap", data={"from": 3, "to": 4})
    found = [
        *deliveries("a", 1, delta("x"), delta("y")),
        gap,
        *deliveries("a", 5, delta("z"), delta("!")),
        *deliveries("b", 8, delta("x"), progress(1), delta("y"), progress(2)),
    ]

    given = thinned(found, {"a": 0, "b": 7}, 2)

    assert [(each.job, each.since, each.position) for each in given] == [
        ("a", 1, 2),
        ("a", None, 4),
        ("a", 5, 6),
        ("b", 8, 10),
        ("b", None, 11),
    ]
    assert given[1] is gap


def test_at_level_0_nothing_is_changed_and_at_1_nothing_is_skipped() -> None:
    found = deliveries("a", 1, delta("x"), delta("y"), progress(1), progress(2))

    assert thinned(found, {"a": 0}, 0) is found
    assert [each.position for each in thinned(found, {"a": 0}, 1)] == [2, 3, 4]
