"""The signal that stops a running task: cancel, time-out, shutdown, or a refusal by the log."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator

from streaming.concurrency.locks import Latch
from streaming.concurrency.platform import current, native_lock, pause
from streaming.concurrency.waking import Waker, make_waker
from streaming.errors import Stop

logger = logging.getLogger(__name__)

#: How often, and for how many seconds, a task is unwound before it counts as one that goes on in
#: spite of it: what tidies up may be unwound itself.
SWALLOWED, SWALLOWED_S = 3, 0.2


class StopSignal:
    """Set once, from any thread; the task's own thread checks it, sleeps on it, and is unwound."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = native_lock()
        self._latch = Latch()
        #: Of the task's own thread, from its first sleep on; each token of a model is one.
        self._sleeper: tuple[object, Waker] | None = None
        self._callbacks: list[Callable[[], object]] = []
        self.reason: Stop | None = None
        #: On `clock`: when it was set.
        self.set_at: float | None = None
        self._raised = 0

    def set(self, reason: Stop) -> bool:
        """Stop the task; whether this was the first reason. Runs the `closing` calls."""
        with self._lock:
            if self.reason is not None:
                return False
            self.reason, self.set_at = reason, self._clock()
            callbacks, self._callbacks = self._callbacks, []
        self._latch.open()
        if self._sleeper is not None:
            self._sleeper[1].wake()
        for call in callbacks:
            _run(call)
        return True

    def check(self) -> None:
        """Raise the reason, when there is one."""
        if self.reason is not None:
            if self._raised:  # swallowed before: at least let others run
                pause()
            self._raised += 1
            raise self.reason.with_traceback(None)

    @property
    def swallowed(self) -> bool:
        """Whether the task has caught the stop again and again, and goes on."""
        if self.set_at is None or self._raised < SWALLOWED:
            return False
        return self._clock() - self.set_at > SWALLOWED_S

    def sleep(self, seconds: float) -> None:
        """Sleep; a stop ends it at once."""
        if seconds > 0:
            self._wait(seconds)
        else:
            pause()
        self.check()

    def _wait(self, seconds: float) -> None:
        me = current()
        if self._sleeper is None:
            self._sleeper = me, make_waker()
        owner, waker = self._sleeper
        if owner != me:  # a thread that the task has begun
            self._latch.wait(seconds)
        elif self.reason is None:  # looked at last: who sets it later wakes
            waker.wait(seconds)

    @contextlib.contextmanager
    def closing(self, call: Callable[[], object]) -> Iterator[None]:
        """Within the block, a stop runs `call`, which closes what the task waits for."""
        with self._lock:
            stopped = self.reason is not None
            if not stopped:
                self._callbacks.append(call)
        if stopped:
            _run(call)
        try:
            yield
        finally:
            with self._lock:
                if call in self._callbacks:
                    self._callbacks.remove(call)


def _run(call: Callable[[], object]) -> None:
    try:
        call()
    except Exception:  # the next call must run as well
        logger.exception("closing after a stop failed")
