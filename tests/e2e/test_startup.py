"""Starting: what stops it, and what it warns of."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import NewServer
from tests.e2e.server import Server


@pytest.fixture
def server_with(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewServer]:
    """Makes a server of the default worker class: what is tested here does not depend on it."""
    with ExitStack() as stack:

        def make(**settings: Any) -> Server:
            settings = {"GUNICORN_WORKER_CLASS": "gevent", **settings}
            folder = tmp_path_factory.mktemp("server")
            worker_class = settings.pop("GUNICORN_WORKER_CLASS")
            return stack.enter_context(Server(folder, worker_class, **settings))

        yield make


def refusal(server: Server) -> str:
    """What a server that does not start says."""
    server.launch()
    assert server.wait_until_ended() != 0
    return server.log_text()


BAD = {
    "PORT": "70000",
    "GUNICORN_WORKER_CLASS": "eventlet",
    "WEB_CONCURRENCY": "0",
    "STREAMING_LOG_URL": "mysql://host/name",
    "STREAMING_HEARTBEAT_S": "soon",
    "STREAMING_ROTATE_S": "-1",
    "STREAMING_JOBS": "0",
    "STREAMING_QUEUE": "1.5",
    "STREAMING_MAX_STREAMS": "-7",
    "STREAMING_MAX_BODY_BYTES": "-5",
    "STREAMING_RETENTION_EVENTS": "none",
    "STREAMING_ALLOW_ANONYMOUS": "perhaps",
}


def test_bad_values_stop_the_start_and_each_is_named(server_with: NewServer) -> None:
    said = refusal(server_with(**BAD))

    for name, value in BAD.items():
        assert name in said
        assert value in said or "URL" in name
    assert "Traceback" not in said


def test_tasks_that_are_not_there_stop_the_start(server_with: NewServer) -> None:
    said = refusal(server_with(STREAMING_TASKS="no.such.module"))

    assert "STREAMING_TASKS=no.such.module" in said
    assert "Traceback" not in said


def test_tasks_that_do_not_import_are_named_with_the_line(
    server_with: NewServer, tmp_path: Path
) -> None:
    (tmp_path / "broken_tasks.py").write_text("import sys\n\nsys.no_such_name\n")

    said = refusal(server_with(STREAMING_TASKS="broken_tasks", PYTHONPATH=tmp_path))

    assert "STREAMING_TASKS=broken_tasks: AttributeError" in said
    assert f"({tmp_path}/broken_tasks.py, line 3)" in said
    assert "Traceback" not in said


def test_tasks_that_end_the_process_while_they_load_stop_the_start_once(
    server_with: NewServer, tmp_path: Path
) -> None:
    (tmp_path / "leaving_tasks.py").write_text("import sys\n\nsys.exit(3)\n")

    said = refusal(server_with(STREAMING_TASKS="leaving_tasks", PYTHONPATH=tmp_path))

    assert said.count("STREAMING_TASKS=leaving_tasks: SystemExit: 3") == 1
    assert "Traceback" not in said


def test_a_taken_port_is_said_with_what_to_do(server_with: NewServer) -> None:
    server = server_with()

    with socket.create_server(("127.0.0.1", server.port)):
        said = refusal(server)

    assert f"port {server.port} is taken" in said
    assert "set PORT" in said


@pytest.mark.parametrize("host", ["0.0.0.0", ""], ids=["said", "by-default-with-a-port"])
def test_without_keys_it_does_not_serve_other_machines(server_with: NewServer, host: str) -> None:
    said = refusal(server_with(HOST=host))

    assert "STREAMING_API_KEYS" in said
    assert "STREAMING_ALLOW_ANONYMOUS" in said


@pytest.mark.parametrize(
    "settings", [{"STREAMING_ALLOW_ANONYMOUS": "1"}, {"STREAMING_API_KEYS": "a-key"}], ids=str
)
def test_with_keys_or_when_it_is_said_it_serves_other_machines(
    server_with: NewServer, settings: dict[str, str]
) -> None:
    server = server_with(HOST="0.0.0.0", **settings).start()

    assert server.api.get("/healthz").status_code == 200


def test_a_second_server_on_the_same_file_is_refused_and_the_first_goes_on(
    server_with: NewServer,
) -> None:
    first = server_with().start()

    said = refusal(server_with(STREAMING_VAR_DIR=first.var_dir))

    assert str(first.var_dir / "streaming.db") in said
    assert "Traceback" not in said
    assert first.api.run("plain", {"words": ["a"]})["status"] == "completed"


def test_without_a_shared_log_there_is_one_worker_and_a_warning(server_with: NewServer) -> None:
    server = server_with(WEB_CONCURRENCY=4).start()

    assert len(server.workers()) == 1
    assert "WEB_CONCURRENCY" in server.log_text()
    assert "REDIS_URL" in server.log_text()


def test_where_the_disk_does_not_last_start_and_readiness_say_so(server_with: NewServer) -> None:
    server = server_with(DYNO="web.1").start()

    assert "lost" in server.log_text()
    assert "lost" in server.api.get("/readyz").text


def test_a_log_in_memory_serves_and_leaves_no_file(server_with: NewServer) -> None:
    server = server_with(STREAMING_LOG_URL="memory://").start()

    assert server.api.run("plain", {"words": ["a"]})["status"] == "completed"
    assert not list(server.var_dir.rglob("*.db"))


def test_the_path_of_the_log_may_be_given(server_with: NewServer) -> None:
    server = server_with()
    path = server.var_dir.parent / "other.db"
    server = server_with(STREAMING_LOG_URL=f"sqlite:///{path}").start()

    server.api.run("plain", {"words": ["a"]})

    assert path.exists()


def test_a_quiet_start_and_stop_log_no_warning_and_no_traceback(server_with: NewServer) -> None:
    server = server_with().start()
    server.api.run("plain", {"words": ["a"]})

    server.stop()

    said = server.log_text()
    for word in ("Traceback", "WARNING", "ERROR", "Warning"):
        assert word not in said
