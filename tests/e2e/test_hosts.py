"""Task hosts: how they start, and what happens when they die, hang, or lose their server."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from streaming.events.recovery import SUSPICIOUS
from streaming.server.hosting import LONE
from tests.e2e.clients import Api, Json
from tests.e2e.reading import assert_whole, of_type
from tests.e2e.server import Server
from tests.e2e.test_any_code import TASKS, assert_nothing_left, family_of
from tests.e2e.waiting import eventually

#: Seconds within which a host must have taken the place of another, on a machine under load.
REPLACED_S = 40.0


@pytest.fixture(scope="module", params=["gevent", "gthread"])
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server whose hosts the tests break, one after the other."""
    with make(request.param, tmp_path_factory.mktemp("hosts")) as server:
        yield server.start()
        server.stop()
        assert_nothing_left(server)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own, not yet started."""
    with make("gevent", tmp_path) as server:
        yield server


def make(kind: str, folder: Path, **settings: str | float) -> Server:
    return Server(folder, kind, STREAMING_TASKS=TASKS, STREAMING_DRAIN_S=2, **settings)


def hosts_of(server: Server) -> list[psutil.Process]:
    """Children of the workers that run tasks."""
    found = []
    for worker in server.workers():
        found += [child for child in worker.children() if "server.host" in _line_of(child)]
    return found


def _line_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def host_of(server: Server) -> psutil.Process:
    return eventually(lambda: hosts_of(server), "there is a host", REPLACED_S)[0]


def host_that_ran(api: Api, job: str) -> int:
    """Where the job's newest attempt has run."""
    return int(of_type(api.log_of(job), "job.started")[-1]["data"]["worker"].split(":")[1])


def begun(api: Api, job: str) -> None:
    eventually(lambda: "begun" in api.snapshot(job)["text"], "it has begun", REPLACED_S)


def handed_over(api: Api, job: str) -> int:
    return sum(bool(e["data"].get("handed_over")) for e in of_type(api.log_of(job), "log"))


def counted_on(api: Api, job: str, attempt: int) -> Json:
    """The job goes on counting, as this attempt."""

    def look() -> Json:
        shown = api.snapshot(job)
        return shown if shown["attempt"] == attempt and shown["text"].startswith("0 ") else None

    return eventually(look, f"attempt {attempt} counts", REPLACED_S)


def test_a_host_has_nothing_of_its_server(shared: Server) -> None:
    host = host_of(shared)
    status = Path(f"/proc/{host.pid}/status").read_text()
    links = [os.readlink(each) for each in Path(f"/proc/{host.pid}/fd").iterdir()]
    ports = [each for each in host.net_connections("all") if each.status == psutil.CONN_LISTEN]

    shown = shared.api.run("where")["output"]

    assert ports == []
    assert not [link for link in links if "streaming.db" in link]
    assert sum(link.startswith("socket:") for link in links) == 1
    assert "SigBlk:\t0000000000000000" in status
    assert os.getsid(host.pid) == os.getpgid(host.pid) == host.pid
    nice = min(os.getpriority(os.PRIO_PROCESS, shared.process.pid) + 5, 19)
    assert (shown["role"], shown["gevent"], shown["nice"]) == ("host", False, nice)
    assert not [link for link in shown["child"][0] if "streaming.db" in link]
    assert shown["child"][1], "a forked child can be terminated"


@pytest.mark.parametrize("how", ["exit", "segv", "kill"])
def test_who_kills_its_host_again_and_again_fails_and_the_others_go_on(
    shared: Server, how: str
) -> None:
    api = shared.api
    beside = api.submit("counting")
    api.reach(beside, "running", timeout_s=REPLACED_S)

    killer = api.submit("dying", {"how": how})

    shown = api.finish(killer, timeout_s=2 * REPLACED_S)
    assert (shown["status"], shown["error"]["code"]) == ("failed", "worker_lost")
    assert api.reach(beside, "running", timeout_s=REPLACED_S)["attempt"] <= 4
    api.cancel(beside)
    assert api.finish(beside)["status"] == "cancelled"
    assert_whole(api.log_of(beside))


