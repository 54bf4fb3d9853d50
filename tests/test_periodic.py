"""Loops: they outlive their errors, come when woken, and are over once they are stopped."""

from __future__ import annotations

import threading

import pytest

from streaming.concurrency.periodic import Periodic
from streaming.errors import Unavailable
from tests.threads import Background, eventually

LONG_S = 3600.0


def test_it_looks_again_and_again() -> None:
    looks: list[str] = []
    loop = Periodic(lambda: looks.append(threading.current_thread().name), every_s=0.001, name="it")

    loop.start()

    eventually(lambda: len(looks) > 2)
    loop.stop()
    assert set(looks) == {"it"}


def test_a_wake_brings_the_next_look_also_one_before_the_thread_is_there() -> None:
    looks: list[int] = []
    loop = Periodic(lambda: looks.append(1), every_s=LONG_S, name="it")

    loop.wake()
    loop.start()
    eventually(lambda: len(looks) == 1)
    loop.wake()
    eventually(lambda: len(looks) == 2)
    loop.stop()


def test_wakes_that_come_together_are_one_look() -> None:
    looks: list[int] = []
    loop = Periodic(lambda: looks.append(1), every_s=LONG_S, gather_s=0.2, name="it")
    loop.start()

    for _ in range(50):
        loop.wake()

    eventually(lambda: looks)
    loop.stop()
    assert len(looks) == 1


@pytest.mark.parametrize("error", [Unavailable("away"), ValueError("a bug"), RecursionError()])
def test_an_error_ends_no_loop(error: Exception) -> None:
    looks: list[int] = []

    def look() -> None:
        looks.append(1)
        raise error

    loop = Periodic(look, every_s=0.001, name="it")
    loop.start()

    eventually(lambda: len(looks) > 2)
    assert not loop.dead
    loop.stop()


def test_a_look_says_when_the_next_one_comes() -> None:
    looks: list[int] = []

    def look() -> float:
        looks.append(1)
        return 0.001 if len(looks) < 3 else LONG_S

    loop = Periodic(look, every_s=LONG_S, at_once=True, name="it")
    loop.start()

    eventually(lambda: len(looks) == 3)
    loop.stop()
    assert len(looks) == 3


def test_once_it_is_stopped_no_look_is_under_way_and_none_comes() -> None:
    inside, gate = threading.Event(), threading.Event()
    looks: list[int] = []

    def look() -> None:
        inside.set()
        gate.wait(10)
        looks.append(1)

    loop = Periodic(look, every_s=0.001, name="it")
    loop.start()
    assert inside.wait(10)
    stopping = Background(loop.stop)
    assert not stopping.ends_within(0.05)
    gate.set()
    stopping.result()

    assert looks == [1]
    loop.wake()
    loop.stop()
    assert looks == [1]
    assert "it" not in [thread.name for thread in threading.enumerate()]
    assert not loop.dead


def test_one_that_was_never_started_is_stopped_at_once() -> None:
    Periodic(lambda: None, every_s=LONG_S, name="it").stop()


def test_a_loop_may_stop_itself() -> None:
    loops: list[Periodic] = []
    loops.append(Periodic(lambda: loops[0].stop(), every_s=0.001, name="it"))

    loops[0].start()

    eventually(lambda: "it" not in [thread.name for thread in threading.enumerate()])
