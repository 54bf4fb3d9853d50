"""A result that a thread is working on, for whoever waits for it."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Generic, TypeVar, cast

from streaming.concurrency.waking import Wakeable, make_waker, wake_all
from streaming.errors import StreamingError

T_co = TypeVar("T_co", covariant=True)


class Pending(Generic[T_co]):
    """A result under way; settled once. One thread or greenlet may wait for it."""

    __slots__ = ("done", "error", "value", "waker")

    def __init__(self) -> None:
        #: Whether the value or the error is there.
        self.done = False
        self.error: BaseException | None = None
        self.value: T_co | None = None
        #: Of whoever waits, or wants to be told.
        self.waker: Wakeable | None = None

    def result(self) -> T_co:
        """Wait for the value, or raise the error."""
        self.wait()
        self.check()
        return cast(T_co, self.value)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it is settled, `timeout_s` at most; whether it is."""
        if not self.done:
            until = None if timeout_s is None else time.monotonic() + timeout_s
            self.waker = waker = make_waker()
            self.hurry()
            while not self.done:
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    break
                waker.wait(left)
        return self.done

    def hurry(self) -> None:
        """Somebody is about to wait for it: whoever settles it may have taken his time."""

    def check(self) -> None:
        """Raise the error, if there is one; each time one of its own."""
        if isinstance(self.error, StreamingError):
            raise self.error.again() from self.error
        if self.error is not None:
            raise self.error


def settle(pending: Collection[Pending[object]]) -> None:
    """Values and errors are in their places: have those who wait go on."""
    for each in pending:
        each.done = True
    wake_all([each.waker for each in pending if each.waker is not None])
