"""Wakers, latches, mutexes and threads, in plain Python."""

from __future__ import annotations

import logging
import sys
import threading
import time
from types import FrameType

import pytest

from streaming.concurrency import loop, platform
from streaming.concurrency.locks import Latch, Mutex
from streaming.concurrency.threads import Thread, offload
from streaming.concurrency.waking import Waker, make_waker, wake_all
from tests.threads import TIMEOUT_S, Background, eventually, together

LONG_S = 10 * TIMEOUT_S


def sleeper(wakers: list[Waker]) -> Background[bool]:
    """A thread that waits on a waker of its own."""

    def wait() -> bool:
        waker = make_waker()
        wakers.append(waker)
        return waker.wait(LONG_S)

    return Background(wait)


def test_a_wake_ends_a_wait() -> None:
    wakers: list[Waker] = []
    thread = sleeper(wakers)

    eventually(lambda: wakers)[0].wake()

    assert thread.result()


def test_a_wake_is_kept_until_a_wait_takes_it() -> None:
    waker = make_waker()
    for _ in range(3):
        waker.wake()

    assert waker.wait(LONG_S)
    assert not waker.wait(0)


def test_a_wait_without_a_wake_takes_its_time() -> None:
    began = time.monotonic()

    assert not make_waker().wait(0.02)

    assert time.monotonic() - began >= 0.019


def test_a_time_that_is_over_is_no_time() -> None:
    waker = make_waker()

    assert not waker.wait(-5)
    waker.wake()
    assert waker.wait(-5)


def test_all_are_woken_together() -> None:
    wakers: list[Waker] = []
    threads = [sleeper(wakers) for _ in range(20)]
    eventually(lambda: len(wakers) == 20)

    wake_all(wakers)

    assert all(thread.result() for thread in threads)


def test_wakes_of_many_threads_at_once_are_one() -> None:
    waker = make_waker()

    together([waker.wake] * 8)

    assert waker.wait(0)
    assert not waker.wait(0)


def test_a_latch_lets_all_go_on_when_it_opens() -> None:
    latch = Latch()
    waiting = [Background(latch.wait, LONG_S) for _ in range(50)]
    eventually(lambda: latch.waiting == 50)

    latch.open()
    latch.open()

    assert all(thread.result() for thread in waiting)


def test_a_latch_that_is_open_holds_nobody_up() -> None:
    latch = Latch()
    assert not latch.is_open

    latch.open()

    assert latch.is_open
    assert latch.wait(LONG_S)
    assert latch.wait()


def test_who_waits_in_vain_is_told_and_forgotten() -> None:
    latch = Latch()

    assert not latch.wait(0.001)
    assert not latch.wait(0)

    assert latch.waiting == 0


def test_no_opening_is_missed() -> None:
    for _ in range(200):
        latch = Latch()
        assert together([latch.open, lambda latch=latch: latch.wait(LONG_S)])[1] is True


def test_a_mutex_is_held_by_one_thread_at_a_time() -> None:
    mutex, inside, most = Mutex(), [0], [0]

    def work() -> None:
        for _ in range(100):
            with mutex:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                inside[0] -= 1

    together([work] * 8)

    assert (inside, most) == ([0], [1])


def test_a_mutex_is_handed_over_first_come_first_served() -> None:
    mutex, order = Mutex(), []

    def take(number: int) -> None:
        with mutex:
            order.append(number)

    with mutex:
        threads = []
        for number in range(10):
            threads.append(Background(take, number))
            eventually(lambda: mutex.waiting == len(threads))
    for thread in threads:
        thread.result()

    assert order == list(range(10))


def test_who_comes_again_does_not_overtake_those_who_wait() -> None:
    mutex, order = Mutex(), []

    def take() -> None:
        with mutex:
            order.append("who waited")

    with mutex:
        waiting = Background(take)
        eventually(lambda: mutex.waiting)
    with mutex:
        order.append("who came again")
    waiting.result()

    assert order == ["who waited", "who came again"]


def test_a_mutex_that_becomes_free_between_a_look_and_the_queue_is_taken() -> None:
    mutex, left = Mutex(), []
    mutex.__enter__()

    def leave(frame: FrameType, event: str, _: object) -> None:
        """Its holder goes when the other one has found it held, and nobody knows of him yet."""
        if frame.f_code is make_waker.__code__ and event == "call":
            left.append(mutex.waiting)
            mutex.__exit__()

    def take() -> None:
        sys.setprofile(leave)  # of this thread alone
        with mutex:
            sys.setprofile(None)

    Background(take).result()

    assert left == [0]


def test_an_error_gives_a_mutex_back() -> None:
    mutex = Mutex()
    with pytest.raises(ZeroDivisionError), mutex:
        raise ZeroDivisionError

    with mutex:
        pass


def test_a_thread_runs_under_its_name_and_ends() -> None:
    names: list[str] = []
    go_on = Latch()

    def run() -> None:
        names.append(threading.current_thread().name)
        go_on.wait(TIMEOUT_S)

    thread = Thread(run, name="job-42").start()
    assert not thread.join(0.001)
    assert thread.alive

    go_on.open()

    assert thread.join(TIMEOUT_S)
    assert not thread.alive
    assert names == ["job-42"]


def test_an_error_in_a_thread_is_logged_by_its_name(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert Thread(lambda: 1 / 0, name="job-43").start().join(TIMEOUT_S)

    assert "job-43" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_without_an_event_loop_calls_run_where_they_are() -> None:
    assert offload(threading.get_ident) == threading.get_ident()
    assert not platform.patched()
    assert not platform.in_greenlet()
    assert not loop.spawn_greenlet(lambda: None)
