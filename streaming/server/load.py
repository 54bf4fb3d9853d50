"""LoadMeter: measures how loaded this process is, and keeps its pressure level."""

from __future__ import annotations

import logging
import os
import time

from streaming.concurrency.loop import loop_delay
from streaming.concurrency.periodic import Periodic
from streaming.jobs.supervisor import UNFINISHED
from streaming.running.runner import Runner
from streaming.storage.base import Storage
from streaming.watching.pressure import Pressure, Signals
from streaming.watching.streams import Streams

logger = logging.getLogger(__name__)

#: Seconds between two measurements.
TICK_S = 0.5
#: Maximum seconds to wait for the event loop.
LOOP_S = 5.0
#: How many of the newest jobs are checked for slow viewers.
LAG_JOBS = 200
#: Lag in events from which a viewer counts as far behind.
FAR_BEHIND = 256


class Readings:
    """The meter's last measurements, for parts that are made before it."""

    def __init__(self) -> None:
        self._figures: dict[str, tuple[float, str]] = {}

    def put(self, figures: dict[str, tuple[float, str]]) -> None:
        self._figures = figures

    def figures(self) -> dict[str, tuple[float, str]]:
        """Value and unit of what this process does, by name."""
        return self._figures


class LoadMeter:
    """Owns the loop that measures."""

    def __init__(
        self,
        pressure: Pressure,
        *,
        storage: Storage,
        runner: Runner,
        streams: Streams,
        queue: int,
        readings: Readings,
    ) -> None:
        """`queue` is the queue's limit; `readings` receives what `monitor` shows."""
        self.pressure = pressure
        self._storage = storage
        self._runner = runner
        self._streams = streams
        self._queue = queue
        self._readings = readings
        self._cores = os.cpu_count() or 1
        #: Time of the last measurement, and the CPU time used by then.
        self._used = (time.monotonic(), time.process_time())
        self._counted = (time.monotonic(), storage.appended())
        #: When the last measurement was over.
        self._rested_at = time.monotonic()
        self.loop = Periodic(self.look, every_s=TICK_S, at_once=True, name="load-meter")
        #: Events appended per second since the measurement before.
        self.event_rate = 0.0

    def figures(self) -> dict[str, tuple[float, str]]:
        """Value and unit of what this process does, by name, for `monitor`."""
        load = self._runner.load()
        hosts = {} if load.hosts is None else {"service_hosts": (load.hosts.ready, "1")}
        return {
            **hosts,
            "service_streams": (sum(self._streams.count().values()), "1"),
            "service_lag": (self.pressure.signals.lag, "events"),
            "service_jobs": (load.running, "1"),
            "service_queue": (load.queued, "1"),
            "service_events": (round(self.event_rate, 1), "1/s"),
            "service_log": (self._storage.size(), "B"),
            "service_pressure": (self.pressure.level, "level"),
            "service_loop_lag": (round(self.pressure.signals.loop_lag_s, 4), "s"),
        }

    def measure(self, late_s: float) -> Signals:
        """All signals; `late_s`: how late this thread was scheduled."""
        lags = self._lags()
        return Signals(
            lag=max(lags, default=0),
            loop_lag_s=max(late_s, loop_delay(LOOP_S)),
            queue=self._runner.load().queued / self._queue if self._queue else 0.0,
            streams=self._streams.fullness(),
            lagging=sum(lag > FAR_BEHIND for lag in lags) / len(lags) if lags else 0.0,
            cpu=self._busy() / self._cores,
        )

    def _busy(self) -> float:
        """How many cores this process has kept busy since the measurement before."""
        before, now = self._used, (time.monotonic(), time.process_time())
        self._used = now
        return (now[1] - before[1]) / max(0.001, now[0] - before[0])

    def look(self) -> None:
        """Measure once more."""
        now, appended = time.monotonic(), self._storage.appended()
        late_s = max(0.0, now - self._rested_at - TICK_S)
        self.event_rate = (appended - self._counted[1]) / max(0.001, now - self._counted[0])
        self._counted = (now, appended)
        self._readings.put(self.figures())
        try:
            if self.pressure.look(self.measure(late_s)):
                logger.warning("pressure level %d %s", self.pressure.level, self.pressure.why)
                self._streams.wake()
        finally:
            self._rested_at = time.monotonic()

    def _lags(self) -> list[int]:
        rows = self._storage.index.list(statuses=UNFINISHED, limit=LAG_JOBS)
        viewers = [(row.seq, each) for row in rows for each in self._storage.viewers.here(row.id)]
        return [max(0, seq - viewer.position) for seq, viewer in viewers]
