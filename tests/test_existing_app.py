"""The extension in a Flask app that exists: the example, and each way to mount it."""

from __future__ import annotations

import difflib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask, abort, request
from pydantic import BaseModel
from sseclient import SSEClient

from streaming import JobContext, Streaming, server_of

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "existing_app"
QUESTION = "Why is the sky blue?"
#: Seconds without a byte after which a test has failed.
SILENCE_S = 20.0

Json = Any


class Wanted(BaseModel):
    number: int


# -- the example


def test_after_differs_from_before_in_ten_lines_at_most() -> None:
    before, after = [
        (EXAMPLE / name).read_text().splitlines() for name in ("before.py", "after.py")
    ]

    changes = [line[:2] for line in difflib.ndiff(before, after)]

    assert 0 < changes.count("+ ") <= 10
    assert changes.count("- ") <= 10


def test_the_readme_counts_the_lines_as_they_are() -> None:
    before, after = [
        (EXAMPLE / name).read_text().splitlines() for name in ("before.py", "after.py")
    ]
    changes = [line[:2] for line in difflib.ndiff(before, after)]

    assert (changes.count("+ "), changes.count("- ")) == (9, 4)
    assert "nine lines are new, four are gone" in (EXAMPLE / "README.md").read_text()


@pytest.mark.slow
def test_before_gives_nothing_until_all_is_written(tmp_path: Path) -> None:
    with flask_run("before.py", tmp_path) as url:
        response = requests.post(f"{url}/ask", json={"question": QUESTION}, timeout=SILENCE_S)

    words = response.json()["answer"].split()
    assert response.elapsed.total_seconds() > 0.1 * len(words) * 0.9


@pytest.mark.slow
def test_after_streams_words_before_the_answer_is_whole(tmp_path: Path) -> None:
    with flask_run("after.py", tmp_path) as url:
        response = requests.post(f"{url}/ask", json={"question": QUESTION}, timeout=SILENCE_S)
        job = response.json()
        events = watch(url + job["links"]["events"])
        text = next(each for each in events if each["type"] == "text.delta")["data"]["text"]
        early = requests.get(url + job["links"]["self"], timeout=SILENCE_S).json()
        rest = list(events)

    assert response.status_code == 202
    text += "".join(each["data"]["text"] for each in rest if each["type"] == "text.delta")
    assert early["status"] == "running"
    assert text.startswith(early["text"])
    assert len(early["text"]) < len(text)
    assert rest[-1]["type"] == "job.completed"
    assert text.startswith(f"You asked: {QUESTION}")


@pytest.mark.slow
def test_a_reader_of_after_comes_back_to_the_rest(tmp_path: Path) -> None:
    with flask_run("after.py", tmp_path) as url:
        body = {"question": QUESTION}
        links = requests.post(f"{url}/ask", json=body, timeout=SILENCE_S).json()["links"]
        events = watch(url + links["events"])
        first = [next(events) for _ in range(5)]
        events.close()
        rest = list(watch(f"{url}{links['events']}?after={first[-1]['seq']}"))

    assert [each["seq"] for each in first + rest] == list(range(1, rest[-1]["seq"] + 1))


# -- ways to mount it


def test_init_app_mounts_on_the_app_of_a_factory() -> None:
    streaming = Streaming(open_submit=True)

    @streaming.task("shout")
    def shout(ctx: JobContext, input: Json) -> Iterator[str]:
        yield input["word"].upper()

    app = plain_app()
    streaming.init_app(app)

    with serving(app):
        assert run(app, "/v1", "shout", {"word": "hello"})["text"] == "HELLO"


def test_one_extension_serves_several_apps_each_with_its_own_jobs() -> None:
    streaming = Streaming(open_submit=True)
    apps = [plain_app(), plain_app()]
    for app in apps:
        streaming.init_app(app)

    @streaming.task("name")
    def name(ctx: JobContext, input: Json) -> str:
        return ctx.job

    with serving(apps[0]), serving(apps[1]):
        job = run(apps[0], "/v1", "name", {})["output"]
        assert apps[0].test_client().get(f"/v1/jobs/{job}").status_code == 200
        assert apps[1].test_client().get(f"/v1/jobs/{job}").status_code == 404


def test_a_prefix_is_before_every_route_and_link() -> None:
    app = plain_app()
    streaming = Streaming(app, url_prefix="/ai/", open_submit=True)

    @streaming.task("draw")
    def draw(ctx: JobContext, input: Json) -> None:
        ctx.artifact("a.txt", "drawn", media_type="text/plain")

    with serving(app):
        client, done = app.test_client(), run(app, "/ai/v1", "draw", {})
        links = {name: path for name, path in done["links"].items() if name != "ws"}
        assert all(path.startswith(f"/ai/v1/jobs/{done['id']}") for path in links.values())
        assert client.get(links["self"]).json["id"] == done["id"]
        assert client.get(done["artifacts"][0]["href"]).text == "drawn"
        assert client.get("/ai/v1/healthz").status_code == 200
        assert client.get("/ai/healthz").status_code == 404
        assert client.get("/healthz").status_code == 404


