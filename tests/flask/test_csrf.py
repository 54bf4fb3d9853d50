"""Flask-WTF's CSRFProtect: our routes take what another site's page cannot send, or its token."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, request
from flask_wtf.csrf import CSRFProtect, generate_csrf

from streaming import JobContext, Streaming
from streaming.testing import running

Json = Any


def make_app(csrf_first: bool, **config: Any) -> Flask:
    app = Flask("forms")
    app.config.update(SECRET_KEY="for this test", **config)
    csrf = CSRFProtect()
    streaming = Streaming(authorize=lambda: "ann", open_submit=True)
    for each in (csrf, streaming) if csrf_first else (streaming, csrf):
        each.init_app(app)

    @streaming.task("nothing")
    def nothing(ctx: JobContext, input: Json) -> None: ...

    @app.get("/token")
    def token() -> str:
        return generate_csrf()

    @app.post("/form")
    def form() -> str:
        return request.form["text"]

    return app


@pytest.mark.parametrize("csrf_first", [True, False])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": "Bearer some-key"}, 202),
        ({"Origin": "http://localhost"}, 202),
        ({"Origin": "https://app.example"}, 202),
        ({"Sec-Fetch-Site": "same-origin"}, 202),
        ({}, 400),
        ({"Sec-Fetch-Site": "cross-site"}, 400),
        ({"Sec-Fetch-Site": "same-site"}, 400),
        ({"Sec-Fetch-Site": "none"}, 400),
        ({"Authorization": "Basic abc"}, 400),
        ({"Origin": ""}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"}, 403),
    ],
)
def test_what_shows_where_it_comes_from_needs_no_token(
    csrf_first: bool, headers: dict[str, str], status: int
) -> None:
    app = make_app(csrf_first, STREAMING_ALLOWED_ORIGINS="https://app.example")
    with running(app):
        answer = app.test_client().post("/v1/jobs", json={"task": "nothing"}, headers=headers)

    assert answer.status_code == status, answer.text
    assert answer.mimetype == ("application/json" if status == 202 else "application/problem+json")


def test_the_apps_own_token_is_taken() -> None:
    app = make_app(True)
    with running(app):
        client = app.test_client()
        headers = {"X-CSRFToken": client.get("/token").text}
        answer = client.post("/v1/jobs", json={"task": "nothing"}, headers=headers)

    assert answer.status_code == 202


def test_the_apps_own_forms_are_protected_as_before() -> None:
    app = make_app(False)
    with running(app):
        client = app.test_client()
        refused = client.post("/form", data={"text": "x"}, headers={"Origin": "http://localhost"})
        taken = client.post("/form", data={"text": "x", "csrf_token": client.get("/token").text})

    assert (refused.status_code, taken.status_code) == (400, 200)


def test_protection_that_is_off_is_off() -> None:
    app = make_app(True, WTF_CSRF_ENABLED=False)
    with running(app):
        answer = app.test_client().post("/v1/jobs", json={"task": "nothing"})

    assert answer.status_code == 202
