"""The signal that stops a task."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time

import pytest

from streaming.concurrency.stop_signal import StopSignal
from streaming.errors import Cancelled, TimedOut
from tests.threads import TIMEOUT_S, Background, together


def test_a_task_that_is_not_stopped_goes_on() -> None:
    stop = StopSignal()

    stop.check()
    stop.sleep(0.001)

    assert stop.reason is None


def test_a_stopped_task_is_unwound_by_its_reason() -> None:
    stop, reason = StopSignal(), Cancelled("enough")

    assert stop.set(reason)

    with pytest.raises(Cancelled, match="enough") as raised:
        stop.check()
    assert raised.value is reason


def test_the_first_reason_counts() -> None:
    stop = StopSignal()
    stop.set(TimedOut("first"))

    assert not stop.set(Cancelled("second"))

    with pytest.raises(TimedOut):
        stop.check()


def test_of_many_reasons_at_once_one_is_the_first() -> None:
    stop, called = StopSignal(), []

    with stop.closing(lambda: called.append(1)):
        firsts = together([lambda: stop.set(Cancelled())] * 8)

    assert firsts.count(True) == 1
    assert called == [1]


def test_a_stop_ends_a_sleep() -> None:
    stop = StopSignal()
    sleeper = Background(stop.sleep, 10 * TIMEOUT_S)

    stop.set(Cancelled())

    with pytest.raises(Cancelled):
        sleeper.result()


def test_a_stop_ends_the_sleep_of_each_thread_of_a_task() -> None:
    stop = StopSignal()
    stop.sleep(0.001)  # the first to sleep is the task's own thread
    sleepers = [Background(stop.sleep, 10 * TIMEOUT_S) for _ in range(3)]

    stop.set(Cancelled())

    for sleeper in sleepers:
        with pytest.raises(Cancelled):
            sleeper.result()


def test_a_stop_between_two_sleeps_is_not_slept_over() -> None:
    stop = StopSignal()
    stop.sleep(0.001)
    stop.set(Cancelled())

    for _ in range(2):  # the first was swallowed
        with pytest.raises(Cancelled):
            stop.sleep(10 * TIMEOUT_S)


def test_code_that_swallows_its_stop_again_and_again_lets_others_run() -> None:
    stop, done = StopSignal(), threading.Event()
    stop.set(Cancelled())
    until = time.monotonic() + TIMEOUT_S

    def swallow() -> None:
        while not done.is_set() and time.monotonic() < until:
            with contextlib.suppress(Cancelled):
                stop.check()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(10 * TIMEOUT_S)  # nobody is made to let others run
    try:
        swallowing = Background(swallow)
        done.set()
        in_time = time.monotonic() < until
        swallowing.result()
    finally:
        sys.setswitchinterval(interval)

    assert in_time


def test_a_sleep_of_a_stopped_task_does_not_begin() -> None:
    stop = StopSignal()
    stop.set(Cancelled())

    with pytest.raises(Cancelled):
        stop.sleep(10 * TIMEOUT_S)


def test_a_stop_closes_what_the_task_waits_for_once() -> None:
    stop, closed = StopSignal(), []

    with stop.closing(lambda: closed.append("outer")), stop.closing(lambda: closed.append("inner")):
        stop.set(Cancelled())
        stop.set(Cancelled())

    assert sorted(closed) == ["inner", "outer"]


def test_what_is_closed_already_is_left_alone() -> None:
    stop, closed = StopSignal(), []
    with stop.closing(lambda: closed.append(1)):
        pass

    stop.set(Cancelled())

    assert closed == []


def test_what_is_opened_after_the_stop_is_closed_at_once() -> None:
    stop, closed = StopSignal(), []
    stop.set(Cancelled())

    with stop.closing(lambda: closed.append(1)):
        assert closed == [1]


def test_a_closing_that_fails_does_not_keep_the_others_from_it() -> None:
    stop, closed = StopSignal(), []

    with stop.closing(lambda: 1 / 0), stop.closing(lambda: closed.append(1)):
        assert stop.set(Cancelled())

    assert closed == [1]


#: The next collection comes while the stop looks at the calls of its 100 threads, and lets go of a
#: thread-local value.
COLLECTED = """
import gc, threading
from streaming.concurrency.stop_signal import StopSignal
from streaming.errors import Cancelled
from streaming.running.closing import http_ends_with

class Ring:
    def __init__(self):
        self.itself, self.local = self, threading.local()
        self.local.held = True

over = threading.Event()
for _ in range(100):
    threading.Thread(target=over.wait).start()
stop = StopSignal()
with http_ends_with(stop):
    gc.collect()
    gc.disable()
    Ring()
    gc.set_threshold(gc.get_count()[0] + 50)
    gc.enable()
    stop.set(Cancelled())
over.set()
print(gc.isenabled())
"""


def test_a_collection_of_garbage_does_not_hang_a_stop() -> None:
    command = [sys.executable, "-c", COLLECTED]

    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    assert done.stdout == "True\n", done.stderr
