"""Which protocols are mounted in an app, and what stops the start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from streaming import Settings, Streaming, server_of, task
from streaming.errors import InvalidSettings

PATH = "/v1/chat/completions"


@task("parrot", answers=True, open=True)
def parrot(ctx: Any, input: dict[str, Any]) -> str:
    """Say it again."""
    ctx.text(input["messages"][-1]["content"])
    return ""


def app_with(**options: Any) -> Flask:
    app = Flask("host")
    values = options.pop("settings", {})
    settings = Settings(STREAMING_LOG_URL="memory://", STREAMING_ALLOW_ANONYMOUS=True, **values)
    Streaming(app, settings=settings, tasks=[parrot], **options)
    return app


def own_route(app: Flask) -> None:
    app.add_url_rule(PATH, "own_chat", lambda: "mine", methods=["POST"])


def test_an_app_has_none_unless_it_says_so() -> None:
    rules = {rule.rule for rule in app_with().url_map.iter_rules()}
    assert PATH not in rules
    assert "/v1/models" not in rules

    named = {rule.rule for rule in app_with(protocols=["chat"]).url_map.iter_rules()}
    assert {PATH, "/v1/models"} <= named
    assert "/v1/messages" not in named


def test_the_setting_decides_over_the_app() -> None:
    app = app_with(protocols=["chat"], settings={"STREAMING_PROTOCOLS": "messages"})

    rules = {rule.rule for rule in app.url_map.iter_rules()}
    assert "/v1/messages" in rules
    assert PATH not in rules


def test_a_rule_that_the_app_has_stops_the_start_and_both_are_named() -> None:
    app = Flask("host")
    own_route(app)
    settings = Settings(STREAMING_LOG_URL="memory://", STREAMING_PROTOCOLS="chat")

    with pytest.raises(InvalidSettings, match=rf"chat.*{PATH}.*own_chat"):
        Streaming(app, settings=settings)


def test_a_rule_that_comes_later_stops_the_start_too() -> None:
    app = app_with(protocols=["chat"])
    own_route(app)

    with pytest.raises(InvalidSettings, match=rf"chat.*{PATH}.*own_chat"):
        server_of(app).start(timeout=1)


def test_an_app_without_protocols_keeps_its_routes() -> None:
    app = app_with()
    own_route(app)

    assert app.test_client().post(PATH).text == "mine"


def test_under_a_prefix_both_have_their_own() -> None:
    app = app_with(protocols=["chat"], url_prefix="/jobs")
    own_route(app)

    assert app.test_client().post(PATH).text == "mine"
    answer = app.test_client().post(
        f"/jobs{PATH}", json={"model": "parrot", "messages": [{"role": "user", "content": "hi"}]}
    )
    assert answer.json is not None
    assert answer.json["choices"][0]["message"]["content"] == "hi"


def test_only_open_tasks_answer_where_submissions_are_closed() -> None:
    app = app_with(protocols=["chat", "responses", "messages"])
    client = app.test_client()
    said = [{"role": "user", "content": "hi"}]

    def ask(model: str) -> list[int]:
        bodies: dict[str, Callable[[], Any]] = {
            PATH: lambda: {"messages": said},
            "/v1/responses": lambda: {"input": "hi"},
            "/v1/messages": lambda: {"messages": said, "max_tokens": 9},
        }
        return [
            client.post(path, json={"model": model, **body()}).status_code
            for path, body in bodies.items()
        ]

    assert ask("simulated") == [403, 403, 403]
    assert ask("parrot") == [200, 200, 200]