def test_submit_in_a_view_starts_a_job_of_whoever_asks() -> None:
    app = plain_app(STREAMING_API_KEYS="alice-key,bob-key")
    streaming = Streaming(app, url_prefix="/ai")

    @streaming.task("echo")
    def echo(ctx: JobContext, input: Json) -> Json:
        return input

    @app.post("/echo")
    def start() -> tuple[Json, int]:
        return streaming.submit(echo, request.json, metadata={"from": "view"}), 202

    with serving(app):
        alice, bob = [{"Authorization": f"Bearer {name}-key"} for name in ("alice", "bob")]
        client = app.test_client()
        job = client.post("/echo", json={"a": 1}, headers=alice).json
        assert job["metadata"] == {"from": "view"}
        assert client.get(job["links"]["self"], headers=alice).status_code == 200
        assert client.get(job["links"]["self"], headers=bob).status_code == 404


def test_a_view_that_submits_a_bad_input_answers_which_field_it_is() -> None:
    app = plain_app()
    streaming = Streaming(app)

    @streaming.task("square", input=Wanted)
    def square(ctx: JobContext, input: Wanted) -> int:
        return input.number**2

    @app.post("/square")
    def start() -> tuple[Json, int]:
        return streaming.submit(square, request.json), 202

    with serving(app):
        response = app.test_client().post("/square", json={"number": "many"})
        assert response.status_code == 422
        assert response.json is not None
        assert response.json["errors"][0]["field"] == "input.number"


def test_openapi_and_docs_of_a_plain_app_describe_the_routes_below_the_prefix() -> None:
    app = Flask("plain", static_folder=None)
    app.config.update(STREAMING_LOG_URL="memory://")
    Streaming(app, url_prefix="/ai")

    with serving(app):
        client = app.test_client()
        document = client.get("/ai/v1/openapi.json").json
        assert document is not None
        assert document["openapi"].startswith("3.")
        assert {"/ai/v1/jobs", "/ai/v1/jobs/{job}/events"} <= set(document["paths"])
        assert all(path.startswith("/ai/") for path in document["paths"])
        docs = client.get("/ai/v1/docs")
        assert docs.mimetype == "text/html"
        assert all(path in docs.text for path in document["paths"])


def test_the_app_keeps_its_own_error_pages() -> None:
    app = plain_app()
    Streaming(app, url_prefix="/ai")

    @app.get("/teapot")
    def teapot() -> None:
        abort(418)

    with serving(app):
        client = app.test_client()
        assert client.get("/teapot").mimetype == "text/html"
        assert client.get("/nothing").mimetype == "text/html"
        assert client.get("/ai/v1/jobs/nothing").mimetype == "application/problem+json"


# -- helpers


@contextmanager
def flask_run(name: str, tmp_path: Path) -> Iterator[str]:
    """The example served by `flask run` on a free port; the address, once it listens."""
    command = [sys.executable, "-m", "flask", "--app", str(EXAMPLE / name), "run", "--port", "0"]
    environment = {**os.environ, "STREAMING_VAR_DIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        try:
            found = None
            while found is None:
                line = process.stderr.readline()
                assert line, "flask run has ended"
                found = re.search(r"Running on (http://\S+)", line)
            yield found[1]
        finally:
            process.kill()


def watch(url: str) -> Iterator[Json]:
    """The events of an SSE stream, to its end."""
    with requests.get(url, stream=True, timeout=SILENCE_S) as response:
        for frame in SSEClient(response.iter_content(None)).events():
            yield json.loads(frame.data)


def plain_app(**config: str) -> Flask:
    """An app that knows nothing of jobs yet."""
    app = Flask("plain")
    app.config.update(STREAMING_LOG_URL="memory://", **config)
    return app


@contextmanager
def serving(app: Flask) -> Iterator[None]:
    """The app's server runs, and ends with the test."""
    server = server_of(app)
    server.start(timeout=5)
    yield
    server.drain()


def run(app: Flask, base: str, task: str, input: Json) -> Json:
    """The snapshot of a new job that has ended."""
    headers = {"Prefer": "wait=10"}
    response = app.test_client().post(
        f"{base}/jobs", json={"task": task, "input": input}, headers=headers
    )
    assert response.status_code == 200, response.text
    return response.json
