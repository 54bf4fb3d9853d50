"""Whatever people write in tasks works as in a plain Python process, wherever tasks run."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import socket
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import psutil
import pytest

from tests.e2e.clients import Api, Json
from tests.e2e.cluster import Cluster
from tests.e2e.code_tasks import CASES, RESULTS
from tests.e2e.flask_run import FlaskRun
from tests.e2e.reading import of_type
from tests.e2e.server import Server
from tests.e2e.waiting import eventually
from tests.redis_server import RedisServer

#: The modules of tasks that the servers load.
TASKS = "tests.e2e.e2e_tasks,tests.e2e.code_tasks"
#: Seconds that a case may take on a machine that does much besides.
CASE_S = 40.0
#: Seconds within which a cancelled job has ended, whatever its code does.
CANCEL_S = 6.0
#: What two dozen of them at once, on a machine that does much besides, may take longer.
SLACK_S = 2.0

#: Cases that end as failed, and with which code.
REFUSED = {"signal": "signal_in_task"}


@pytest.fixture(scope="module", params=["gevent", "gthread", "flask", "redis"])
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server of each kind that runs tasks; what it leaves behind at its end is looked for."""
    folder, kind = tmp_path_factory.mktemp("any-code"), request.param
    settings = {"STREAMING_TASKS": TASKS, "STREAMING_DRAIN_S": 2}
    if kind == "redis":
        redis = request.getfixturevalue("redis_server")
        server: Server = make_cluster(redis, folder, settings)
    elif kind == "flask":
        server = FlaskRun(folder, **settings)
    else:
        server = Server(folder, kind, **settings)
    with server:
        yield server.start()
        server.stop()
        if kind == "flask":  # a plain Python process: what its tasks have started is theirs
            eventually(lambda: not killed(family_of(server)), "what its tasks started has ended")
        assert_nothing_left(server)


def make_cluster(redis: RedisServer, folder: Path, settings: Json) -> Server:
    with redis.client() as client:
        client.flushall()
    return Cluster(folder, redis.url, **settings)


def family_of(server: Server) -> list[psutil.Process]:
    """Every process that this server, or something that it has started, has started."""
    mark, found = str(server.var_dir), []
    for process in psutil.process_iter():
        try:
            if process.environ().get("STREAMING_VAR_DIR") == mark:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return [each for each in found if each.status() != psutil.STATUS_ZOMBIE]


def killed(family: list[psutil.Process]) -> list[psutil.Process]:
    """Those who were still there; each may have started another since."""
    for each in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    return family


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return True
    return False


def assert_nothing_left(server: Server) -> None:
    """No process, no port, no lock."""
    eventually(lambda: not family_of(server), "all its processes have ended")
    # The kernel takes down a process with threads for a while after it is a zombie.
    eventually(lambda: is_free(server.port), "its port is free")
    lock = server.var_dir / "streaming.db.lock"
    if lock.exists():
        with lock.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def asked(server: Server, case: str, tmp_path: Path, **more: Json) -> Json:
    return {"case": case, "url": server.url, "path": str(tmp_path / "words.db"), **more}


@pytest.mark.parametrize("case", CASES)
def test_a_task_may_do_it(place: Server, case: str, tmp_path: Path) -> None:
    shown = place.api.finish(
        place.api.submit("code", asked(place, case, tmp_path)), timeout_s=CASE_S
    )

    if case in REFUSED:
        assert (shown["status"], shown["error"]["code"]) == ("failed", REFUSED[case])
    else:
        assert (shown["status"], shown["output"]) == ("completed", RESULTS[case]), shown["error"]
    assert shown["attempt"] == 1


def test_an_async_task_may_start_processes_and_threads(place: Server, tmp_path: Path) -> None:
    job = place.api.submit("code-async", asked(place, "", tmp_path))

    assert place.api.finish(job, timeout_s=CASE_S)["output"] == ["hi\n", 9]


def test_what_a_thread_of_a_task_makes_is_streamed_while_it_is_made(
    place: Server, tmp_path: Path
) -> None:
    api = place.api

    job = api.submit("producer", asked(place, "", tmp_path, seconds=0.16))
    api.finish(job, timeout_s=CASE_S)

    at = [datetime.fromisoformat(e["at"]) for e in of_type(api.log_of(job), "text.delta")]
    gaps = [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(at)]
    assert len(at) == 10
    assert sorted(gaps)[len(gaps) // 2] == pytest.approx(0.16, abs=0.08)


# Under `flask run` tasks are in a plain Python process, which dies of its alarms.
@pytest.mark.parametrize("place", ["gevent", "gthread", "redis"], indirect=True, scope="module")
def test_an_alarm_of_a_task_ends_no_process_but_its_own_children(place: Server) -> None:
    shown = place.api.finish(place.api.submit("alarmed"), timeout_s=CASE_S)

    assert (shown["status"], shown["output"], shown["attempt"]) == ("completed", [-14, 7], 1)


def begun(api: Api, job: str) -> None:
    eventually(lambda: "begun" in api.snapshot(job)["text"], "it has begun", timeout_s=CASE_S)


def test_all_of_them_are_cancelled_in_time(place: Server, tmp_path: Path) -> None:
    api = place.api
    jobs = {case: api.submit("code", asked(place, case, tmp_path, seconds=100)) for case in CASES}
    jobs["async"] = api.submit("code-async", asked(place, "", tmp_path, seconds=100))
    jobs["producer"] = api.submit("producer", asked(place, "", tmp_path, seconds=100))
    for case, job in jobs.items():
        api.reach(job, "running", timeout_s=CASE_S)
        if case != "producer":
            begun(api, job)

    for job in jobs.values():
        api.cancel(job)

    for case, job in jobs.items():
        shown = api.finish(job, timeout_s=4 * CANCEL_S)
        asked_at, ended_at = (
            datetime.fromisoformat(of_type(api.log_of(job), kind)[0]["at"])
            for kind in ("job.cancel_requested", "job.cancelled")
        )
        assert shown["status"] == "cancelled", case
        assert (ended_at - asked_at).total_seconds() < CANCEL_S + SLACK_S, case
