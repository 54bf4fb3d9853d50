"""A server that is closed is gone: no thread, no descriptor, no lock, and nothing answers."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from flask import Flask

from app import create_app
from streaming import JobContext, Settings, Streaming, server_of
from streaming.errors import Closed
from streaming.jobs.request import Request
from streaming.running.host_runner import HostRunner
from streaming.running.runner import HostFigures, Runner
from streaming.server.mount import mount_of
from streaming.server.process import ServingProcess
from streaming.storage.sqlite.lock import FileLock
from tests.gate import Gate
from tests.killing import kill
from tests.redis_server import RedisServer
from tests.threads import Background, eventually

ROUNDS = 5


def threads() -> Counter[str]:
    return Counter(thread.name.split("-")[0] for thread in threading.enumerate())


def descriptors() -> Counter[str]:
    """What the descriptors of this process are of."""
    found: Counter[str] = Counter()
    for path in Path("/proc/self/fd").iterdir():
        try:
            kind = os.readlink(path)
        except FileNotFoundError:  # the folder's own
            continue
        found[kind if kind.startswith("/") else kind.split(":")[0]] += 1
    return found


def made(**settings: Any) -> tuple[Flask, Streaming]:
    app = Flask("app")
    streaming = Streaming(app, settings=Settings(**settings), authorize=lambda: "me")

    @streaming.task("answer")
    def answer(ctx: JobContext, input: dict[str, Any]) -> str:
        ctx.text("an answer")
        return "an answer"

    @app.post("/ask")
    def ask() -> dict[str, Any]:
        return streaming.submit(answer, {})

    return app, streaming


def use(app: Flask) -> None:
    """One job, run and read over HTTP."""
    client = app.test_client()
    job = client.post("/ask").json["id"]
    eventually(lambda: ended(app, job))
    assert client.get("/v1/readyz").json["ready"] is True
    assert b"an answer" in client.get(f"/v1/jobs/{job}/events").data
    assert client.get("/v1/metrics").status_code == 200


def ended(app: Flask, job: str) -> bool:
    row = server_of(app).services().storage.index.get(job)
    return row is not None and row.closed


def status(app: Flask, job: str) -> str:
    row = server_of(app).services().storage.index.get(job)
    return "" if row is None else row.status


@pytest.fixture(params=["memory", "sqlite", pytest.param("redis", marks=pytest.mark.server)])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    given: dict[str, Any] = {"STREAMING_VAR_DIR": tmp_path}
    if request.param == "memory":
        given["STREAMING_LOG_URL"] = "memory://"
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        with server.client() as client:
            client.flushall()
        given["REDIS_URL"] = server.url
    return given


def test_after_close_nothing_of_the_server_is_left(settings: dict[str, Any]) -> None:
    def once() -> None:
        app, streaming = made(**settings)
        if "REDIS_URL" in settings:  # no worker runs jobs here
            server_of(app).services().registry.submit("me", Request("answer", {}))
            assert app.test_client().get("/v1/readyz").status_code == 503
        else:
            use(app)
        streaming.close(within_s=1)

    once()  # what libraries keep for ever is there now
    before = threads(), descriptors()
    for _ in range(ROUNDS):
        once()

    # What another test has left may end meanwhile.
    eventually(lambda: not threads() - before[0])
    eventually(lambda: not descriptors() - before[1])


def test_what_is_closed_refuses(settings: dict[str, Any]) -> None:
    app, streaming = made(**settings)
    services = server_of(app).services()
    row, _ = services.registry.submit("me", Request("answer", {}))
    streaming.close(within_s=1)
    streaming.close()

    storage = services.storage
    calls: list[Callable[[], object]] = [
        lambda: server_of(app).services(),
        lambda: server_of(app).start(timeout=0),
        lambda: services.registry.submit("me", Request("answer", {})),
        lambda: storage.index.get(row.id),
        lambda: storage.index.list(),
        lambda: storage.log.page(row.id, 0, 10),
        lambda: storage.log.append(row.id, []),
        lambda: storage.blobs.put(f"{row.id}/a", [b""]),
        lambda: storage.blobs.open(f"{row.id}/a"),
        lambda: storage.secret(),
    ]
    for call in calls:
        with pytest.raises(Closed):
            call()
    response = app.test_client().post("/v1/jobs", json={"task": "answer", "input": {}})
    assert (response.status_code, response.json["code"]) == (503, "draining")
    assert app.test_client().get("/v1/readyz").status_code == 503


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Callable[[], tuple[Flask, Streaming]]]:
    """Makes apps on one file, as a factory that is called again and again."""
    all_of_them: list[Streaming] = []

    def make() -> tuple[Flask, Streaming]:
        app, streaming = made(STREAMING_VAR_DIR=tmp_path)
        all_of_them.append(streaming)
        return app, streaming

    yield make
    for each in all_of_them:
        each.close(within_s=1)


def test_apps_on_one_file_share_a_server(two: Callable[[], tuple[Flask, Streaming]]) -> None:
    (first, _), (second, _) = two(), two()
    use(first)
    threads_of_one = threads()

    use(second)

    assert threads() == threads_of_one
    jobs = [server_of(app).services().storage.index.list() for app in (first, second)]
    assert len(jobs[0]) == 2
    assert jobs[0] == jobs[1]


def test_an_app_that_leaves_takes_nothing_from_the_others(
    two: Callable[[], tuple[Flask, Streaming]],
) -> None:
    (first, leaving), (second, last) = two(), two()
    use(first)
    use(second)

    leaving.close(within_s=1)

    use(second)
    with pytest.raises(Closed):
        server_of(first).services()
    last.close(within_s=1)
    third, _ = two()
    use(third)


def test_logs_in_memory_are_each_apps_own() -> None:
    apps = [made(STREAMING_LOG_URL="memory://") for _ in range(2)]
    for app, _ in apps:
        use(app)

    for app, streaming in apps:
        assert len(server_of(app).services().storage.index.list()) == 1
        streaming.close(within_s=1)


def test_close_ends_jobs_and_leaves_them_to_a_later_start(gate: Gate, tmp_path: Path) -> None:
    app, streaming = made(STREAMING_VAR_DIR=tmp_path)

    @streaming.task("held")
    def held(ctx: JobContext, input: dict[str, Any]) -> str:
        """Run until the gate opens."""
        while not gate.is_open:
            ctx.sleep(0.01)
        return "done"

    services = server_of(app).services()
    row, _ = services.registry.submit("me", Request("held", {}))
    eventually(lambda: status(app, row.id) == "running")
    streaming.close(within_s=0.1)
    gate.open()

    again, later = made(STREAMING_VAR_DIR=tmp_path)
    later.task("held")(held.function)
    eventually(lambda: ended(again, row.id))
    later.close(within_s=1)


class Hosting(ServingProcess):
    """A process whose tasks run in task hosts."""

    app_uri = "app:create_app()"


@pytest.fixture
def hosted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    """An app whose tasks run in a host, which is ready."""
    monkeypatch.setenv("STREAMING_VAR_DIR", str(tmp_path))
    app = create_app()
    server = server_of(app)
    server.start(timeout=0, process=Hosting())
    eventually(lambda: hosts_of(server.services().runner).ready == 1, timeout_s=60)
    yield app
    server.close(within_s=1)


def hosts() -> list[psutil.Process]:
    """The task hosts of this process; other tests of it may have servers of their own."""
    children = psutil.Process().children()
    return [each for each in children if each.environ().get("STREAMING_ROLE") == "host"]


def test_task_hosts_are_closed_with_the_server(hosted: Flask) -> None:
    registry, [host] = server_of(hosted).services().registry, hosts()
    row, _ = registry.submit("me", Request("train", {}))
    eventually(lambda: status(hosted, row.id) == "running", timeout_s=20)

    mount_of(hosted).close(within_s=1)

    assert not host.is_running()
    assert not any(name in threads() for name in ("task", "host"))


def test_the_end_of_the_thread_that_watches_hosts_is_seen(hosted: Flask) -> None:
    server, [host] = server_of(hosted), hosts()
    runner = server.services().runner
    assert isinstance(runner, HostRunner)

    kill("task-hosts")

    assert server.dead() == ["task-hosts"]
    server.close(within_s=1)
    assert not host.is_running()
    assert server.dead() == []


def hosts_of(runner: Runner) -> HostFigures:
    figures = runner.load().hosts
    assert figures is not None
    assert figures.given_up is None
    return figures


def test_an_app_that_was_never_used_closes_at_once(tmp_path: Path) -> None:
    app, streaming = made(STREAMING_VAR_DIR=tmp_path)

    streaming.close()

    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Closed):
        server_of(app).services()


def test_a_start_that_waits_for_a_predecessor_does_not_hold_up_the_end(tmp_path: Path) -> None:
    held = FileLock(tmp_path / "streaming.db")
    held.acquire(timeout=0)
    app, streaming = made(STREAMING_VAR_DIR=tmp_path)
    waiting = Background(server_of(app).services)
    assert not waiting.ends_within(0.1)

    began = time.monotonic()
    streaming.close()
    assert time.monotonic() - began < 1
    held.release()

    with pytest.raises(Closed):
        waiting.result()
    eventually(lambda: not Path("/proc/locks").read_text().count(lock_of(tmp_path)))


def lock_of(folder: Path) -> str:
    """What /proc/locks says of the lock of the log in a folder."""
    return f":{(folder / 'streaming.db.lock').stat().st_ino} "
