"""The apps in `examples/`, served as their readers serve them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from sseclient import SSEClient

from tests.flask.serving import ROOT, Served, flask_run, gunicorn

pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "examples"
LIMIT_S = 25.0
SERVERS = ["flask run", "gunicorn"]

Json = Any


@contextmanager
def example(name: str, server: str, tmp_path: Path, app: str = "app:app") -> Iterator[Served]:
    folder = tmp_path / name
    shutil.copytree(EXAMPLES / name, folder, dirs_exist_ok=True)
    conf = (EXAMPLES / "gunicorn.conf.py").read_text()
    made = (
        flask_run(folder, app=app)
        if server == "flask run"
        else gunicorn(folder, app=app, conf=conf)
    )
    with made as served:
        served.wait_until_it_answers("/v1/healthz")
        yield served


def events(client: requests.Session, url: str) -> list[Json]:
    with client.get(url, stream=True, timeout=LIMIT_S) as response:
        assert response.status_code == 200, response.text
        return [json.loads(frame.data) for frame in SSEClient(response.iter_content(None)).events()]


@pytest.mark.parametrize("server", SERVERS)
def test_a_chat_streams_to_its_own_user(server: str, tmp_path: Path) -> None:
    with example("chat", server, tmp_path) as served:
        ann, bob = requests.Session(), requests.Session()
        assert ann.post(f"{served.url}/messages", json={"content": "hi"}).status_code == 401
        ann.post(f"{served.url}/login/ann")
        bob.post(f"{served.url}/login/bob")
        made = ann.post(f"{served.url}/messages", json={"content": "Why is the sky blue?"})
        job = made.json()
        assert made.status_code == 202, made.text
        seen = events(ann, served.url + job["links"]["events"])
        said = ann.get(f"{served.url}/messages").json()
        assert bob.get(served.url + job["links"]["self"]).status_code == 404
        assert bob.get(f"{served.url}/messages").json() == []

    text = "".join(event["data"]["text"] for event in seen if event["type"] == "text.delta")
    assert seen[-1]["type"] == "job.completed"
    assert [each["role"] for each in said] == ["user", "assistant"]
    assert said[1]["content"] == text != ""


@pytest.mark.parametrize("server", SERVERS)
def test_an_export_tells_its_progress_and_ends_as_a_file(server: str, tmp_path: Path) -> None:
    with example("export", server, tmp_path) as served:
        client = requests.Session()
        bad = client.post(f"{served.url}/exports", json={"rows": 0})
        job = client.post(f"{served.url}/exports", json={"rows": 60}).json()
        seen = events(client, served.url + job["links"]["events"])
        href = next(event["data"]["href"] for event in seen if event["type"] == "artifact")
        file = client.get(served.url + href)

    assert (bad.status_code, bad.json()["errors"][0]["field"]) == (422, "input.rows")
    assert job["title"] == "All customers"
    assert any(event["type"] == "job.progress" for event in seen)
    assert seen[-1]["data"]["output"] == {"rows": 60}
    assert len(file.text.splitlines()) == 61


@pytest.mark.parametrize("server", SERVERS)
def test_a_factory_with_a_blueprint(server: str, tmp_path: Path) -> None:
    with example("factory", server, tmp_path, app="wsgi:app") as served:
        client = requests.Session()
        assert client.post(f"{served.url}/reports/monday").status_code == 401
        client.post(f"{served.url}/reports/login/ann")
        job = client.post(f"{served.url}/reports/monday").json()
        again = client.post(f"{served.url}/reports/monday").json()
        events(client, served.url + job["links"]["events"])
        done = client.get(served.url + job["links"]["self"]).json()
        direct = client.post(f"{served.url}/ai/v1/jobs", json={"task": "report", "input": {}})

    assert again["id"] == job["id"]
    assert job["links"]["events"].startswith("/ai/v1/jobs/")
    assert done["text"] == f"shop on monday: see {served.url}/reports/monday"
    assert direct.status_code == 403


def test_the_lines_of_the_examples_are_what_their_users_write() -> None:
    for name in ("chat/app.py", "export/app.py", "factory/shop/tasks.py"):
        source = (EXAMPLES / name).read_text()
        about_jobs = [line for line in source.splitlines() if "streaming" in line or "ctx" in line]
        assert len(about_jobs) <= 25, (name, len(about_jobs))
    assert os.path.exists(EXAMPLES / "README.md")
