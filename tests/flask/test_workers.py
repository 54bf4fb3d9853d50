"""With Redis, workers run the jobs of a host app: in its context, for its users."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from sseclient import SSEClient

from tests.flask.serving import command, flask_run
from tests.redis_server import RedisServer

pytestmark = [pytest.mark.slow, pytest.mark.server]

LIMIT_S = 40.0
SHOP = """
from uuid import UUID
from flask import Flask, current_app, url_for
from streaming import Streaming

streaming = Streaming(authorize=lambda: UUID(int=7))


def create_app():
    app = Flask("shop")
    app.config["REDIS_URL"] = "redis://"
    streaming.init_app(app)

    @streaming.task("who")
    def who(ctx, input):
        return [type(ctx.owner).__name__, current_app.name, url_for("home")]

    @app.get("/")
    def home():
        return "home"

    @app.post("/start")
    def start():
        return streaming.submit(who, {})

    return app
"""


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        yield server


def test_a_worker_takes_the_apps_import_string(tmp_path: Path, redis: RedisServer) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    told = {"STREAMING_REDIS_URL": redis.url}
    run = {**told, "STREAMING_APP": "shop:create_app()"}
    (tmp_path / "worker").mkdir()
    (tmp_path / "worker" / "shop.py").write_text(SHOP)
    with (
        flask_run(tmp_path, app="shop:create_app", **told) as served,
        command(["streaming.worker"], tmp_path / "worker", "", **run) as worker,
    ):
        worker.wait_until_said("takes jobs")
        served.wait_until_it_answers()
        job = requests.post(f"{served.url}/start", timeout=LIMIT_S).json()
        with requests.get(
            served.url + job["links"]["events"], stream=True, timeout=LIMIT_S
        ) as stream:
            last: Any = [json.loads(e.data) for e in SSEClient(stream.iter_content(None)).events()]

    assert last[-1]["type"] == "job.completed", last
    assert last[-1]["data"]["output"] == ["UUID", "shop", f"{served.url}/"]
