"""Figures for Prometheus that are the same whichever process is asked."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streaming.web.services import Services


class Gauges(Collector):
    """Jobs, leases and the log, as they are now."""

    def __init__(self, found: Services) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        load = self._found.runner.load()
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
        yield from (units, waiting)
        figures: dict[str, tuple[str, float]] = {
            "streaming_jobs_running": ("Jobs that run", load.running),
            "streaming_jobs_queued": ("Jobs that wait", load.queued),
            "streaming_stuck_threads": ("Threads whose code did not stop with its job", load.stuck),
            "streaming_log_bytes": ("Bytes kept of all jobs", self._found.storage.size()),
            "streaming_storage_fault": (
                "1 while the log cannot be written",
                int(self._found.storage.fault() is not None),
            ),
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
