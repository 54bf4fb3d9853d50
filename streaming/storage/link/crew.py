"""Threads that answer calls which may block: as many as there are calls under way."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from streaming.concurrency.platform import native_lock
from streaming.concurrency.threads import Thread
from streaming.concurrency.waking import Waker, make_waker

logger = logging.getLogger(__name__)

#: Seconds after which a thread without a call ends.
IDLE_S = 10.0
#: Maximum threads; more calls wait for one.
THREADS = 512

Call = Callable[[], object]


class _Hand:
    """One thread, and what it is to do next."""

    def __init__(self, call: Call) -> None:
        self.call: Call | None = call
        self.waker: Waker | None = None


class Crew:
    """Calls begin at once, in any order. Owns its threads; they end when it is closed."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = native_lock()
        self._idle: list[_Hand] = []
        self._waiting: deque[Call] = deque()
        self._count = 0
        self._closed = False

    def give(self, call: Call) -> None:
        """Run it in a thread; after `close` nothing happens."""
        with self._lock:
            if self._closed:
                return
            hand = self._idle.pop() if self._idle else None
            if hand is not None:
                hand.call = call
            elif self._count >= THREADS:
                self._waiting.append(call)
                return
            else:
                self._count += 1
        if hand is not None:
            assert hand.waker is not None
            hand.waker.wake()
            return
        fresh = _Hand(call)
        Thread(lambda: self._work(fresh), name=self._name).start()

    def close(self) -> None:
        """Begin no more calls; those under way go on to their end."""
        with self._lock:
            self._closed = True
            self._waiting.clear()
            idle, self._idle = self._idle, []
        for hand in idle:
            if hand.waker is not None:
                hand.waker.wake()

    def _work(self, hand: _Hand) -> None:
        hand.waker = make_waker()
        while hand.call is not None:
            try:
                hand.call()
            except Exception:  # the top of a call: nobody else would report it
                logger.exception("a call over the link failed")
            hand.call = None
            if self._rest(hand):
                hand.waker.wait(IDLE_S)
                self._rise(hand)
        with self._lock:
            self._count -= 1

    def _rest(self, hand: _Hand) -> bool:
        """Whether the thread is to wait; else it has its next call, or is to end."""
        with self._lock:
            if self._closed:
                return False
            if self._waiting:
                hand.call = self._waiting.popleft()
                return False
            self._idle.append(hand)
            return True

    def _rise(self, hand: _Hand) -> None:
        with self._lock:
            if hand.call is None and hand in self._idle:
                self._idle.remove(hand)
