"""The chapters for Flask apps: what they have their reader write is run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from streaming.testing import running
from tests.flask.serving import HOOKS
from tests.readme import FLASK, README, ROOT, files, section

TESTING = ROOT / "docs/testing.md"


@pytest.mark.slow
def test_the_example_of_testing_is_run(tmp_path: Path) -> None:
    for name, text in files(TESTING).items():
        (tmp_path / name).write_text(text)
    told = {**os.environ, "PYTHONPATH": str(ROOT)}

    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path]
    done = subprocess.run(
        command, cwd=tmp_path, env=told, capture_output=True, text=True, timeout=100, check=False
    )

    assert "5 passed" in done.stdout, done.stdout + done.stderr
    assert TESTING.read_text().startswith("# Testing\n")


def app_of(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, page: Path = FLASK) -> Flask:
    monkeypatch.chdir(tmp_path)
    space: dict[str, Any] = {"__name__": name.removesuffix(".py"), "__file__": str(tmp_path / name)}
    exec(files(page)[name], space)
    app: Flask = space["app"]
    return app


def test_the_ten_lines_are_an_app(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    app = app_of("answers.py", monkeypatch, tmp_path, README)
    with running(app, says="Because the air scatters blue.") as jobs:
        made = app.test_client().post("/ask", json={"question": "why is it"})
        job = jobs.find(made.get_json()["id"]).wait()

    assert (made.status_code, job.status) == (202, "completed")
    assert job.text == "Because the air scatters blue."


def test_the_app_with_members_knows_whose_job_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    app = app_of("members_app.py", monkeypatch, tmp_path)
    app.login_manager.user_loader(lambda _: None)  # type: ignore[attr-defined]
    with running(app) as jobs:
        assert jobs.run("letter", owner=7).text == "Dear user 7"
        assert app.test_client().get("/v1/jobs").status_code == 401


def test_the_lines_for_gunicorn_are_those_that_are_tried() -> None:
    assert HOOKS in files(FLASK)["gunicorn.conf.py"]


def test_each_server_has_its_row() -> None:
    rows = section(FLASK, "Servers")

    for name in (
        "gevent",
        "gthread",
        "sync",
        "flask run",
        "waitress",
        "uWSGI",
        "uvicorn",
        "hypercorn",
    ):
        assert name in rows