def test_two_suspects_at_a_time_have_a_host_and_the_next_follows_the_first_that_ends(
    own: Server,
) -> None:
    api = own.start().api
    jobs = [api.submit("asking") for _ in range(LONE + 1)]
    for attempt in range(1, SUSPICIOUS + 1):
        for job in jobs:
            reach(api, job, attempt)
        host_of(own).kill()

    def with_hosts() -> list[str]:
        found = [job for job in jobs if api.snapshot(job)["attempt"] == SUSPICIOUS + 1]
        return found if len(found) == LONE else []

    first, second = eventually(with_hosts, "two have a host of their own", REPLACED_S)
    (waiting,) = {*jobs} - {first, second}
    for job in (first, second):
        reach(api, job, SUSPICIOUS + 1)
    assert api.run("plain", {"words": ["a"]})["status"] == "completed"  # the shared one is there
    assert len(hosts_of(own)) == 1 + LONE
    assert api.snapshot(waiting)["attempt"] == SUSPICIOUS
    api.answer(first, {"ok": True})
    assert api.finish(first)["status"] == "completed"
    reach(api, waiting, SUSPICIOUS + 1)
    assert api.snapshot(second)["attempt"] == SUSPICIOUS + 1


def reach(api: Api, job: str, attempt: int) -> None:
    """The job asks, as this attempt."""

    def asks() -> bool:
        shown = api.snapshot(job)
        return (shown["attempt"], shown["status"]) == (attempt, "waiting_for_input")

    eventually(asks, f"attempt {attempt} of {job} asks", REPLACED_S)


def test_a_host_that_is_stopped_is_replaced_and_nobody_loses_an_attempt(shared: Server) -> None:
    api = shared.api
    job = api.submit("counting")
    counted_on(api, job, 1)
    host = host_of(shared)

    host.suspend()

    counted_on(api, job, 2)
    assert handed_over(api, job) == 1
    assert not host.is_running() or host.status() == psutil.STATUS_ZOMBIE
    api.cancel(job)
    api.finish(job)


def test_a_cancel_is_kept_over_a_host_that_does_not_answer(shared: Server) -> None:
    api = shared.api
    beside = api.submit("counting")
    counted_on(api, beside, 1)
    frozen = api.submit("frozen", {"seconds": 60})
    begun(api, frozen)

    api.cancel(frozen)

    assert api.finish(frozen, timeout_s=15)["status"] == "cancelled"
    counted_on(api, beside, 2)
    assert handed_over(api, beside) == 1
    api.cancel(beside)
    api.finish(beside)


def test_a_time_out_is_kept_over_a_host_that_does_not_answer(shared: Server) -> None:
    api = shared.api
    frozen = api.submit("frozen", {"seconds": 60}, timeout_s=2)

    shown = api.finish(frozen, timeout_s=REPLACED_S)

    assert (shown["status"], shown["error"]["code"]) == ("failed", "timed_out")


def test_a_host_in_which_c_code_computes_is_left_alone(shared: Server) -> None:
    api = shared.api
    beside = api.submit("counting")
    counted_on(api, beside, 1)
    host = host_of(shared)

    shown = api.finish(api.submit("frozen", {"seconds": 14, "busy": True}), timeout_s=90)

    assert (shown["status"], shown["attempt"], shown["output"]) == ("completed", 1, "thawed")
    assert host_of(shared) == host
    assert api.snapshot(beside)["attempt"] == 1
    api.cancel(beside)
    api.finish(beside)


def test_a_stuck_thread_comes_back_when_its_host_has_nothing_else_to_do(shared: Server) -> None:
    api = shared.api
    deaf = api.submit("deaf")
    api.reach(deaf, "running", timeout_s=REPLACED_S)
    host = host_that_ran(api, deaf)

    api.cancel(deaf)

    assert api.finish(deaf, timeout_s=15)["status"] == "cancelled"
    eventually(lambda: host not in [h.pid for h in hosts_of(shared)], "it is replaced", REPLACED_S)
    eventually(
        lambda: api.get("/readyz").json()["jobs"]["stuck_threads"] == 0, "no thread is stuck"
    )


def test_what_tasks_have_started_ends_with_their_host(shared: Server) -> None:
    api = shared.api
    job = api.submit("family")
    api.reach(job, "running", timeout_s=REPLACED_S)
    host, *children = map(int, eventually(lambda: api.snapshot(job)["text"], "it says").split())

    os.kill(host, signal.SIGKILL)

    eventually(lambda: not any(map(psutil.pid_exists, children)), "the children have ended")
    api.cancel(job)
    api.finish(job, timeout_s=REPLACED_S)


