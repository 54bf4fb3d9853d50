"""The extension in an app with a login of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from flask import Flask, session

from streaming import Principal, Streaming, task


@task("nothing")
def nothing(ctx: object, input: object) -> None:
    """Do nothing."""


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    app = Flask(__name__)
    app.secret_key = "for this test"
    app.config["STREAMING_LOG_URL"] = "memory://"
    Streaming(app, tasks=[nothing], authorize=lambda: session.get("user"), open_submit=True)

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


def app_for(authorize: Callable[[], object], **options: object) -> Flask:
    """An app whose login is `authorize`, with a task that is open to clients, and one not."""
    app = Flask(__name__)
    app.config["STREAMING_LOG_URL"] = "memory://"
    streaming = Streaming(app, tasks=[nothing], authorize=authorize, **options)  # type: ignore[arg-type]

    @streaming.task("anyones", open=True)
    def anyones(ctx: object, input: object) -> None:
        """Do nothing, for everybody."""

    @app.post("/start")
    def start() -> dict[str, object]:
        return streaming.submit("nothing", {})

    return app


@pytest.mark.parametrize("nobody", [None, False, "", Principal("")])
def test_nobody_is_let_in_by_a_false_identity(nobody: object) -> None:
    client = app_for(lambda: nobody, open_submit=True).test_client()

    assert client.get("/v1/jobs").status_code == 401
    assert client.post("/v1/jobs", json={"task": "nothing"}).status_code == 401


@pytest.mark.parametrize("user", ["ada", 0, 7, UUID(int=7), Principal("ada")])
def test_ids_of_every_usual_type_are_somebody(user: object) -> None:
    client = app_for(lambda: user).test_client()

    assert client.get("/v1/jobs").status_code == 200


@pytest.mark.parametrize("user", [True, 1.5, object(), ["ada"], b"ada"])
def test_what_names_nobody_in_particular_is_an_error_of_the_app(user: object) -> None:
    app = app_for(lambda: user)
    app.testing = True

    assert app.test_client().get("/v1/jobs").status_code == 500


def test_an_identity_does_not_outlive_its_request() -> None:
    users = iter(["ann", "bob"])
    app = app_for(lambda: next(users), open_submit=True)

    with app.app_context():  # as tests push one, and `g` with it
        made = app.test_client().post("/v1/jobs", json={"task": "nothing"}).get_json()
        assert app.test_client().get(made["links"]["self"]).status_code == 404


def test_only_the_apps_own_views_start_jobs() -> None:
    client = app_for(lambda: "bob").test_client()

    refused = client.post("/v1/jobs", json={"task": "nothing"})
    assert refused.status_code == 403
    assert refused.get_json()["code"] == "submit_not_open"
    assert client.get("/v1/jobs").get_json()["jobs"] == []
    assert client.post("/start").status_code == 200


def test_a_task_that_says_so_is_open_to_clients() -> None:
    client = app_for(lambda: "bob").test_client()

    assert client.post("/v1/jobs", json={"task": "anyones"}).status_code == 202


def test_the_setting_decides_over_the_app() -> None:
    app = Flask(__name__)
    app.config |= {"STREAMING_LOG_URL": "memory://", "STREAMING_OPEN_SUBMIT": "0"}
    Streaming(app, tasks=[nothing], open_submit=True)

    assert app.test_client().post("/v1/jobs", json={"task": "nothing"}).status_code == 403
