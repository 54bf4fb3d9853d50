"""The app that a worker runs, by the names that people give it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from flask import Flask

from streaming.config import Settings
from streaming.errors import InvalidSettings
from streaming.server.deployment import Serving, refuse_sync_workers
from streaming.server.settings import AppSettings
from streaming.server.worker_parts import load_server
from streaming.server.wrapped import mounts_behind

SOURCE = """
from functools import partial
from flask import Flask
from streaming import Streaming
from werkzeug.middleware.proxy_fix import ProxyFix

def create_app(name="made"):
    app = Flask(name)
    app.config["STREAMING_REDIS_URL"] = "redis://127.0.0.1:6399"
    Streaming(app)
    return app

app = create_app("plain")
plain = Flask("without")
wrapped = ProxyFix(app)
class site:
    app = app
    make = partial(create_app, "partial")
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "sitemodule.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "sitemodule", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return "sitemodule"


@pytest.mark.parametrize(
    "name",
    [
        ":app",
        "",
        ":create_app()",
        ":create_app",
        ":create_app('other')",
        ":create_app(name='other')",
        ":site.app",
        ":site.make()",
        ":wrapped",
    ],
)
def test_an_app_is_found_by_its_name(module: str, name: str) -> None:
    assert load_server(module + name).settings.log_url == "redis://127.0.0.1:6399"
    Settings(STREAMING_APP=module + name)


@pytest.mark.parametrize("name", [":nothing", ":site.nothing", ":1 + 1", ":plain.name"])
def test_what_is_not_there_is_told(module: str, name: str) -> None:
    with pytest.raises(InvalidSettings, match="STREAMING_APP="):
        load_server(module + name)


def test_a_module_that_is_not_there_is_told() -> None:
    with pytest.raises(InvalidSettings, match="there is no module 'nowhere'"):
        load_server("nowhere:app")


def test_an_app_without_the_extension_is_told() -> None:
    class Middleware:
        def __init__(self, app: Flask) -> None:
            self.app = app

    with pytest.raises(InvalidSettings, match="no Flask app"):
        mounts_behind(Middleware(Flask("without")))


def cfg(kind: str, workers: int = 1, threads: int = 1) -> SimpleNamespace:
    return SimpleNamespace(worker_class_str=kind, workers=workers, threads=threads)


@pytest.mark.parametrize(
    ("threads", "streams"), [(2, 1), (4, 2), (8, 4), (32, 16), (64, 48), (128, 112)]
)
def test_streams_leave_threads_to_other_requests(threads: int, streams: int) -> None:
    serving = Serving.of_gunicorn(cfg("gthread", threads=threads))

    assert serving.fit(AppSettings()).max_streams == streams


def test_a_limit_that_was_set_is_kept() -> None:
    serving = Serving.of_gunicorn(cfg("gthread", threads=8))

    assert serving.fit(AppSettings(STREAMING_MAX_STREAMS=5)).max_streams == 5


def test_sync_with_threads_is_gthread() -> None:
    refuse_sync_workers(cfg("sync", threads=8))
    with pytest.raises(InvalidSettings):
        refuse_sync_workers(cfg("sync"))


@pytest.mark.parametrize(
    ("environ", "several"),
    [
        ({"wsgi.multiprocess": True, "uwsgi.version": b"2.0"}, True),
        ({"wsgi.multiprocess": False, "uwsgi.version": b"2.0"}, False),
        ({"wsgi.multiprocess": True}, False),  # an adapter for ASGI, which cannot know
    ],
)
def test_only_servers_that_count_their_processes_are_believed(
    environ: dict[str, object], several: bool
) -> None:
    with Flask("served").test_request_context(environ_overrides=environ):
        assert Serving.of_request().several is several


@pytest.mark.parametrize(("cores", "streams"), [(1, 1), (2, 1), (64, 48)])
def test_uwsgi_tells_how_many_requests_it_takes_at_once(
    cores: int, streams: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(cores=cores))  # type: ignore[arg-type]

    # With greenlets it says `wsgi.multithread` is false.
    environ = {"uwsgi.version": b"2.0", "wsgi.multithread": False}
    with Flask("served").test_request_context(environ_overrides=environ):
        assert Serving.of_request().fit(AppSettings()).max_streams == streams


def test_several_processes_need_a_log_that_they_share() -> None:
    serving = Serving.of_gunicorn(cfg("gevent", workers=2))

    serving.check(AppSettings(STREAMING_REDIS_URL="redis://127.0.0.1"))
    with pytest.raises(InvalidSettings, match="workers = 1"):
        serving.check(AppSettings())