@pytest.mark.parametrize("whom", ["worker", "master", "all"])
def test_nothing_is_left_when_a_server_is_killed(own: Server, whom: str) -> None:
    api = own.start().api
    job = api.submit("family")
    api.reach(job, "running", timeout_s=REPLACED_S)
    frozen = api.submit("frozen", {"seconds": 120})
    eventually(lambda: api.snapshot(frozen)["status"] == "running", "it has begun", REPLACED_S)
    before = family_of(own)

    if whom == "worker":
        old = own.workers()
        old[0].kill()
        gone = [p for p in before if p.pid != own.process.pid]
    elif whom == "master":
        own.process.kill()
        gone = before
    else:
        own.kill()
        gone = before

    eventually(
        lambda: not [p for p in gone if p.is_running() and p.status() != psutil.STATUS_ZOMBIE],
        "all of it has ended",
        REPLACED_S,
    )


def test_an_app_that_hosts_cannot_load_runs_its_tasks_in_threads_and_says_so(
    own: Server, tmp_path: Path
) -> None:
    module = tmp_path / "refuses_hosts.py"
    module.write_text(
        "import streaming\n"
        "from app import create_app\n"
        "if streaming.role() == 'host':\n"
        "    raise RuntimeError('no second one')\n"
        "app = create_app()\n"
    )
    own.command = ["gunicorn", "-c", "gunicorn.conf.py", "--pythonpath", str(tmp_path)]
    own.command += ["refuses_hosts:app"]

    api = own.start().api

    def told() -> bool:
        return any("no second one" in note for note in api.get("/readyz").json()["notes"])

    eventually(told, "it is said", REPLACED_S)
    assert api.run("plain", {"words": ["a"]})["text"] == "a"


def test_where_tasks_are_to_be_threads_there_is_no_host(own: Server) -> None:
    own.set(STREAMING_TASK_PROCESSES=0)

    api = own.start().api

    assert api.run("plain", {"words": ["a"]})["text"] == "a"
    assert hosts_of(own) == []


def test_a_reload_puts_new_hosts_in_the_place_of_the_old_ones(own: Server) -> None:
    api = own.start().api
    job = api.submit("counting")
    counted_on(api, job, 1)
    old = host_of(own)

    own.reload()

    counted_on(api, job, 2)
    assert host_of(own) != old
    assert not psutil.pid_exists(old.pid)
    assert handed_over(api, job) == 1


def test_sigterm_without_jobs_is_over_in_three_seconds(own: Server) -> None:
    own.start().api.run("plain", {"words": ["a"]})

    assert own.stop() < 3.0
    assert_nothing_left(own)


EXISTING = """
from flask import Flask, current_app, url_for
import streaming as s

app = Flask(__name__)
extension = s.Streaming(app, open_submit=True)

@extension.task("inner")
def inner(ctx, input):
    return {"role": s.role(), "n": input["n"] + 1}

@extension.task("outer")
def outer(ctx, input):
    made = extension.submit(inner, {"n": 1})
    return {"job": made["id"], "app": current_app.name, "url": url_for("home", _external=True)}

@app.get("/home")
def home():
    return "at home"
"""


def test_a_task_submits_and_knows_its_app_as_in_the_serving_process(
    own: Server, tmp_path: Path
) -> None:
    (tmp_path / "existing.py").write_text(EXISTING)
    (tmp_path / "conf.py").write_text(
        "from streaming.hooks import on_starting, post_fork, post_worker_init, worker_exit\n"
        "worker_class = 'gevent'\ncontrol_socket_disable = True\n"
    )
    own.command = ["gunicorn", "-c", str(tmp_path / "conf.py"), "--pythonpath", str(tmp_path)]
    own.command += ["-b", f"127.0.0.1:{own.port}", "existing:app"]
    own.launch()
    eventually(lambda: _answers(own.api), "it answers", REPLACED_S)
    api = own.api

    shown = api.finish(api.submit("outer"), timeout_s=REPLACED_S)

    assert shown["status"] == "completed", shown["error"]
    assert (shown["output"]["app"], shown["output"]["url"]) == ("existing", f"{own.url}/home")
    assert api.finish(shown["output"]["job"])["output"] == {"role": "host", "n": 2}


def _answers(api: Api) -> bool:
    try:
        return api.get("/v1/tasks").status_code == 200
    except OSError:
        return False
