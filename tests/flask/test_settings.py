"""Settings of a host app: ours alone, read at the start, misspelt names told."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from streaming import JobContext, Streaming, server_of
from streaming.errors import InvalidSettings
from streaming.server.mount import mount_of

Json = Any


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REDIS_URL", "PORT", "WEB_CONCURRENCY", "STREAMING_REDIS_URL"):
        monkeypatch.delenv(name, raising=False)


def make_app(instance: Path | None = None, **config: Any) -> Flask:
    app = Flask("host", instance_path=None if instance is None else str(instance))
    app.config.update(config)
    Streaming(app)
    return app


def warnings_of(caplog: pytest.LogCaptureFixture, app: Flask) -> list[str]:
    with caplog.at_level(logging.WARNING, "streaming"):
        server_of(app)
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("url", ["redis://", "redis://cache.example/0", "unix:///tmp/redis.sock"])
@pytest.mark.parametrize("place", ["config", "environment"])
def test_the_hosts_redis_is_not_ours(
    url: str,
    place: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if place == "environment":
        monkeypatch.setenv("REDIS_URL", url)
    app = make_app(tmp_path, **({"REDIS_URL": url} if place == "config" else {}))

    told = warnings_of(caplog, app)

    assert server_of(app).settings.sqlite_path == tmp_path / "streaming.db"
    assert [line for line in told if "REDIS_URL" in line] == [
        "REDIS_URL is taken to be the app's own: jobs are not kept there. "
        "To have them in Redis, set STREAMING_REDIS_URL"
    ]


def test_our_own_name_for_redis_counts(caplog: pytest.LogCaptureFixture) -> None:
    app = make_app(REDIS_URL="redis://theirs/0", STREAMING_REDIS_URL="redis://ours/1")

    told = warnings_of(caplog, app)

    assert server_of(app).settings.log_url == "redis://ours/1"
    assert server_of(app).settings.queue_url == "redis://ours/2"
    assert not told


def test_other_names_of_platforms_are_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORT", "none of ours")
    monkeypatch.setenv("WEB_CONCURRENCY", "four")
    app = make_app(tmp_path, HOST="somewhere", PORT="x", GUNICORN_THREADS=1)

    settings = server_of(app).settings

    assert (settings.port, settings.web_concurrency) == (8000, 1)


def test_the_log_lies_in_the_instance_folder(tmp_path: Path) -> None:
    app = make_app(tmp_path / "instance")
    server_of(app).start(timeout=5)
    server_of(app).drain()

    assert (tmp_path / "instance" / "streaming.db").exists()


def test_with_testing_it_is_in_memory_unless_another_is_named(tmp_path: Path) -> None:
    named = {"STREAMING_LOG_URL": f"sqlite:///{tmp_path}/a.db"}

    assert server_of(make_app(TESTING=True)).settings.log_url == "memory://"
    assert server_of(make_app(TESTING=True, **named)).settings.sqlite_path == tmp_path / "a.db"


def test_what_is_said_after_the_factory_counts(tmp_path: Path) -> None:
    app = make_app(tmp_path, STREAMING_QUEUE="many")
    app.config.update(TESTING=True, STREAMING_QUEUE="7")

    settings = server_of(app).settings

    assert (settings.log_url, settings.queue) == ("memory://", 7)


def test_a_bad_value_is_told_when_it_is_read_and_not_before(tmp_path: Path) -> None:
    app = make_app(tmp_path, STREAMING_QUEUE="many")

    with pytest.raises(InvalidSettings, match="STREAMING_QUEUE='many'"):
        server_of(app)
    answer = app.test_client().get("/v1/tasks")
    assert answer.status_code == 500
    assert answer.get_json()["code"] == "invalid_settings"
    assert "STREAMING_QUEUE='many'" in answer.get_json()["detail"]


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("STREAMING_HEARTBEATS", "STREAMING_HEARTBEAT_S"),
        ("STREAMING_LOGURL", "STREAMING_LOG_URL"),
        ("STREAMING_API_KEYES", "STREAMING_API_KEYS"),
        ("STREAMING_RETENTON_S", "STREAMING_RETENTION_S"),
        ("STREAMING_OPENSUBMIT", "STREAMING_OPEN_SUBMIT"),
        ("STREAMING_REDISURL", "STREAMING_REDIS_URL"),
    ],
)
@pytest.mark.parametrize("place", ["config", "environment"])
def test_a_misspelt_name_is_told_with_the_nearest(
    wrong: str,
    right: str,
    place: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if place == "environment":
        monkeypatch.setenv(wrong, "1")
    app = make_app(tmp_path, **({wrong: "1"} if place == "config" else {}))

    told = warnings_of(caplog, app)

    assert f"there is no setting {wrong}: it is ignored; do you mean {right}?" in told


def test_right_names_are_told_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("STREAMING_ROLE", "web")
    monkeypatch.setenv("STREAMING_URL", "http://127.0.0.1:8000")
    app = make_app(tmp_path, STREAMING_HEARTBEAT_S=3)

    assert warnings_of(caplog, app) == []


def test_the_first_request_of_any_kind_starts_the_server(tmp_path: Path) -> None:
    app = Flask("host", instance_path=str(tmp_path))
    streaming = Streaming(app)

    @streaming.task("nothing")
    def nothing(ctx: JobContext, input: Json) -> None: ...

    @app.get("/")
    def home() -> str:
        return "home"

    assert not mount_of(app).started
    assert app.test_client().get("/").text == "home"
    assert mount_of(app).started
    assert app.test_client().get("/v1/readyz").status_code == 200
    server_of(app).drain()


def test_the_apps_pages_do_without_a_server_that_cannot_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(tmp_path, STREAMING_QUEUE="many")

    @app.get("/")
    def home() -> str:
        return "home"

    for _ in range(2):
        assert app.test_client().get("/").text == "home"
    assert caplog.text.count("cannot start: STREAMING_QUEUE") == 1


def test_many_apps_live_in_one_process(tmp_path: Path) -> None:
    def factory() -> Flask:
        return make_app(tmp_path)

    apps = [factory() for _ in range(5)]
    for app in apps:
        assert app.test_client().get("/v1/tasks").status_code == 200
    server_of(apps[0]).drain()


def test_an_app_is_mounted_once_however_often_that_is_asked() -> None:
    app = Flask("host")
    streaming = Streaming(app)
    streaming.init_app(app)

    with pytest.raises(InvalidSettings, match="another Streaming"):
        Streaming(app)
