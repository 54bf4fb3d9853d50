"""Answers that wait hold nothing of the app's: its context is gone before the wait begins."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from flask import Flask, Response, g, has_app_context, session
from websocket import create_connection
from werkzeug.serving import make_server

from streaming import JobContext, Streaming, TaskError, server_of
from streaming.testing import Jobs, running

Json = Any
#: Seconds after which a test has failed.
LIMIT_S = 20.0


class Pool:
    """Connections of a database, as an app opens them for a request and gives them back."""

    def __init__(self) -> None:
        self.lock = threading.Condition()
        self.taken = 0

    def take(self) -> None:
        with self.lock:
            self.taken += 1
        g.connection = True

    def give_back(self, _error: BaseException | None) -> None:
        if g.pop("connection", None):
            with self.lock:
                self.taken -= 1
                self.lock.notify_all()

    def wait_until_free(self) -> None:
        with self.lock:
            assert self.lock.wait_for(lambda: not self.taken, LIMIT_S)


@pytest.fixture
def pool() -> Pool:
    return Pool()


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    made = threading.Event()
    yield made
    made.set()


@pytest.fixture
def app(pool: Pool, gate: threading.Event) -> Flask:
    app = Flask(__name__)
    app.secret_key = "for this test"

    def authorize() -> str:
        pool.take()
        return "ann"

    names = ["chat", "messages", "responses", "a2a"]
    streaming = Streaming(app, authorize=authorize, open_submit=True, protocols=names)
    app.teardown_appcontext(pool.give_back)

    @app.after_request
    def mark(response: Any) -> Any:
        response.headers["X-Host"] = "yes"
        session["seen"] = "yes"
        return response

    @streaming.task("wait")
    def wait(ctx: JobContext, input: Json) -> Json:
        while not gate.wait(0.01):
            ctx.raise_if_cancelled()
        return {"context": has_app_context()}

    @streaming.task("say", answers=True)
    def say(ctx: JobContext, input: Json) -> Iterator[str]:
        while not gate.wait(0.01):
            ctx.raise_if_cancelled()
        if input["messages"][-1]["content"] == "fail":
            raise TaskError("it cannot", code="in_vain")
        yield "said"

    return app


@contextmanager
def serving(app: Flask) -> Iterator[tuple[str, Jobs]]:
    """The app behind Flask's development server, its jobs running."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    with running(app) as jobs:
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.port}", jobs
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def ask(method: str, url: str, **options: Any) -> tuple[threading.Thread, list[requests.Response]]:
    """A request in a thread of its own, and where its response comes."""
    got: list[requests.Response] = []

    def run() -> None:
        got.append(requests.request(method, url, timeout=LIMIT_S, **options))

    thread = threading.Thread(target=run)
    thread.start()
    return thread, got


def answered_late(
    app: Flask, pool: Pool, gate: threading.Event, url: str, **options: Any
) -> tuple[str, requests.Response]:
    """The job that a POST starts, and its answer, for which it holds no connection of the app's."""
    thread, got = ask("POST", url, **options)
    only = first_job(app)
    watched(app, only)
    pool.wait_until_free()
    assert not got
    gate.set()
    thread.join(LIMIT_S)
    return only, got[0]


def test_a_long_poll_gives_the_apps_connections_back_while_it_waits(
    app: Flask, pool: Pool, gate: threading.Event
) -> None:
    with serving(app) as (url, jobs):
        job = jobs.start("wait", owner="ann")
        job.wait_for("job.started")
        thread, got = ask("GET", f"{url}/v1/jobs/{job.id}/poll?after=2&wait=20")
        watched(app, job.id)
        pool.wait_until_free()
        assert not got
        gate.set()
        thread.join(LIMIT_S)

    assert [event["type"] for event in got[0].json()["events"]] == ["job.completed"]
    assert got[0].json()["closed"]
    assert got[0].headers["X-Host"] == "yes"
    assert "session" in got[0].cookies


def test_prefer_wait_gives_the_apps_connections_back_while_it_waits(
    app: Flask, pool: Pool, gate: threading.Event
) -> None:
    wanted = {"json": {"task": "wait"}, "headers": {"Prefer": "wait=20"}}
    with serving(app) as (url, _):
        only, answer = answered_late(app, pool, gate, f"{url}/v1/jobs", **wanted)

    assert (answer.status_code, answer.json()["output"]) == (200, {"context": True})
    assert answer.headers["Location"] == f"/v1/jobs/{only}"
    assert answer.headers["Preference-Applied"] == "wait=20"


def test_a_wait_whose_time_is_over_says_how_far_the_job_is(app: Flask) -> None:
    with running(app):
        answer = app.test_client().post(
            "/v1/jobs", json={"task": "wait"}, headers={"Prefer": "wait=1"}
        )
        page = app.test_client().get(answer.get_json()["links"]["poll"] + "?after=2&wait=0.01")

    assert answer.status_code == 202
    assert answer.get_json()["status"] == "running"
    assert page.get_json() == {"events": [], "next": 2, "status": "running", "closed": False}


def question(protocol: str, said: str) -> tuple[str, Json]:
    """The URL and the body of a question whose answer is wanted whole."""
    body: Json = {"model": "say", "messages": [{"role": "user", "content": said}]}
    if protocol == "messages":
        body["max_tokens"] = 9
    if protocol == "responses":
        body = {"model": "say", "input": said}
    return "/v1/chat/completions" if protocol == "chat" else f"/v1/{protocol}", body


def message(method: str, said: str) -> Json:
    """A message of A2A to the task `say`."""
    parts = {"role": "ROLE_USER", "parts": [{"text": said}], "messageId": "m"}
    params = {"message": {**parts, "metadata": {"skill": "say"}}}
    rpc = {"jsonrpc": "2.0", "id": "a", "method": "SendMessage", "params": params}
    return rpc if method == "rpc" else params


