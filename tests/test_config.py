"""Settings: read, checked, explained."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from streaming.config import Settings, durable_disk, is_loopback
from streaming.errors import InvalidSettings
from streaming.server.settings import AppSettings

NAMES = [str(field.validation_alias) for field in Settings.model_fields.values()]


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*NAMES, "DYNO"]:
        monkeypatch.delenv(name, raising=False)


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = Settings.load()

    assert (settings.port, settings.host, settings.web_concurrency) == (8000, "127.0.0.1", 1)
    assert settings.worker_class == "gevent"
    assert settings.log_url == "sqlite:///var/streaming.db"
    assert settings.sqlite_path == Path("var/streaming.db")
    assert (settings.api_keys, settings.allowed_origins, settings.tasks) == ((), (), ())
    assert settings.max_streams == 10_000
    assert (settings.jobs, settings.jobs_cooperative, settings.queue) == (64, 2000, 1000)
    assert (settings.heartbeat_s, settings.rotate_s, settings.drain_s) == (15, 600, 10)
    assert (settings.retention_s, settings.retention_events) == (86400, 100_000)
    assert settings.retention_bytes == 1 << 30
    assert (settings.max_body_bytes, settings.max_upload_bytes) == (1 << 20, 256 << 20)
    assert settings.max_event_bytes == 1 << 20


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMING_JOBS", "3")
    monkeypatch.setenv("STREAMING_HEARTBEAT_S", "0.5")

    settings = Settings.load()

    assert (settings.jobs, settings.heartbeat_s) == (3, 0.5)


def test_the_apps_config_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMING_JOBS", "3")

    assert Settings.load({"STREAMING_JOBS": 4, "SECRET_KEY": "of Flask"}).jobs == 4


def test_an_empty_value_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMING_JOBS", "")

    assert Settings.load().jobs == 64


def test_a_redis_makes_a_deployment_of_several_processes() -> None:
    settings = Settings.load({"REDIS_URL": "redis://:secret@host:7000/3", "WEB_CONCURRENCY": 4})

    assert settings.shared
    assert settings.sqlite_path is None
    assert settings.log_url == "redis://:secret@host:7000/3"
    assert settings.queue_url == "redis://:secret@host:7000/4"
    assert settings.web_processes == 4


def test_a_log_of_its_own_comes_before_redis() -> None:
    settings = Settings.load(
        {"REDIS_URL": "redis://host", "STREAMING_LOG_URL": "memory://", "WEB_CONCURRENCY": 4}
    )

    assert not settings.shared
    assert settings.web_processes == 1


@pytest.mark.parametrize(
    ("log", "queue"),
    [
        ("redis://host", "redis://host/1"),
        ("rediss://user:p%40ss@host:7000/0?a=b", "rediss://user:p%40ss@host:7000/1?a=b"),
        ("redis://host/15", "redis://host/16"),
    ],
)
def test_the_queue_has_the_next_database(log: str, queue: str) -> None:
    assert Settings.load({"STREAMING_LOG_URL": log}).queue_url == queue


@pytest.mark.parametrize("url", ["amqp://:secret@host", "amqp://host?password=secret"])
def test_a_bad_url_of_redis_is_named_without_its_password(url: str) -> None:
    with pytest.raises(InvalidSettings, match="REDIS_URL") as refused:
        Settings.load({"REDIS_URL": url})

    assert "secret" not in str(refused.value)


def test_a_secret_that_is_short_is_refused_and_not_shown() -> None:
    with pytest.raises(InvalidSettings, match="STREAMING_SECRET: .*32 characters") as refused:
        Settings.load({"STREAMING_SECRET": "hush"})

    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("secret", ["hush", "whsec_", "whsec_c2hvcnQ=", "whsec_!!!", "c2hvcnQ="])
def test_a_webhook_secret_that_is_none_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(InvalidSettings, match="STREAMING_WEBHOOK_SECRET: .*24 to 64") as refused:
        Settings.load({"STREAMING_WEBHOOK_SECRET": secret})

    assert "hush" not in str(refused.value)
    assert "c2hvcnQ" not in str(refused.value)


def test_hosts_of_webhooks_are_names_addresses_and_patterns() -> None:
    given = "hooks.example.com, *.Example.org, *, localhost:9000, 127.0.0.1, ::1, [::1]:80"

    settings = Settings.load({"STREAMING_WEBHOOK_HOSTS": given})

    assert settings.webhook_hosts == tuple(given.lower().split(", "))


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Settings.load().jobs = 3  # type: ignore[misc]


BAD = {
    "STREAMING_PROTOCOLS": ["chat,telex", "all"],
    "PORT": ["-1", "65536", "web", "80.5"],
    "WEB_CONCURRENCY": ["0", "many"],
    "GUNICORN_WORKER_CLASS": ["sync", "eventlet"],
    "GUNICORN_THREADS": ["1"],
    "STREAMING_ALLOW_ANONYMOUS": ["perhaps"],
    "REDIS_URL": ["localhost:6379", "redis://", "http://host", "unix:///socket"],
    "STREAMING_LOG_URL": ["mysql://host", "sqlite:///", "file.db"],
    "STREAMING_QUEUE_URL": ["sqlite:///file"],
    "STREAMING_REDIS_VERIFY": ["perhaps"],
    "STREAMING_BLOB_BYTES": ["10"],
    "STREAMING_WORKER_TIMEOUT_S": ["1", "nan", "601"],
    "STREAMING_APP": ["my app", "wsgi:", "a b:c"],
    "STREAMING_ALLOWED_ORIGINS": [
        "*",
        "null",
        "app.example",
        "https://app.example/",
        "https://App.example",
    ],
    "STREAMING_WEBHOOK_HOSTS": [
        "https://hooks.example.com",
        "hooks.example.com/path",
        "a b",
        "hooks.example.com:70000",
        "**",
        "hooks.*.com",
    ],
    "STREAMING_MAX_STREAMS": ["0"],
    "STREAMING_LOG_FORMAT": ["xml"],
    "STREAMING_LOG_REQUESTS": ["perhaps"],
    "STREAMING_OWNER_STREAMS": ["0"],
    "STREAMING_OWNER_JOBS": ["0", "-1"],
    "STREAMING_RATE_SUBMITS": ["often", "20", "0x/second"],
    "STREAMING_RATE_REQUESTS": ["20/fortnight"],
    "STREAMING_MESSAGES_PER_S": ["0"],
    "STREAMING_BODY_S": ["0", "3601"],
    "STREAMING_MAX_JOB_EVENTS": ["9"],
    "STREAMING_MAX_JOB_BYTES": ["1000"],
    "STREAMING_JOBS": ["0", "-5", "1.5"],
    "STREAMING_TASK_PROCESSES": ["-1", "65", "one"],
    "STREAMING_JOBS_COOPERATIVE": ["0"],
    "STREAMING_QUEUE": ["-1"],
    "STREAMING_DIRECT_WRITES": ["sometimes"],
    "STREAMING_OPEN_SUBMIT": ["perhaps"],
    "STREAMING_EVENTS_PER_WRITE": ["0"],
    "STREAMING_HEARTBEAT_S": ["0", "-1", "nan", "inf", "soon"],
    "STREAMING_ROTATE_S": ["0", "nan"],
    "STREAMING_DRAIN_S": ["0", "301", "nan"],
    "STREAMING_RETENTION_S": ["0", "-1", "nan", "inf"],
    "STREAMING_RETENTION_EVENTS": ["9"],
    "STREAMING_RETENTION_BYTES": ["1000"],
    "STREAMING_MAX_BODY_BYTES": ["10"],
    "STREAMING_MAX_UPLOAD_BYTES": ["10"],
    "STREAMING_MAX_EVENT_BYTES": ["10", "1 MB"],
    "STREAMING_RESOURCES": ["gpu", "gpu=0", "gpu=-1", "GPU=1", "gpu=many", "=1"],
    "STREAMING_LLM_CONNECT_S": ["0", "301", "nan"],
    "STREAMING_LLM_FIRST_TOKEN_S": ["0", "3601"],
    "STREAMING_LLM_TOKEN_S": ["0", "3601"],
    "STREAMING_LLM_MAX_TOKENS": ["0", "many"],
    "STREAMING_LLM_STEP_TOKENS": ["0", "many"],
    "STREAMING_LLM_THINK_TAGS": ["perhaps"],
    "STREAMING_LLM_THINKS_FIRST": ["o9"],
    "STREAMING_LLM_OMIT": ["seed", "o3:", ":seed", "o3:max tokens"],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in BAD.items() for value in values]
)
def test_a_bad_value_is_refused_with_its_name_and_what_is_allowed(name: str, value: str) -> None:
    with pytest.raises(InvalidSettings) as refused:
        Settings.load({name: value})

    message = str(refused.value)
    assert name in message
    assert value in message
    assert len(message) > len(f"{name}: ")


ODD: list[Any] = [5, 1.5, True, b"x", [5], [None], [[]], {"a": 1}, {5: 6}, object(), {1}]


@pytest.mark.parametrize("kind", [Settings, AppSettings])
def test_a_value_of_an_odd_type_is_taken_or_refused(kind: type[Settings]) -> None:
    for field in kind.model_fields.values():
        name = str(field.validation_alias)
        for value in ODD:
            with contextlib.suppress(InvalidSettings):
                kind.load({name: value})


def test_every_setting_that_has_limits_is_tried_above() -> None:
    without = {"HOST", "STREAMING_VAR_DIR", "STREAMING_API_KEYS"}
    without |= {"STREAMING_API_KEYS_FILE", "STREAMING_API_KEYS_HASHED", "STREAMING_SECRET"}
    without |= {"STREAMING_TASKS", "STREAMING_BLOB_DIR", "STREAMING_WEBHOOK_SECRET"}
    without |= {"STREAMING_LLM_BASE_URL", "STREAMING_LLM_API_KEY", "STREAMING_LLM_MODEL"}

    assert set(NAMES) - without == set(BAD)


@pytest.mark.parametrize(
    "given",
    [
        {"STREAMING_LLM_BASE_URL": "api.openai.com", "STREAMING_LLM_MODEL": "m"},
        {"STREAMING_LLM_BASE_URL": "https://sk-secret@host/v1", "STREAMING_LLM_MODEL": "m"},
        {"STREAMING_LLM_BASE_URL": "https://host/v1"},
        {"STREAMING_LLM_MODEL": "m"},
        {"STREAMING_LLM_API_KEY": "sk-secret"},
    ],
)
def test_half_a_model_is_refused_without_its_key_being_shown(given: dict[str, str]) -> None:
    with pytest.raises(InvalidSettings, match="STREAMING_LLM_") as refused:
        Settings.load(given)

    assert "secret" not in str(refused.value)


def test_pools_are_named_with_their_sizes() -> None:
    assert Settings.load({"STREAMING_RESOURCES": "gpu=2, license=1,"}).resources == {
        "gpu": 2,
        "license": 1,
    }
    assert Settings.load({"STREAMING_RESOURCES": {"gpu": 3}}).resources == {"gpu": 3}


def test_models_are_listed_in_the_order_in_which_they_are_tried() -> None:
    given = {
        "STREAMING_LLM_BASE_URL": "http://127.0.0.1:11434/v1",
        "STREAMING_LLM_MODEL": "large, small",
        "STREAMING_LLM_API_KEY": "sk-secret",
    }

    settings = Settings.load(given)

    assert settings.llm_models == ("large", "small")
    assert "sk-secret" not in repr(settings)


def test_a_models_key_is_taken_without_the_line_break_that_files_leave() -> None:
    model = {"STREAMING_LLM_BASE_URL": " http://127.0.0.1/v1\n", "STREAMING_LLM_MODEL": "m"}

    settings = Settings.load({**model, "STREAMING_LLM_API_KEY": "sk-secret\r\n"})

    assert settings.llm_api_key.get_secret_value() == "sk-secret"
    assert settings.llm_base_url == "http://127.0.0.1/v1"
    with pytest.raises(InvalidSettings, match="one line") as refused:
        Settings.load({**model, "STREAMING_LLM_API_KEY": "sk-secret\nX-Evil: 1"})
    assert "secret" not in str(refused.value)


def test_parameters_that_a_model_is_never_sent_are_listed_by_model() -> None:
    settings = Settings.load({"STREAMING_LLM_OMIT": "o3:max_tokens+seed, llama3:8b:seed,*:seed"})

    assert settings.llm_omit == {
        "o3": {"max_tokens", "seed"},
        "llama3:8b": {"seed"},
        "*": {"seed"},
    }


def test_all_bad_values_are_named_at_once() -> None:
    with pytest.raises(InvalidSettings, match=r"STREAMING_JOBS.*STREAMING_QUEUE"):
        Settings.load({"STREAMING_JOBS": 0, "STREAMING_QUEUE": -1})


def test_every_setting_says_what_it_means() -> None:
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("STREAMING_API_KEYS", "hush hush,other"),
        ("STREAMING_API_KEYS", "geheim\x07"),
        ("STREAMING_API_KEYS", "schlüssel"),
        ("STREAMING_LOG_URL", "mysql://root:pass@host/db"),
    ],
)
def test_a_secret_is_not_shown_when_it_is_refused(name: str, secret: str) -> None:
    with pytest.raises(InvalidSettings, match=name) as refused:
        Settings.load({name: secret})

    assert secret not in str(refused.value)
    assert "pass" not in str(refused.value)


@pytest.mark.parametrize("url", ["sqlite:///", "sqlite://x", "memory:///x", "file.db", "x"])
def test_a_log_of_an_unknown_kind_is_refused(url: str) -> None:
    with pytest.raises(InvalidSettings, match=r"STREAMING_LOG_URL.*memory://.*sqlite:///"):
        Settings.load({"STREAMING_LOG_URL": url})


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("memory://", None),
        ("sqlite:///a/b.db", Path("a/b.db")),
        ("sqlite:////a/b.db", Path("/a/b.db")),
    ],
)
def test_the_log_is_where_its_url_says(url: str, path: Path | None) -> None:
    assert Settings.load({"STREAMING_LOG_URL": url}).sqlite_path == path


def test_the_log_is_in_the_folder_for_what_is_kept() -> None:
    settings = Settings.load({"STREAMING_VAR_DIR": "/data/s"})

    assert settings.sqlite_path == Path("/data/s/streaming.db")


def test_lists_are_split_at_commas_and_stripped() -> None:
    settings = Settings.load({"STREAMING_API_KEYS": " a1 ,b2,, ", "STREAMING_TASKS": "one.two"})

    assert (settings.api_keys, settings.tasks) == (("a1", "b2"), ("one.two",))


def test_gthread_has_fewer_streams_than_threads() -> None:
    config = {"GUNICORN_WORKER_CLASS": "gthread", "GUNICORN_THREADS": 100}

    assert 1 <= (Settings.load(config).max_streams or 0) < 100
    assert Settings.load({**config, "STREAMING_MAX_STREAMS": 7}).max_streams == 7


@pytest.mark.parametrize(
    ("config", "host"),
    [
        ({}, "127.0.0.1"),
        ({"PORT": 5000}, "0.0.0.0"),
        ({"PORT": 5000, "HOST": "127.0.0.1"}, "127.0.0.1"),
        ({"HOST": "::"}, "::"),
    ],
    ids=str,
)
def test_a_port_that_a_platform_gives_is_served_to_all(config: dict[str, str], host: str) -> None:
    assert Settings.load(config).host == host


def test_serving_others_without_keys_must_be_meant() -> None:
    with pytest.raises(InvalidSettings, match="STREAMING_API_KEYS"):
        Settings.load({"PORT": 5000}).check_exposure()

    Settings.load().check_exposure()
    Settings.load({"PORT": 5000, "STREAMING_API_KEYS": "k"}).check_exposure()
    Settings.load({"PORT": 5000, "STREAMING_ALLOW_ANONYMOUS": "1"}).check_exposure()


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("[::1]", True),
        ("localhost", True), ("0.0.0.0", False), ("::", False), ("10.0.0.1", False),
        ("example.org", False), ("", False),
    ],
)  # fmt: skip
def test_only_this_machine_is_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) == loopback


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DYNO", "web.1")
    yield
    assert os.environ["DYNO"]


def test_a_disk_lasts_unless_the_platform_throws_it_away() -> None:
    assert durable_disk()


@pytest.mark.usefixtures("platform")
def test_a_platforms_disk_does_not_last() -> None:
    assert not durable_disk()


def test_the_platforms_description_asks_for_known_settings_only() -> None:
    described = json.loads((Path(__file__).parent.parent / "app.json").read_text())

    assert set(described.get("env", {})) <= {*NAMES, "GUNICORN_CMD_ARGS"}


def test_proxies_end_idle_connections_before_gunicorn_does() -> None:
    deploy = Path(__file__).parent.parent / "deploy"
    (nginx,) = re.findall(r"keepalive_timeout (\d+)s;", (deploy / "nginx.conf").read_text())
    (caddy,) = re.findall(r"keepalive (\d+)s", (deploy / "Caddyfile").read_text())
    asked = "from streaming.server.gunicorn_conf import keepalive; print(keepalive)"

    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)

    assert int(told.stdout) > max(90, int(nginx), int(caddy))  # Heroku's router: 90
