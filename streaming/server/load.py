"""LoadMeter: measures how loaded this process is, and keeps its pressure level."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable

from streaming.concurrency.loop import loop_delay
from streaming.concurrency.threads import Thread
from streaming.concurrency.waking import make_waker
from streaming.errors import Unavailable
from streaming.jobs.supervisor import UNFINISHED
from streaming.running.runner import Runner
from streaming.storage.base import Storage
from streaming.watching.pressure import Pressure, Signals
from streaming.watching.stream import Streams

logger = logging.getLogger(__name__)

#: Seconds between two measurements.
TICK_S = 0.5
#: Seconds for which the event loop is waited for at the most.
LOOP_S = 5.0
#: Jobs, the newest ones, whose viewers are looked at.
LAG_JOBS = 200
#: Events that make a viewer one who is far behind.
FAR_BEHIND = 256


class LoadMeter:
    """Owns the thread that measures."""

    def __init__(
        self,
        pressure: Pressure,
        *,
        storage: Storage,
        runner: Runner,
        streams: Streams,
        queue: int,
        changed: Callable[[], object],
    ) -> None:
        """`changed` is called when the level is another one; `queue` is the queue's limit."""
        self.pressure = pressure
        self._storage = storage
        self._runner = runner
        self._streams = streams
        self._queue = queue
        self._changed = changed
        self._cores = os.cpu_count() or 1
        #: When, and how much time of the processors this process had used by then.
        self._used = (time.monotonic(), time.process_time())
        self._counted = (time.monotonic(), storage.appended())
        self._thread = Thread(self._work, name="load-meter")
        #: Events per second that were appended since the measurement before.
        self.event_rate = 0.0
        #: Events that the viewer who is furthest behind has still to get.
        self.lag = 0

    def start(self) -> None:
        self._thread.start()

    def figures(self) -> dict[str, tuple[float, str]]:
        """Value and unit of what this process does, by name, for `monitor`."""
        load = self._runner.load()
        hosts = {} if load.hosts is None else {"service_hosts": (load.hosts.ready, "1")}
        return {
            **hosts,
            "service_streams": (sum(self._streams.count().values()), "1"),
            "service_lag": (self.lag, "events"),
            "service_jobs": (load.running, "1"),
            "service_queue": (load.queued, "1"),
            "service_events": (round(self.event_rate, 1), "1/s"),
            "service_log": (self._storage.size(), "B"),
            "service_pressure": (self.pressure.level, "level"),
            "service_loop_lag": (round(self.pressure.signals.loop_lag_s, 4), "s"),
        }

    def measure(self, late_s: float) -> Signals:
        """All signals; `late_s`: how late this thread's turn has come."""
        lags = self._lags()
        self.lag = max(lags, default=0)
        return Signals(
            loop_lag_s=max(late_s, loop_delay(LOOP_S)),
            queue=self._runner.load().queued / self._queue if self._queue else 0.0,
            streams=self._streams.fullness(),
            lagging=sum(lag > FAR_BEHIND for lag in lags) / len(lags) if lags else 0.0,
            cpu=self._busy() / self._cores,
        )

    def _busy(self) -> float:
        """Processors that this process has kept busy since the measurement before."""
        before, now = self._used, (time.monotonic(), time.process_time())
        self._used = now
        return (now[1] - before[1]) / max(0.001, now[0] - before[0])

    def _work(self) -> None:
        waker = make_waker()
        while True:
            due = time.monotonic() + TICK_S
            waker.wait(TICK_S)
            try:
                self._look(max(0.0, time.monotonic() - due))
            except Unavailable as error:
                if error.code == "draining":
                    return
                logger.debug("the load is measured later: %s", error.detail)
            except Exception:  # whatever it was, the next look must come
                logger.exception("measuring the load failed")

    def _look(self, late_s: float) -> None:
        now, appended = time.monotonic(), self._storage.appended()
        self.event_rate = (appended - self._counted[1]) / max(0.001, now - self._counted[0])
        self._counted = (now, appended)
        if self.pressure.look(self.measure(late_s)):
            logger.warning("pressure level %d %s", self.pressure.level, self.pressure.why)
            self._changed()

    def _lags(self) -> list[int]:
        rows = self._storage.index.list(statuses=UNFINISHED, limit=LAG_JOBS)
        viewers = [(row.seq, each) for row in rows for each in self._storage.viewers.here(row.id)]
        return [max(0, seq - viewer.position) for seq, viewer in viewers]
