"""For operators: health, readiness, metrics, and the API's own description."""

from __future__ import annotations

from importlib.util import find_spec

from flask import Flask, Response, current_app, make_response, render_template, request

from streaming.config import durable_disk
from streaming.errors import Unavailable, missing_extra
from streaming.events.vocabulary import CONTROL, Json
from streaming.running.runner import Load
from streaming.version import VERSION
from streaming.web.asyncapi import asyncapi, event_schemas
from streaming.web.blueprints import open_blueprint
from streaming.web.json_response import as_json
from streaming.web.metrics import Figures
from streaming.web.operations import openapi
from streaming.web.services import EXTENSION, Services, services

TITLE = "Streaming jobs"

#: Maximum seconds that `/readyz` waits for the storage's answer, and again for the queue's.
ANSWER_S = 1.0
#: What `/docs` may load: its own files. It talks to its own server alone.
DOCS_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'self'",
    ]
)

ops = open_blueprint("ops", static_folder="static", static_url_path="/docs/static")


@ops.get("/healthz")
def healthz() -> Response:
    """The process is alive."""
    return as_json({"status": "ok"})


@ops.get("/readyz")
def readyz() -> Response:
    """Whether jobs and streams are served; what is missing otherwise, and what is worth knowing."""
    why = current_app.extensions[EXTENSION].missing()
    if why is not None:
        return as_json({"ready": False, "missing": [why], "notes": []}, 503)
    found = services()
    fault, load = found.storage.fault_now(ANSWER_S), found.runner.load()
    missing, notes = _missing(found, load, fault), _notes(found, load)
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
    if find_spec("prometheus_client") is None:
        raise Unavailable(missing_extra("prometheus_client", "metrics"), code="not_installed")
    from streaming.web.gauges import Gauges

    text = found.metrics.exposition(Figures.of(found.streams), Gauges(found))
    return Response(text, content_type="text/plain; version=0.0.4")


@ops.get("/openapi.json")
def openapi_json() -> Response:
    return as_json(_document())


@ops.get("/asyncapi.json")
def asyncapi_json() -> Response:
    return as_json(_asyncapi())


@ops.get("/docs")
def docs() -> Response:
    """Both documents for people, with forms to try them."""
    page = render_template(
        "streaming_docs.html",
        document=_document(),
        events=event_schemas(),
        channels=_asyncapi()["channels"],
        control=CONTROL,
        root=request.script_root,
    )
    response = make_response(page)
    response.headers["Content-Security-Policy"] = DOCS_POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _document() -> Json:
    return openapi(_app(), title=TITLE, version=VERSION)


def _asyncapi() -> Json:
    return asyncapi(
        _app(),
        title=TITLE,
        version=VERSION,
        host=request.host,
        root=request.script_root,
        secure=request.is_secure,
    )


def _app() -> Flask:
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001
    return app


def _missing(found: Services, load: Load, fault: str | None) -> list[str]:
    hosts = load.hosts
    checks = {
        "draining": found.streams.server.draining,
        f"storage: {fault}": fault is not None,
        f"queue: {load.unknown}": load.unknown is not None,
        "no worker runs jobs: start one (python -m streaming.worker)": (
            not load.threads and load.unknown is None
        ),
        f"threads have ended: {', '.join(found.dead())}": bool(found.dead()),
        "task hosts: none has loaded the app yet": hosts is not None and hosts.starting,
        f"all {load.threads} job threads are stuck": 0 < load.threads <= load.stuck,
    }
    return [text for text, holds in checks.items() if holds]


def _notes(found: Services, load: Load) -> list[str]:
    hosts = load.hosts
    given_up = hosts.given_up if hosts is not None else None
    process = "a worker" if found.runner.shared else "the serving process"
    checks = {
        f"tasks run as threads of {process}: {given_up}": given_up is not None,
        "a task host is missing": hosts is not None and hosts.ready < hosts.wanted,
        f"{load.stuck} job threads are stuck": load.stuck > 0,
        "jobs are lost at every restart: this platform's disk does not last": (
            found.settings.sqlite_path is not None and not durable_disk()
        ),
        f"pressure level {found.pressure.level}: {found.pressure.why}": found.pressure.level > 0,
        "jobs are lost at every restart: the log is in memory": not found.storage.durable,
    }
    return [text for text, holds in checks.items() if holds]
