"""Metrics of this process for Prometheus, and of its siblings under one gunicorn master.

With several web processes, `PROMETHEUS_MULTIPROC_DIR` names the folder where each writes what it
counts; whichever is asked adds them up. Only one thread of a process, or its event loop, touches
the library's objects: their locks are gevent's where it has patched them.
"""

from __future__ import annotations

import os
import time
from collections import Counter as Counts, deque
from collections.abc import Callable
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from streaming.events.event import Event
from streaming.events.observer import Observer
from streaming.web.figures import FOLDER, Figures

#: Seconds from an append to its write: below the first bound it is not felt.
DELAYS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
#: Seconds that jobs last.
DURATIONS = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600)


class Metrics(Observer):
    """What streams, refusals and ended jobs are counted in."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._registry = registry = CollectorRegistry()
        self._open = Gauge(
            "streaming_open_streams",
            "Open streams",
            ["transport"],
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._lag = _worst("streaming_reader_lag_events", "Events behind, of the slowest", registry)
        self._loop_lag = _worst(
            "streaming_loop_lag_seconds", "Seconds by which the event loop is late", registry
        )
        self._pressure = _worst(
            "streaming_pressure_level", "Pressure level, 0 to 3, of the most loaded", registry
        )
        self._draining = Gauge(
            "streaming_draining",
            "Processes that shut down",
            registry=registry,
            multiprocess_mode="livesum",
        )
        way = ["transport", "way"]
        self._bytes = Counter("streaming_sent_bytes", "Bytes sent", way, registry=registry)
        self._events = Counter("streaming_sent_events", "Events sent", way, registry=registry)
        self._refused = Counter(
            "streaming_refused", "Requests and streams refused", ["reason"], registry=registry
        )
        self._delay = Histogram(
            "streaming_delivery_delay_seconds",
            "From an event's append to its write to those who are there, once a turn of the loop",
            ["transport"],
            registry=registry,
            buckets=DELAYS,
        )
        self._jobs = Histogram(
            "streaming_job_duration_seconds",
            "From a job's start to its end",
            ["task", "status"],
            registry=registry,
            buckets=DURATIONS,
        )
        self._delays: dict[str, Histogram] = {}
        self._ended: deque[tuple[str, str, float]] = deque(maxlen=10_000)
        self._refusals: deque[str] = deque(maxlen=10_000)
        self._transports: set[str] = set()
        self._told: Counts[tuple[str, str, str]] = Counts()

    def delivered(self, transport: str, event: Event, since: float) -> None:
        """An event is written now; one that is older than `since` is no news. From the loop."""
        at = appended_at(event)
        if at >= since:
            found = self._delays.get(transport)
            if found is None:
                found = self._delays[transport] = self._delay.labels(transport)
            found.observe(max(0.0, self._clock() - at))

    def refused(self, reason: str) -> None:
        """Somebody was turned away; from any thread."""
        self._refusals.append(reason)

    def job_ended(self, task: str, status: str, seconds: float) -> None:
        """A job has ended; from any thread."""
        self._ended.append((task, status, seconds))

    def tell(self, figures: Figures) -> None:
        """Take in what is counted elsewhere in this process."""
        self._transports |= figures.streams.keys()
        for transport in self._transports:  # those without a stream at present, too
            self._open.labels(transport).set(figures.streams.get(transport, 0))
        self._lag.set(figures.lag)
        self._loop_lag.set(figures.loop_lag_s)
        self._pressure.set(figures.pressure)
        self._draining.set(int(figures.draining))
        for transport, way, size, events in figures.sent:
            self._raise(self._bytes, "bytes", transport, way, size)
            self._raise(self._events, "events", transport, way, events)
        while self._refusals:
            self._refused.labels(self._refusals.popleft()).inc()
        while self._ended:
            task, status, seconds = self._ended.popleft()
            self._jobs.labels(task, status).observe(seconds)

    def exposition(self, figures: Figures, *collectors: Collector) -> bytes:
        """All of it as text, of all processes together, and what the collectors give."""
        self.tell(figures)
        registry = CollectorRegistry()
        for collector in collectors:
            registry.register(collector)
        if FOLDER in os.environ:
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            return generate_latest(registry)
        ProcessCollector(registry=registry)
        return generate_latest(registry) + generate_latest(self._registry)

    def _raise(self, counter: Counter, name: str, transport: str, way: str, total: int) -> None:
        known = self._told[name, transport, way]
        self._told[name, transport, way] = total
        counter.labels(transport, way).inc(total - known)


def appended_at(event: Event) -> float:
    """Epoch seconds of an event's append, as its envelope says."""
    return datetime.fromisoformat(event.at).timestamp()


def _worst(name: str, meaning: str, registry: CollectorRegistry) -> Gauge:
    return Gauge(name, meaning, registry=registry, multiprocess_mode="livemax")
