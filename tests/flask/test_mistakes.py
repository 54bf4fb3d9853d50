"""Mistakes that people make with the extension: each is told where it is made."""

from __future__ import annotations

import datetime
import logging
import logging.config
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from flask import Flask, request
from pydantic import BaseModel
from werkzeug.local import LocalProxy

from streaming import JobContext, Streaming, task
from streaming.errors import InvalidInput, InvalidSettings
from streaming.testing import running


class Order(BaseModel):
    count: int = 1


@dataclass
class Plain:
    count: int = 1


def function(ctx: JobContext, input: Any) -> Any:
    return input


def make_app(**options: Any) -> tuple[Flask, Streaming]:
    app = Flask("shop")
    app.config["TESTING"] = True
    streaming = Streaming(app, **options)
    streaming.task("echo")(function)
    streaming.task("order", input=Order)(lambda ctx, input: input.count)
    return app, streaming


@pytest.mark.parametrize("decorator", [task, Streaming(Flask("shop")).task])
@pytest.mark.parametrize(
    ("use", "said"),
    [
        (lambda task: task(function), r'@task\("answer"\)'),
        (lambda task: task("a")(lambda ctx: 1), r"\(ctx, input\); <lambda>\(ctx\) is none"),
        (lambda task: task("a")(None), "not None"),
        (lambda task: task("a", steps="read")(function), "a list of ids"),
        (lambda task: task("a", input=dict)(function), "a pydantic model"),
    ],
)
def test_a_task_that_cannot_run_is_told_where_it_is_made(
    decorator: Any, use: Callable[[Any], Any], said: str
) -> None:
    with pytest.raises(TypeError, match=said):
        use(decorator)


def test_what_an_extension_cannot_use_is_told_at_once() -> None:
    wrong: Any = "alice"
    with pytest.raises(TypeError, match="called for each request"):
        Streaming(Flask("shop"), authorize=wrong)
    with pytest.raises(TypeError, match="marked with @task"):
        Streaming(Flask("shop"), tasks=[wrong])
    with pytest.raises(TypeError, match="Settings.load"):
        Streaming(Flask("shop"), settings={"heartbeat_s": 3})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="is a path"):
        Streaming(Flask("shop"), url_prefix=5)  # type: ignore[arg-type]
    for prefix in ("ai", "/<tenant>"):
        with pytest.raises(ValueError, match="begins with a slash"):
            Streaming(Flask("shop"), url_prefix=prefix)
    Streaming(Flask("shop"), url_prefix=None)


@pytest.mark.parametrize("named", ["chat, durable", ["chat", "durable"], iter(["chat", "durable"])])
def test_protocols_are_named_as_text_or_in_a_list(named: Any) -> None:
    app = Flask("shop")
    Streaming(app, protocols=named)

    rules = {rule.rule for rule in app.url_map.iter_rules()}
    assert {"/v1/chat/completions", "/v1/jobs/<job>/stream"} <= rules


@pytest.mark.parametrize("named", ["chatt", ["chat", "mpc"], ["chat", 5]])
def test_a_protocol_that_is_none_is_told_where_it_is_named(named: Any) -> None:
    with pytest.raises(ValueError, match="some of chat, responses"):
        Streaming(Flask("shop"), protocols=named)


@pytest.mark.parametrize("given", [Order(count=3), Plain(3), {"count": 3}])
def test_an_input_may_be_a_dict_a_model_or_a_dataclass(given: Any) -> None:
    app, _ = make_app()

    with running(app) as jobs:
        assert jobs.run("order", given).output == 3


def test_what_people_have_in_their_inputs_is_written_as_json() -> None:
    app, _ = make_app()
    given = {"day": datetime.date(2024, 1, 31), "id": UUID(int=1), "order": Order(count=2)}

    with running(app) as jobs:
        assert jobs.run("echo", given).output == {
            "day": "2024-01-31", "id": str(UUID(int=1)), "order": {"count": 2},
        }  # fmt: skip


@pytest.mark.parametrize("given", [[1], "text", {"a": object()}])
def test_an_input_that_is_none_is_named_with_its_task(given: Any) -> None:
    _, streaming = make_app()

    with pytest.raises(TypeError, match="the input of 'echo'"):
        streaming.submit("echo", given, owner="ann")


def test_text_of_clients_that_cannot_be_written_is_an_invalid_input() -> None:
    app, streaming = make_app(authorize=lambda: "ann")

    @app.post("/ask")
    def ask() -> Any:
        return streaming.submit("echo", {"question": request.get_json()["question"]}), 202

    answer = app.test_client().post(
        "/ask", data=b'{"question": "\\ud83d"}', content_type="application/json"
    )
    streaming.close()

    assert answer.json is not None
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_input")
    with pytest.raises(InvalidInput):
        streaming.submit("echo", {"a": float("nan")}, owner="ann")


@pytest.mark.parametrize(("user", "status"), [("ann", 200), (None, 401), ("", 401)])
def test_who_asks_may_be_named_through_a_proxy_as_flask_login_has_them(
    user: Any, status: int
) -> None:
    app, streaming = make_app(authorize=lambda: LocalProxy(lambda: user))

    assert app.test_client().get("/v1/jobs").status_code == status
    streaming.close()


def test_an_app_with_a_server_name_is_tested_without_keys() -> None:
    app, _ = make_app(open_submit=True)
    app.config["SERVER_NAME"] = "shop.example:8080"

    with running(app):
        allowed = app.test_client().get("/v1/jobs")
        foreign = app.test_client().get("/v1/jobs", base_url="http://other.example")
        app.config["TESTING"] = app.testing = False
        untested = app.test_client().get("/v1/jobs")

    assert (allowed.status_code, foreign.status_code, untested.status_code) == (200, 403, 403)


def test_an_app_that_matches_hosts_is_refused_with_the_way_out() -> None:
    app = Flask("shop", host_matching=True, static_host="shop.example")

    with pytest.raises(InvalidSettings, match="DispatcherMiddleware"):
        Streaming(app)


def test_logging_that_an_app_configures_turns_our_loggers_off_for_no_longer_than_the_start() -> (
    None
):
    app, _ = make_app()
    names = list(logging.Logger.manager.loggerDict)
    loggers = [each for each in map(logging.getLogger, names) if not each.disabled]
    logging.config.dictConfig({"version": 1})  # `disable_existing_loggers`, as it is by default
    off = [each.name for each in loggers if each.disabled]

    try:
        with running(app) as jobs:
            jobs.run("echo", {})
        still_off = [each.name for each in loggers if each.disabled]
    finally:
        for each in loggers:
            each.disabled = False

    assert "streaming.running.endings" in off
    assert not [name for name in still_off if name.startswith("streaming.")]
