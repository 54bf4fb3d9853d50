"""Figures for Prometheus that are the same whichever process is asked.

What is not known at present is left out: a figure that is missing is true, a zero is not.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streaming.errors import Unavailable
from streaming.running.runner import Load
from streaming.web.services import Services

#: Maximum seconds that a look waits for the storage's answer.
ANSWER_S = 1.0


class Gauges(Collector):
    """Jobs, leases and the log, as they are now."""

    def __init__(self, found: Services) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        fault = self._found.storage.fault_now(ANSWER_S)
        yield GaugeMetricFamily(
            "streaming_storage_fault",
            "1 while the log cannot be used",
            value=int(fault is not None),
        )
        load = self._found.runner.load()
        if load.unknown is None:
            yield from _of_jobs(load)
        with suppress(Unavailable):
            yield from self._of_storage()

    def _of_storage(self) -> Iterable[Metric]:
        """`Unavailable` when it is away."""
        units = GaugeMetricFamily(
            "streaming_lease_units", "Units of leased pools, by state", labels=["pool", "state"]
        )
        waiting = GaugeMetricFamily(
            "streaming_lease_jobs_waiting", "Jobs that wait for a lease", labels=["pool"]
        )
        for name, pool in self._found.storage.leases.pools().items():
            units.add_metric([name, "taken"], pool.taken)
            units.add_metric([name, "free"], max(0, pool.total - pool.taken))
            waiting.add_metric([name], pool.waiting)
        size = self._found.storage.size()
        yield from (units, waiting)
        yield GaugeMetricFamily("streaming_log_bytes", "Bytes kept of all jobs", value=size)


def _of_jobs(load: Load) -> Iterable[Metric]:
    figures: dict[str, tuple[str, float]] = {
        "streaming_jobs_running": ("Jobs that run", load.running),
        "streaming_jobs_queued": ("Jobs that wait", load.queued),
        "streaming_stuck_threads": ("Threads whose code did not stop with its job", load.stuck),
    }
    if load.hosts is not None:
        figures |= {
            "streaming_task_hosts": ("Processes that run tasks", load.hosts.ready),
            "streaming_task_hosts_replaced": (
                "Processes that had died or hung and were replaced",
                load.hosts.replaced,
            ),
            "streaming_task_hosts_memory_bytes": ("Their memory", load.hosts.rss),
        }
    for name, (meaning, value) in figures.items():
        yield GaugeMetricFamily(name, meaning, value=value)
