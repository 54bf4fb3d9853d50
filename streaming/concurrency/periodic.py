"""A thread that looks again and again, until it is stopped."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from streaming.concurrency.locks import Latch
from streaming.concurrency.threads import Thread
from streaming.concurrency.waking import Waker, make_waker
from streaming.errors import StreamingError

logger = logging.getLogger(__name__)

#: Seconds for which `stop` waits for the look that is under way.
END_S = 10.0
#: Seconds between two log lines about looks that go on failing in the same way.
SAY_S = 60.0


class Periodic:
    """Calls `look` in a real thread of its own, at intervals and whenever it is woken.

    A look that fails is logged, and the next one comes in its time: the thread outlives every
    error. Once `stop` has returned, no look runs and none will.
    """

    def __init__(
        self,
        look: Callable[[], float | None],
        *,
        every_s: float,
        name: str,
        gather_s: float = 0.0,
        at_once: bool = False,
    ) -> None:
        """`look` may return the seconds until the next one, else it is `every_s`.

        `gather_s`: seconds between a wake and its look, in which others may join it. `at_once`:
        the first look comes at the start. `name` is the thread's, and what log lines say.
        """
        self._look = look
        self._every_s = every_s
        self._gather_s = gather_s
        self._at_once = at_once
        self._ending = Latch()
        self._waker: Waker | None = None
        #: Woken before there was a waker.
        self._rung = False
        #: What the last look failed with, and when that was said.
        self._failing: tuple[type[Exception], float] | None = None
        self._thread = Thread(self._work, name=name)

    @property
    def name(self) -> str:
        return self._thread.name

    @property
    def dead(self) -> bool:
        """Whether the thread has ended although nobody has stopped it."""
        return self._thread.dead

    def start(self) -> None:
        """`Unavailable` when the system gives no thread."""
        self._thread.start()

    def wake(self) -> None:
        """Have it look now; from any thread, never blocks."""
        self._rung = True
        if self._waker is not None:
            self._waker.wake()

    def stop(self) -> None:
        """End it, and wait for the look that is under way. Again, or before the start: nothing."""
        self._ending.open()
        self.wake()
        if not self._thread.join(END_S):
            logger.warning("%s: its last look is still under way", self.name)

    def _work(self) -> None:
        self._waker = waker = make_waker()
        wait_s = 0.0 if self._at_once else self._every_s
        while not self._ending.is_open:
            if not self._rung:
                waker.wait(wait_s)
            if self._gather_s and self._ending.wait(self._gather_s):
                return
            self._rung = False
            if not self._ending.is_open:
                wait_s = self._look_once()

    def _look_once(self) -> float:
        """One look, whatever comes of it; the seconds until the next."""
        try:
            wait_s = self._look()
        except StreamingError as error:  # storage is away, as a rule
            self._say(error, "%s has to wait: %s")
        except Exception as error:  # noqa: BLE001 - whatever it was, the next look must come
            self._say(error, "%s: a look failed: %s", traceback=True)
        else:
            self._failing = None
            return self._every_s if wait_s is None else wait_s
        return self._every_s

    def _say(self, error: Exception, text: str, *, traceback: bool = False) -> None:
        now = time.monotonic()
        kind, said_at = self._failing or (None, 0.0)
        if kind is type(error) and now - said_at < SAY_S:
            return
        self._failing = (type(error), now)
        level = logging.ERROR if traceback else logging.WARNING
        logger.log(level, text, self.name, error, exc_info=error if traceback else None)