@pytest.mark.parametrize("protocol", ["chat", "messages", "responses"])
@pytest.mark.parametrize(("said", "status"), [("x", 200), ("fail", 500)])
def test_a_whole_answer_gives_the_apps_connections_back_while_it_is_waited_for(
    app: Flask, pool: Pool, gate: threading.Event, protocol: str, said: str, status: int
) -> None:
    path, body = question(protocol, said)
    with serving(app) as (url, _):
        only, answer = answered_late(app, pool, gate, url + path, json=body)

    assert (answer.status_code, answer.headers["X-Job-Id"]) == (status, only)
    assert answer.headers["X-Host"] == "yes"
    assert "said" in answer.text or answer.json()["error"]["code"] == "in_vain"
    if protocol == "messages" and status == 500:
        assert answer.json()["request_id"] == answer.headers["X-Request-ID"]


@pytest.mark.parametrize(("path", "binding"), [("/a2a", "rpc"), ("/a2a/v1/message:send", "http")])
def test_who_waits_for_a_task_of_a2a_holds_none_of_the_apps_connections(
    app: Flask, pool: Pool, gate: threading.Event, path: str, binding: str
) -> None:
    with serving(app) as (url, _):
        only, answer = answered_late(app, pool, gate, url + path, json=message(binding, "x"))

    told = answer.json()
    task = (told["result"] if binding == "rpc" else told)["task"]
    assert (task["id"], task["status"]["state"]) == (only, "TASK_STATE_COMPLETED")
    assert told.get("id") == ("a" if binding == "rpc" else None)
    assert answer.headers["X-Job-Id"] == only


class OwnResponse(Response):
    """As apps have it that want something in every response."""

    default_mimetype = "text/plain"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.headers["X-Own"] = "yes"


def test_an_app_with_responses_of_its_own_has_answers_that_waited(
    app: Flask, gate: threading.Event
) -> None:
    app.response_class = OwnResponse
    gate.set()
    with running(app):
        client = app.test_client()
        done = client.post("/v1/jobs", json={"task": "wait"}, headers={"Prefer": "wait=20"})
        started = client.post("/v1/jobs", json={"task": "wait"}).get_json()
        page = client.get(f"/v1/jobs/{started['id']}/poll?after=1&wait=20")

    assert (done.status_code, done.get_json()["status"]) == (200, "completed")
    assert (done.mimetype, done.headers["X-Own"]) == ("application/json", "yes")
    assert page.get_json()["events"]


def test_hooks_find_the_type_of_an_answer_that_waits_and_may_wrap_it(
    app: Flask, gate: threading.Event
) -> None:
    @app.after_request
    def look(response: Any) -> Any:
        if response.content_type.startswith("text/html"):
            response.set_data(response.get_data())
        return response

    wraps = False

    @app.after_request
    def wrap(response: Any) -> Any:
        return Response(response.response, headers=response.headers) if wraps else response

    gate.set()
    with running(app):
        wanted = {"json": {"task": "wait"}, "headers": {"Prefer": "wait=20"}}
        looked_at = app.test_client().post("/v1/jobs", **wanted)
        wraps = True
        wrapped = app.test_client().post("/v1/jobs", **wanted)

    assert (looked_at.mimetype, looked_at.get_json()["status"]) == ("application/json", "completed")
    assert wrapped.get_json(force=True)["status"] == "completed"


def test_an_answer_that_was_waited_for_says_each_thing_once(app: Flask) -> None:
    @app.after_request
    def cache(response: Any) -> Any:
        response.headers["Cache-Control"] = "private"
        response.headers["Content-Type"] = "text/plain"
        response.set_cookie("theme", "dark")
        return response

    with running(app) as jobs:
        job = jobs.start("wait", owner="ann")
        job.wait_for("job.started")
        page = app.test_client().get(f"/v1/jobs/{job.id}/poll?after=2&wait=0.01")

    assert page.headers.getlist("Cache-Control") == ["no-store"]
    assert page.headers.getlist("Content-Type") == ["application/json"]
    assert page.headers.getlist("Content-Length") == [str(len(page.data))]
    assert len(page.headers.getlist("Set-Cookie")) == 2


def test_a_websocket_holds_no_connection_and_no_context_of_the_apps(
    app: Flask, pool: Pool, gate: threading.Event
) -> None:
    torn_down: list[bool] = []
    app.teardown_appcontext(lambda _: torn_down.append(True))
    with serving(app) as (url, jobs):
        job = jobs.start("wait", owner="ann")
        socket = create_connection(
            url.replace("http", "ws") + f"/v1/jobs/{job.id}/ws", timeout=LIMIT_S
        )
        socket.recv()
        pool.wait_until_free()
        assert torn_down
        socket.send('{"type": "ping", "ref": 1}')
        while '"ack"' not in socket.recv():
            continue
        pool.wait_until_free()
        gate.set()
        while '"job.completed"' not in socket.recv():
            continue
        socket.close()


def watched(app: Flask, job: str) -> None:
    """Wait until somebody watches the job."""
    viewers = server_of(app).services().storage.viewers
    done = threading.Event()
    for _ in range(2000):
        if viewers.of(job):
            return
        done.wait(0.01)
    raise AssertionError("nobody watches")


def first_job(app: Flask) -> str:
    done = threading.Event()
    for _ in range(2000):
        found = app.test_client().get("/v1/jobs").get_json()["jobs"]
        if found:
            return str(found[0]["id"])
        done.wait(0.01)
    raise AssertionError("no job was started")
