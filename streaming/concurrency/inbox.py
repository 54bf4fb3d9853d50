"""What a thread is given to do, in order. It takes what has gathered as one batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from streaming.concurrency.platform import native_lock
from streaming.concurrency.waking import Waker, make_waker
from streaming.errors import Closed, Unavailable

T = TypeVar("T")


class Inbox(Generic[T]):
    """Anyone gives; all else, `close` aside, is for the one thread that has opened it."""

    def __init__(self) -> None:
        self._lock = native_lock()
        self._given: deque[T] = deque()
        #: What the thread has taken over, and not into a batch yet.
        self._taken: deque[T] = deque()
        self._waker: Waker | None = None
        #: Whether the thread waits for something to be given, and is to be rung for.
        self.resting = False
        self.closed = False
        #: Whether the thread lets things gather, until somebody is in a hurry.
        self._gathering = False
        self._hurried = False
        #: Why it takes nothing, where its thread has ended by itself.
        self._broken = ""

    def __len__(self) -> int:
        """How many wait for the next batch."""
        return len(self._given) + len(self._taken)

    def give(self, item: T) -> None:
        """Have it done behind what was given before.

        `Closed` once the inbox is closed, `Unavailable` once its thread has ended by itself.
        """
        self.put(item)
        if self.resting:
            self.ring()

    def put(self, item: T) -> None:
        """`give` without waking the thread: whoever puts takes it himself, or calls `ring`."""
        with self._lock:
            if self._broken:
                raise Unavailable(self._broken, code="storage_away")
            if self.closed:
                raise Closed()
            self._given.append(item)

    def ring(self) -> None:
        """Wake the thread, if it rests: once, however many give before it runs."""
        if self.resting and self._waker is not None:
            self.resting = False
            self._waker.wake()

    def hurry(self) -> None:
        """Somebody waits for what has been given: let nothing more gather."""
        self._hurried = True
        if self._gathering and self._waker is not None:
            self._gathering = False
            self._waker.wake()

    def gather(self, seconds: float) -> bool:
        """Let things gather for so long; False when somebody is or comes to be in a hurry."""
        assert self._waker is not None
        self._gathering = True  # first, then the look: who is in a hurry later wakes
        try:
            if seconds > 0 and not self._hurried and not self.closed:
                self._waker.wait(seconds)
        finally:
            self._gathering = False
        return not self._hurried and not self.closed

    def close(self) -> None:
        """Take nothing more; what was given is still there."""
        with self._lock:
            self.closed = True
        self.ring()
        self.hurry()

    def abandon(self, why: str) -> list[T]:
        """The thread ends: what was given and not begun, and why nothing more is taken."""
        with self._lock:
            self._broken = "" if self.closed else why
            self.closed = True
            left = [*self._taken, *self._given]
            self._taken.clear()
            self._given.clear()
        return left

    def open(self) -> None:
        """The calling thread takes from now on."""
        self._waker = make_waker()

    def take(
        self, most: int, *, size: Callable[[T], int] | None = None, most_bytes: int = 0
    ) -> list[T] | None:
        """The next batch, perhaps empty; None when there is nothing and there will be nothing."""
        self._hurried = False  # before the look: who hurries behind it has given before it
        with self._lock:  # held for a moment only: whoever gives waits for it
            self._taken.extend(self._given)
            self._given.clear()
            if self.closed and not self._taken:
                return None
        batch: list[T] = []
        total = 0
        while self._taken and len(batch) < most and (size is None or total < most_bytes):
            batch.append(self._taken.popleft())
            if size is not None:
                total += size(batch[-1])
        return batch

    def put_back(self, items: Iterable[T]) -> None:
        """They go first in the next batch."""
        self._taken.extendleft(reversed(list(items)))

    def remove(self, unwanted: Callable[[T], bool]) -> list[T]:
        """Take out all of a kind."""
        with self._lock:
            self._taken.extend(self._given)
            self._given.clear()
        removed = [item for item in self._taken if unwanted(item)]
        self._taken = deque(item for item in self._taken if not unwanted(item))
        return removed

    def rest(self, seconds: float) -> bool:
        """Wait until something is given; False when nothing was."""
        assert self._waker is not None
        self.resting = True  # first, then the look: who gives later rings
        try:
            return bool(self._given) or self.closed or self._waker.wait(seconds)
        finally:
            self.resting = False

    def pause(self, seconds: float) -> None:
        """Wait, whatever is given meanwhile; not once it is closed."""
        assert self._waker is not None
        if not self.closed:
            self._waker.wait(seconds)
