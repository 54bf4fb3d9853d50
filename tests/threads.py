"""Real threads for tests, and waiting for a condition with a time-out that fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

T = TypeVar("T")

#: Seconds after which a test that waits has failed.
TIMEOUT_S = 10.0
#: Seconds between two looks at a condition.
LOOK_S = 0.002


class Background(Generic[T]):
    """A call in a thread of its own; `result` gives what it returned or raises what it raised."""

    def __init__(self, call: Callable[..., T], *args: Any) -> None:
        self._value: T
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(call, args), daemon=True)
        self._thread.start()

    def ends_within(self, seconds: float) -> bool:
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def result(self, timeout_s: float = TIMEOUT_S) -> T:
        self._thread.join(timeout_s)
        assert not self._thread.is_alive(), f"the call has not returned within {timeout_s} s"
        if self._error is not None:
            raise self._error
        return self._value

    def _run(self, call: Callable[..., T], args: tuple[Any, ...]) -> None:
        try:
            self._value = call(*args)
        except BaseException as error:  # noqa: BLE001 - `result` raises it
            self._error = error


def together(calls: Sequence[Callable[[], T]]) -> list[T | Exception]:
    """What the calls return or raise, made at the same moment from a thread each."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], T]) -> T | Exception:
        barrier.wait(TIMEOUT_S)
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            return error

    return [each.result() for each in [Background(run, call) for call in calls]]


def eventually(condition: Callable[[], T], timeout_s: float = TIMEOUT_S) -> T:
    """The first true value of `condition`; `AssertionError` when there is none in time."""
    until, pause = time.monotonic() + timeout_s, threading.Event()
    while not (value := condition()):
        assert time.monotonic() < until, f"not within {timeout_s} s"
        pause.wait(LOOK_S)
    return value
