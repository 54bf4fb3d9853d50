"""The extension in an app with a login of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask, session

from streaming import Streaming, task


@task("nothing")
def nothing(ctx: object, input: object) -> None:
    """Do nothing."""


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    app = Flask(__name__)
    app.secret_key = "for this test"
    app.config["STREAMING_LOG_URL"] = "memory://"
    Streaming(app, tasks=[nothing], authorize=lambda: session.get("user"))

    @app.post("/login/<user>")
    def login(user: str) -> str:
        session["user"] = user
        return user

    return app


def test_who_is_not_logged_in_is_told_so(app: Flask) -> None:
    refused = app.test_client().post("/v1/jobs", json={"task": "nothing"})

    assert refused.status_code == 401
    assert refused.json is not None
    assert refused.json["code"] == "unauthorized"


def test_each_user_sees_only_jobs_of_their_own(app: Flask) -> None:
    ada, bob = app.test_client(), app.test_client()
    ada.post("/login/ada")
    bob.post("/login/bob")

    made = ada.post("/v1/jobs", json={"task": "nothing"}).get_json()

    assert ada.get(made["links"]["self"]).status_code == 200
    assert bob.get(made["links"]["self"]).status_code == 404
    assert bob.get("/v1/jobs").get_json()["jobs"] == []
