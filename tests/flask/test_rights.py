"""Who owns a job, and who may start what (`authorize`, `owner`, `open_submit`)."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from flask import Flask, request
from pydantic import BaseModel

from streaming import JobContext, Principal, Streaming, server_of
from streaming.errors import InvalidInput
from streaming.server.process import ServingProcess
from streaming.testing import running

Json = Any


class Size(enum.IntEnum):
    LARGE = 3


class Wanted(BaseModel):
    number: int
    day: str = "today"


def make_app(user: Any = "ann", **config: Any) -> tuple[Flask, Streaming]:
    app = Flask("rights")
    app.config.update(config)
    streaming = Streaming(app, authorize=lambda: user)

    @streaming.task("who")
    def who(ctx: JobContext, input: Json) -> list[str]:
        return [type(ctx.owner).__name__, str(ctx.owner)]

    @streaming.task("square", input=Wanted)
    def square(ctx: JobContext, input: Wanted) -> int:
        return input.number**2

    @app.post("/who")
    def start() -> Json:
        return streaming.submit(who, {})

    return app, streaming


@pytest.mark.parametrize("user", ["ann", "7", 7, 0, UUID(int=9)])
def test_a_task_knows_whose_job_it_is_with_the_type_that_authorize_gave(user: Any) -> None:
    app, _ = make_app(user)
    with running(app) as jobs:
        job = jobs.find(app.test_client().post("/who").get_json()["id"]).wait()

    assert job.output == [type(user).__name__, str(user)]
    assert all("owner" not in event["data"] for event in job.events)


def test_a_principals_owner_is_the_owner() -> None:
    app, _ = make_app(Principal("ann", frozenset({"submit", "read"})))
    with running(app) as jobs:
        job = jobs.find(app.test_client().post("/who").get_json()["id"]).wait()

    assert job.output == ["str", "ann"]


class Replaced(ServingProcess):
    """One whose successor is there."""

    def succeeded(self) -> bool:
        return True


def test_the_owner_is_the_same_in_a_later_attempt_of_another_process(tmp_path: Path) -> None:
    def app_of(user: Any) -> tuple[Flask, Streaming]:
        return make_app(user, STREAMING_VAR_DIR=str(tmp_path))

    app, streaming = app_of(UUID(int=5))
    server = server_of(app)
    server.start(timeout=5, process=Replaced())
    server.services().runner.drain(finish_s=0, unwind_s=0)  # it stays queued
    with app.test_request_context():
        job = streaming.submit("who", {})["id"]
    server.drain()

    later, _ = app_of(UUID(int=5))
    server_of(later).start(timeout=5)
    log = server_of(later).services().storage.log
    while not (page := log.read(job, 0, timeout=10)).closed:
        log.wait({job: page.last}, 10)
    ended = log.page(job, 0, 100).events[-1]
    server_of(later).drain()

    assert ended.data["output"] == ["UUID", str(UUID(int=5))]


@pytest.mark.parametrize("owner", ["ann", Size.LARGE, 7])
def test_jobs_are_submitted_outside_of_requests_for_somebody(owner: Any) -> None:
    app, streaming = make_app(owner)
    with running(app) as jobs, app.app_context():
        made = streaming.submit("square", Wanted(number=3), owner=owner)
        assert jobs.find(made["id"]).wait().output == 9
        seen = app.test_client().get(made["links"]["self"])

    assert seen.status_code == 200


def test_a_scheduler_needs_no_context_where_there_is_one_app() -> None:
    app, streaming = make_app()
    with running(app) as jobs:
        made = streaming.submit("square", {"number": 3}, owner="ann")
        assert jobs.find(made["id"]).wait().output == 9


def test_nobody_in_particular_is_refused_outside_of_requests() -> None:
    app, streaming = make_app()
    with running(app), app.app_context():
        with pytest.raises(TypeError, match="owner="):
            streaming.submit("square", {"number": 3})
        with pytest.raises(TypeError, match="owner= gave True"):
            streaming.submit("square", {"number": 3}, owner=True)


def test_an_app_without_login_needs_no_owner() -> None:
    app = Flask("open")
    streaming = Streaming(app)

    @streaming.task("nothing")
    def nothing(ctx: JobContext, input: Json) -> str:
        return str(ctx.owner)

    with running(app) as jobs, app.app_context():
        made = streaming.submit(nothing, {})
        assert jobs.find(made["id"]).wait().output == "anonymous"
        assert app.test_client().get(made["links"]["self"]).status_code == 200


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("timeout", "timeout_s"),
        ("ttl", "ttl_s"),
        ("meta", "metadata"),
        ("disconnect_grace", "disconnect_grace_s"),
    ],
)
def test_a_wrong_option_names_the_right_one(wrong: str, right: str) -> None:
    app, streaming = make_app()
    with running(app), pytest.raises(TypeError, match=f"{wrong}'; do you mean {right}\\?"):
        streaming.submit("square", {"number": 3}, owner="ann", **{wrong: 1})


def test_a_wrong_value_names_its_field() -> None:
    app, streaming = make_app()
    with running(app), pytest.raises(InvalidInput) as raised:
        streaming.submit("square", {"number": 3}, owner="ann", timeout_s="soon")

    assert raised.value.extra["errors"][0]["field"] == "timeout_s"


def test_the_open_api_does_not_go_round_a_views_checks() -> None:
    app = Flask("posts")
    streaming = Streaming(app, authorize=lambda: request.headers.get("User"))

    @streaming.task("export")
    def export(ctx: JobContext, input: Json) -> str:
        return f"posts of {input['user']}"

    with running(app):
        bob = app.test_client().post(
            "/v1/jobs", json={"task": "export", "input": {"user": "ann"}}, headers={"User": "bob"}
        )

    assert (bob.status_code, bob.get_json()["code"]) == (403, "submit_not_open")


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
def test_behind_a_proxy_an_app_without_login_is_told_of_authorize(header: str) -> None:
    app = Flask("behind")
    Streaming(app)
    with running(app):
        refused = app.test_client().get("/v1/jobs", headers={header: "10.0.0.1"})

    assert refused.status_code == 403
    assert "authorize=" in refused.get_json()["detail"]


def test_operational_routes_lie_below_v1_and_leave_the_apps_own_alone() -> None:
    app = Flask("routes")
    Streaming(app)

    @app.get("/healthz")
    def healthz() -> str:
        return "the app's own"

    with running(app):
        client = app.test_client()
        ours = ("healthz", "readyz", "openapi.json", "docs", "metrics")
        assert [client.get(f"/v1/{name}").status_code for name in ours] == [200] * 5
        assert [client.get(f"/{name}").status_code for name in ours[1:]] == [404] * 4
        assert client.get("/healthz").text == "the app's own"


def test_authorize_may_be_async_as_views_may() -> None:
    class App(Flask):
        def async_to_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
            return lambda: asyncio.run(func())

    async def authorize() -> str:
        return request.headers["X-User"]

    app = App(__name__)
    streaming = Streaming(app, authorize=authorize, open_submit=True)

    @streaming.task("whose")
    def whose(ctx: JobContext, input: dict[str, Any]) -> Any:
        return ctx.owner

    with running(app):
        wanted = {"json": {"task": "whose"}, "headers": {"X-User": "ann", "Prefer": "wait=20"}}
        answer = app.test_client().post("/v1/jobs", **wanted)

    assert answer.get_json()["output"] == "ann"
