"""A host app behind gunicorn and others: it works, or says at once what to change."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from sseclient import SSEClient

from tests.flask.serving import GEVENT, HOOKS, Served, command, flask_run, free_port, gunicorn

pytestmark = pytest.mark.slow

Json = Any
#: Seconds after which a test has failed.
LIMIT_S = 25.0

SHOP = """
from flask import Flask
from streaming import Streaming
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

streaming = Streaming()


def create_app(greeting="hello"):
    app = Flask("shop", instance_path=INSTANCE)
    app.config["STREAMING_LOG_FORMAT"] = "json"
    streaming.init_app(app)

    @streaming.task("answer", answers=True, open=True)
    def answer(ctx, input):
        for word in (greeting, "world"):
            ctx.sleep(0.05)
            yield word + " "

    @streaming.task("count")
    def count(ctx, input):
        for number in range(ctx.restore(0), 400):
            ctx.checkpoint(number)
            ctx.sleep(0.01)
        return {"attempt": ctx.attempt}

    @app.get("/")
    def home():
        return "home"

    @app.post("/start/<task>")
    def start(task):
        return streaming.submit(task, {})

    return app


def hidden(inner):
    def application(environ, start_response):
        return inner(environ, start_response)
    return application


def translating(inner):
    def application(environ, start_response):
        return (piece.replace(b"world", b"Welt!") for piece in inner(environ, start_response))
    return application


app = create_app()
translated = translating(app)
wrapped = DispatcherMiddleware(ProxyFix(app), {})
inside_a_function = hidden(app)
class holder:
    app = app
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = f"INSTANCE = {str(tmp_path / 'instance')!r}\n{SHOP}"
    (tmp_path / "shop.py").write_text(source)
    return tmp_path


def text_of(served: Served, task: str = "answer") -> str:
    """The text of a job, as a stream gives it."""
    made = requests.post(f"{served.url}/start/{task}", timeout=LIMIT_S)
    assert made.status_code == 200, made.text
    return "".join(
        event["data"]["text"]
        for event in events(served, made.json()["links"]["events"])
        if event["type"] == "text.delta"
    )


def events(served: Served, path: str) -> Iterator[Json]:
    with requests.get(served.url + path, stream=True, timeout=LIMIT_S) as response:
        for frame in SSEClient(response.iter_content(None)).events():
            yield json.loads(frame.data)


def test_several_workers_without_hooks_are_refused_at_once(folder: Path) -> None:
    with gunicorn(folder, conf="workers = 2\nworker_class = 'gthread'\nthreads = 8\n") as served:
        served.wait_until_it_answers()
        for _ in range(6):
            began = time.monotonic()
            answer = requests.post(f"{served.url}/start/answer", timeout=LIMIT_S)
            assert time.monotonic() - began < 5
            assert answer.status_code == 500
            said = answer.json()["detail"]
            assert all(part in said for part in ("workers = 1", "hooks", "STREAMING_REDIS_URL"))
        assert requests.get(served.url, timeout=LIMIT_S).text == "home"
        assert "cannot start" in served.said


def test_several_workers_with_hooks_do_not_start(folder: Path) -> None:
    with gunicorn(folder, conf=GEVENT + HOOKS + "workers = 2\n") as served:
        assert served.wait_until_gone() != 0
        assert "set workers = 1" in served.said
        assert "Traceback" not in served.said


def test_sync_workers_do_not_start_with_hooks(folder: Path) -> None:
    with gunicorn(folder, conf=HOOKS) as served:
        assert served.wait_until_gone() != 0
        assert "worker_class" in served.said
        assert "Traceback" not in served.said


def test_sync_workers_are_warned_of_without_hooks(folder: Path) -> None:
    with gunicorn(folder) as served:
        served.wait_until_it_answers()
        served.wait_until_said("one request at a time")


