"""For operators: health, readiness, metrics, and the API's own description."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import Response, current_app, render_template, request
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streaming.config import durable_disk
from streaming.events.vocabulary import Json
from streaming.web.blueprints import open_blueprint
from streaming.web.operations import openapi
from streaming.web.routes.jobs import as_json
from streaming.web.services import EXTENSION, Services, services

TITLE, VERSION = "Streaming jobs", "0.1.0"

ops = open_blueprint("ops", static_folder="static", static_url_path="/docs/static")


@ops.get("/healthz")
def healthz() -> Response:
    """The process is alive."""
    return as_json({"status": "ok"})


@ops.get("/readyz")
def readyz() -> Response:
    """Whether jobs and streams are served; what is missing otherwise, and what is worth knowing."""
    server = current_app.extensions[EXTENSION]
    if not server.started:
        return as_json({"ready": False, "missing": ["storage is not open yet"], "notes": []}, 503)
    found = services()
    missing, notes = _missing(found), _notes(found)
    load = found.runner.load()
    body = {
        "ready": not missing,
        "missing": missing,
        "notes": notes,
        "jobs": {"running": load.running, "queued": load.queued, "stuck_threads": load.stuck},
        "streams": found.streams.count(),
        "pressure": {"level": found.pressure.level, "why": found.pressure.why or None},
    }
    return as_json(body, 200 if not missing else 503)


@ops.get("/metrics")
def metrics() -> Response:
    """For Prometheus."""
    found = services()
    text = found.metrics.exposition(_Figures(found))
    return Response(text, content_type="text/plain; version=0.0.4")


@ops.get("/openapi.json")
def openapi_json() -> Response:
    return as_json(_document())


@ops.get("/docs")
def docs() -> str:
    """The document for people."""
    return render_template("streaming_docs.html", document=_document(), root=request.script_root)


def _document() -> Json:
    return openapi(current_app._get_current_object(), title=TITLE, version=VERSION)  # type: ignore[attr-defined]  # noqa: SLF001


def _missing(found: Services) -> list[str]:
    load, fault = found.runner.load(), found.storage.fault()
    hosts = load.hosts
    checks = {
        "draining": found.streams.draining,
        f"storage: {fault}": fault is not None,
        "no worker runs jobs: start one (python -m streaming.worker)": not load.threads,
        "task hosts: none has loaded the app yet": hosts is not None and hosts.starting,
        f"all {load.threads} job threads are stuck": 0 < load.threads <= load.stuck,
    }
    return [text for text, holds in checks.items() if holds]


def _notes(found: Services) -> list[str]:
    load = found.runner.load()
    hosts = load.hosts
    given_up = hosts.given_up if hosts is not None else None
    checks = {
        f"tasks run as threads of the serving process: {given_up}": given_up is not None,
        "a task host is missing": hosts is not None and hosts.ready < hosts.wanted,
        f"{load.stuck} job threads are stuck": load.stuck > 0,
        "jobs are lost at every restart: this platform's disk does not last": (
            found.settings.sqlite_path is not None and not durable_disk()
        ),
        f"pressure level {found.pressure.level}: {found.pressure.why}": found.pressure.level > 0,
        "jobs are lost at every restart: the log is in memory": not found.storage.durable,
    }
    return [text for text, holds in checks.items() if holds]


class _Figures(Collector):
    """What is the same whichever process is asked."""

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
        figures: dict[str, tuple[str, Any]] = {
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
