"""Finds cancels that other processes have written into the logs of jobs that run here.

Cancels by this process reach its runner directly (`JobRegistry.cancel`). Either way, the task is
stopped by its `StopSignal`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from streaming.concurrency.periodic import Periodic
from streaming.concurrency.platform import native_lock
from streaming.errors import Cancelled, NotFound, Stop, Superseded, Unavailable
from streaming.running.threads import ThreadRunner
from streaming.storage.base import EventLog, Live

logger = logging.getLogger(__name__)

#: Seconds between two checks of all logs; a change of one is noticed sooner.
LOOK_S = 2.0
#: Seconds from a log's change to its check, so that several changes share one.
GATHER_S = 0.01
#: Events read at once in search of a cancel's reason.
EVENTS = 500


@dataclass(eq=False, slots=True)
class _Watched:
    """A job that is about to run here, or runs; woken when its log has changed."""

    job: str
    #: Where its log ended when that was decided.
    after: int
    moved: Callable[[_Watched], None]
    live: Live | None = None
    #: The reason of its cancel, once known.
    reason: str | None = None

    def wake(self) -> None:
        self.moved(self)


class StopWatch:
    """Watches the logs of a runner's jobs, and stops the jobs that are to end."""

    def __init__(self, log: EventLog, runner: ThreadRunner) -> None:
        self._log = log
        self._runner = runner
        self._lock = native_lock()
        self._watched: dict[str, _Watched] = {}
        #: Those whose logs have changed since the last check.
        self._news: set[_Watched] = set()
        self._loop = Periodic(self.look, every_s=LOOK_S, gather_s=GATHER_S, name="stop-watch")

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        """Watch no log any more."""
        self._loop.stop()
        for watched in list(self._watched.values()):
            self._let_go(watched)

    @property
    def dead(self) -> bool:
        return self._loop.dead

    def begin(self, job: str, after: int) -> None:
        """Watch a job that is about to run; its log ended at `after` when that was decided."""
        watched = _Watched(job, after, self._moved)
        with self._lock:
            self._watched[job] = watched
        watched.wake()

    def end(self, job: str) -> None:
        """Stop watching a job that no longer runs here."""
        watched = self._watched.get(job)
        if watched is not None:
            self._let_go(watched)

    def look(self) -> None:
        """Act on the logs that have changed; every now and then, on all of them."""
        with self._lock:
            news, self._news = self._news, set()
            watched = news or set(self._watched.values())
        for each in watched:
            try:
                self._look_at(each)
            except NotFound:  # removed: its further appends are refused
                self._stop(each, Superseded("the job was removed"))
                self._let_go(each)
            except Unavailable as error:
                logger.debug("job %s is looked at later: %s", each.job, error.detail)
                with self._lock:
                    self._news.add(each)

    def _moved(self, watched: _Watched) -> None:
        """Note that a log has changed; from any thread, never blocks."""
        with self._lock:
            self._news.add(watched)
        self._loop.wake()

    def _look_at(self, watched: _Watched) -> None:
        while self._watched.get(watched.job) is watched:
            live = watched.live = self._log.live(watched.job)
            row = live.row
            if row.closed:
                self._stop(watched, Superseded("the job has ended"))
                self._let_go(watched)
            elif row.status == "cancelling":
                self._stop(watched, Cancelled(self._reason(watched)))
            if live.watch(row.seq, watched):
                return

    def _stop(self, watched: _Watched, reason: Stop) -> None:
        """Stop the attempt, if one runs: one that begins later reads its log itself."""
        if watched.job in self._runner.jobs():
            self._runner.stop(watched.job, reason)

    def _reason(self, watched: _Watched) -> str:
        """The cancel's reason; the cancel comes after the position at which the job was begun."""
        if watched.reason is None:
            watched.reason = self._find_reason(watched)
        return watched.reason

    def _find_reason(self, watched: _Watched) -> str:
        after = watched.after
        while (page := self._log.page(watched.job, after, EVENTS)).events:
            for event in page.events:
                if event.type == "job.cancel_requested":
                    return str(event.data.get("reason") or "")
            after = page.events[-1].seq
        return ""

    def _let_go(self, watched: _Watched) -> None:
        with self._lock:
            if self._watched.get(watched.job) is watched:
                del self._watched[watched.job]
            self._news.discard(watched)
        if watched.live is not None:
            watched.live.unwatch(watched)