@pytest.mark.parametrize(
    "app",
    ["shop:app", "shop:wrapped", "shop:inside_a_function", "shop:create_app()"],
)
def test_hooks_find_the_app_behind_what_is_served(folder: Path, app: str) -> None:
    with gunicorn(folder, app=app, conf=GEVENT + HOOKS) as served:
        served.wait_until_ready()
        assert text_of(served) == "hello world "


def test_what_middleware_makes_of_a_stream_is_what_its_reader_gets(folder: Path) -> None:
    conf = GEVENT + HOOKS + "raw_env = ['STREAMING_PROTOCOLS=chat']\n"
    question = {"model": "answer", "messages": [{"role": "user", "content": "?"}], "stream": True}
    with gunicorn(folder, app="shop:translated", conf=conf) as served:
        served.wait_until_said("is ready after")
        job = requests.post(f"{served.url}/start/answer", timeout=LIMIT_S).json()
        events = requests.get(served.url + job["links"]["events"], timeout=LIMIT_S)
        chat = requests.post(f"{served.url}/v1/chat/completions", json=question, timeout=LIMIT_S)

    for answer in (events, chat):
        assert "hello" in answer.text
        assert "Welt!" in answer.text
        assert "world" not in answer.text


def test_threads_in_the_hosts_configuration_bound_the_streams(folder: Path) -> None:
    conf = HOOKS + "worker_class = 'gthread'\nthreads = 6\n"
    with gunicorn(folder, conf=conf) as served:
        served.wait_until_it_answers()
        job = requests.post(f"{served.url}/start/count", timeout=LIMIT_S).json()
        lines = [
            requests.get(served.url + job["links"]["events"], stream=True, timeout=LIMIT_S)
            for _ in range(8)
        ]
        # The app's own pages find a thread, and those that are too many are told to come back.
        assert requests.get(served.url, timeout=5).text == "home"
        last = [next(SSEClient(line.iter_content(None)).events()) for line in lines[4:]]
        assert any(json.loads(frame.data)["type"] == "stream.closing" for frame in last)
        for line in lines:
            line.close()
        assert "3 streams at once" in served.said


def test_log_lines_are_as_the_apps_config_says(folder: Path) -> None:
    conf = HOOKS + GEVENT + "from streaming.hooks import Logger\nlogger_class = Logger\n"
    with gunicorn(folder, conf=conf) as served:
        served.wait_until_it_answers()
        served.process.terminate()
        served.wait_until_gone()
        (line,) = [line for line in served.said.splitlines() if "Worker exiting" in line]
        assert json.loads(line)["level"] == "INFO"


@pytest.mark.parametrize("kind", ["hooks", "flask run"])
def test_a_job_goes_on_after_a_kill(folder: Path, kind: str) -> None:
    def serve() -> Any:
        return gunicorn(folder, conf=GEVENT + HOOKS) if kind == "hooks" else flask_run(folder)

    with serve() as served:
        served.wait_until_it_answers()
        job = requests.post(f"{served.url}/start/count", timeout=LIMIT_S).json()
        stream = events(served, job["links"]["events"])
        while next(stream)["type"] != "job.started":
            continue
        kill_tree(served)
    with serve() as served:
        served.wait_until_it_answers()
        ended = list(events(served, job["links"]["events"]))[-1]
        assert ended["type"] == "job.completed"
        assert ended["data"]["output"] == {"attempt": 2}


def test_waitress_carries_as_many_streams_as_its_threads_allow(folder: Path) -> None:
    port = free_port()
    arguments = ["waitress", f"--listen=127.0.0.1:{port}", "shop:app"]
    with command(arguments, folder, f"http://127.0.0.1:{port}") as served:
        served.wait_until_it_answers()
        assert text_of(served) == "hello world "
        served.wait_until_said("2 streams at once")


def kill_tree(served: Served) -> None:
    """As `kill -9` of all of the server's processes."""
    import psutil

    parent = psutil.Process(served.process.pid)
    family = [*parent.children(recursive=True), parent]
    for each in family:
        each.kill()
    psutil.wait_procs(family, timeout=LIMIT_S)
