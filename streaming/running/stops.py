"""Cancels that other processes have written into the logs of jobs that run here."""

from __future__ import annotations

import logging

from streaming.concurrency.threads import Thread
from streaming.concurrency.waking import make_waker
from streaming.errors import Cancelled, NotFound, Superseded, Unavailable
from streaming.events.event import Event
from streaming.running.threads import ThreadRunner
from streaming.storage.base import EventLog

logger = logging.getLogger(__name__)

#: Seconds between two looks at the logs of the jobs that run here.
LOOK_S = 0.05
#: Events read of one log at a look.
EVENTS = 500


class StopWatch:
    """Reads the logs of a runner's jobs, and stops those that are to end. Owns one thread."""

    def __init__(self, log: EventLog, runner: ThreadRunner) -> None:
        self._log = log
        self._runner = runner
        #: Where it is in each log.
        self._positions: dict[str, int] = {}
        self._thread = Thread(self._work, name="stop-watch")

    def start(self) -> None:
        self._thread.start()

    def begin(self, job: str, after: int) -> None:
        """A job is about to run, whose log was at `after` when that was decided."""
        self._positions[job] = after

    def look(self) -> None:
        """One look at every log."""
        jobs = self._runner.jobs()
        for job in list(self._positions.keys() - jobs):
            self._positions.pop(job, None)
        for job in jobs:
            try:
                self._look_at(job)
            except NotFound:  # removed: whatever it still appends is refused
                self._runner.stop(job, Superseded("the job was removed"))
            except Unavailable as error:
                logger.debug("job %s is looked at later: %s", job, error.detail)

    def _work(self) -> None:
        waker = make_waker()
        while True:
            waker.wait(LOOK_S)
            try:
                self.look()
            except Exception:  # whatever it was, later cancels must come through
                logger.exception("looking for cancels failed")

    def _look_at(self, job: str) -> None:
        after = self._positions.get(job, 0)
        page = self._log.page(job, after, EVENTS)
        for event in page.events:
            self._act_on(job, event)
        self._positions[job] = page.events[-1].seq if page.events else page.last

    def _act_on(self, job: str, event: Event) -> None:
        if event.type == "job.cancel_requested":
            self._runner.stop(job, Cancelled(event.data.get("reason") or ""))
        elif event.terminal:
            self._runner.stop(job, Superseded("the job has ended"))
