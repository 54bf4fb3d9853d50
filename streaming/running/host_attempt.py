"""An attempt that runs in a task host, as the serving process knows it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol

from streaming.concurrency.stop_signal import StopSignal
from streaming.errors import Interrupted, LogRefusal, NotFound, Stop, Unavailable
from streaming.events import make
from streaming.events.recovery import SUSPICIOUS
from streaming.running.attempt import Attempt
from streaming.storage.base import Storage
from streaming.storage.rows import JobRow
from streaming.storage.snapshots import Snapshots

logger = logging.getLogger(__name__)

#: Seconds by which a host that answers is left to end a job by itself when its time is over.
MARGIN_S = 1.0
#: Seconds between looks at a running time that is nearly over.
LOOK_S = 0.5


class Home(Protocol):
    """What runs attempts elsewhere."""

    def stop(self, attempt: HostedAttempt, reason: Stop) -> None:
        """Have it unwound if it runs; end it if it has not begun."""


class HostedAttempt:
    """Its deadline, its stop, and its end over a host that does not answer.

    The host appends everything else. `over` is called once, when nothing runs there any more.
    """

    def __init__(
        self,
        job: str,
        *,
        make_attempt: Callable[[str, bool], Attempt],
        storage: Storage,
        snapshots: Snapshots,
        home: Home,
        alone: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.job = job
        #: Whether it is to have a host of its own, as it may kill it.
        self.alone = alone
        #: How many hosts have died under it.
        self.deaths = 0
        self.stop = StopSignal(clock=clock)
        #: Over without an end of the job: a later attempt is to go on.
        self.left = False
        #: Called when it is over.
        self.over: Callable[[], object] = lambda: None
        #: Called when no host can run it, and it is to run in this process.
        self.fall_back: Callable[[], object] = lambda: None
        self._make_attempt = make_attempt
        self._storage = storage
        self._snapshots = snapshots
        self._home = home
        self._clock = clock
        self._timeout_s = 0.0
        #: The attempt's number before the host has begun.
        self._before = 0
        #: On `clock`: when the running time is to be looked at; None before it is placed.
        self._look_at: float | None = None

    def place(self) -> bool:
        """A host is about to run it; False when there is nothing to run."""
        row = self.row()
        if row is None or row.closed:
            return False
        self._before = row.attempt
        self._timeout_s = float(row.options.get("timeout_s", 3600.0))
        # What an earlier attempt has used of it, only the fold knows.
        self._look_at = self._clock() + (MARGIN_S if row.attempt else self._timeout_s + MARGIN_S)
        return True

    def ask_to_stop(self, reason: Stop) -> None:
        """Unwind the task; from any thread."""
        if self.stop.set(reason):
            self._home.stop(self, reason)

    def overdue(self) -> bool:
        """Whether its running time is over, and the host has not said so."""
        if self._look_at is None or self._clock() < self._look_at:
            return False
        state = self._snapshots.state(self.job)
        left = self._timeout_s + MARGIN_S - state.recovery.ran_s(time.time())
        self._look_at = self._clock() + max(left, LOOK_S)
        return left <= 0

    def end(self) -> None:
        """Append the terminal event over the head of a host that does not."""
        reason, row = self.stop.reason, self.row()
        if reason is None or row is None or row.closed:
            return
        ending = self._make_attempt(self.job, False)
        ending.stop.set(reason)
        ending.end()

    def lose(self, *, blame: str | None, innocent: bool) -> None:
        """Its host is gone. Say so in the log where that is to be known.

        `blame` says how the process ended in which the job ran alone; an `innocent` job loses no
        attempt by it.
        """
        row = self.row()
        if row is None or row.closed or row.attempt == self._before:
            return
        if blame is not None:
            said = make.log(f"its process died ({blame})", level="error", lost_alone=True)
        elif innocent:
            message = "its task host was replaced; a later attempt goes on"
            said = make.log(message, handed_over=True)
        else:
            return
        try:
            self._storage.log.append(
                self.job, [said], expect={"attempt": [row.attempt]}, patient=False
            )
        except (LogRefusal, NotFound, Unavailable) as error:
            logger.warning("job %s: %s", self.job, error.detail)

    def conclude(self) -> None:
        """It was told to stop, and nothing of it runs: end the job, or leave it to a later one."""
        if isinstance(self.stop.reason, Interrupted):
            self.left = True
        else:
            try:
                self.end()
            except (LogRefusal, NotFound) as error:
                logger.info("job %s: %s", self.job, error.detail)
            except Unavailable as error:
                logger.warning("job %s is left to a later attempt: %s", self.job, error.detail)
                self.left = True
        self.over()

    def is_suspect(self) -> bool:
        """Whether hosts have died under it again and again, without a step completed."""
        if self.alone or self.deaths < SUSPICIOUS:
            return self.alone
        try:
            return self._snapshots.state(self.job).recovery.lost_attempts >= SUSPICIOUS
        except (NotFound, Unavailable):  # removed; or it is not known, and is asked again
            return False

    def row(self) -> JobRow | None:
        return self._storage.index.get(self.job)
