"""Other people's extensions on the same app: each works, and so do jobs and streams."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sentry_sdk
from flask import Flask
from flask_babel import Babel, format_decimal
from flask_caching import Cache
from flask_compress import Compress
from flask_cors import CORS
from flask_debugtoolbar import DebugToolbarExtension
from flask_limiter import Limiter
from flask_login import LoginManager, UserMixin, current_user, login_user
from flask_sqlalchemy import SQLAlchemy
from flask_talisman import Talisman
from sentry_sdk.transport import Transport

from streaming import JobContext, Streaming
from streaming.testing import Jobs, running

Json = Any


def make_app(tmp_path: Path, **config: Any) -> tuple[Flask, Streaming]:
    app = Flask("crowded", instance_path=str(tmp_path))
    app.config.update(SECRET_KEY="for this test", **config)
    streaming = Streaming(app, open_submit=True)

    @streaming.task("words")
    def words(ctx: JobContext, input: Json) -> Iterator[str]:
        for number in range(50):
            yield f"word {number} "

    return app, streaming


def stream_of(app: Flask, jobs: Jobs, **headers: str) -> tuple[Any, list[Json]]:
    """A job through our routes, as a page would start and watch it: the stream and its events."""
    client = app.test_client()
    local = {"Origin": "http://localhost"}
    made = client.post("/v1/jobs", json={"task": "words"}, headers=local)
    assert made.status_code == 202, made.text
    stream = client.get(made.get_json()["links"]["events"], headers=headers)
    lines = stream.get_data().decode().splitlines()
    found = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data:")]
    return stream, found


def check_stream(app: Flask, jobs: Jobs, **headers: str) -> Any:
    stream, found = stream_of(app, jobs, **headers)
    assert stream.status_code == 200
    assert stream.mimetype == "text/event-stream"
    assert found[-1]["type"] == "job.completed"
    text = "".join(each["data"]["text"] for each in found if each["type"] == "text.delta")
    assert text.endswith("word 49 ")
    return stream


def test_sqlalchemy_and_login(tmp_path: Path) -> None:
    app = Flask("members", instance_path=str(tmp_path))
    app.config.update(SECRET_KEY="for this test", SQLALCHEMY_DATABASE_URI="sqlite:///a.db")
    db, logins = SQLAlchemy(app), LoginManager(app)
    streaming = Streaming(app, authorize=lambda: current_user.is_authenticated and current_user.id)

    class User(UserMixin, db.Model):  # type: ignore[name-defined, misc]
        id = db.Column(db.Integer, primary_key=True)
        name = db.Column(db.String(80))

    @logins.user_loader
    def load(id: str) -> Any:
        return db.session.get(User, int(id))

    @streaming.task("rename")
    def rename(ctx: JobContext, input: Json) -> str:
        user = db.session.get(User, ctx.owner)
        user.name = input["name"]
        db.session.commit()
        return str(user.name)

    @app.post("/rename/<name>")
    def start(name: str) -> Json:
        return streaming.submit("rename", {"name": name})

    @app.post("/login/<int:id>")
    def login(id: int) -> str:
        login_user(db.session.get(User, id))
        return "hello"

    with app.app_context():
        db.create_all()
        db.session.add_all([User(id=1, name="ann"), User(id=2, name="bob")])
        db.session.commit()
    with running(app) as jobs:
        client = app.test_client()
        assert client.post("/rename/x").status_code == 401
        client.post("/login/1")
        job = jobs.find(client.post("/rename/anna").get_json()["id"]).wait()
        pool = None
        with app.app_context():
            pool = db.engine.pool
            assert [user.name for user in db.session.scalars(db.select(User))] == ["anna", "bob"]
        assert pool.checkedout() == 0
    assert job.output == "anna"


def test_cors(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path, STREAMING_ALLOWED_ORIGINS="https://app.example")
    CORS(app, resources={r"/*": {"origins": "https://app.example"}})
    with running(app) as jobs:
        stream = check_stream(app, jobs)
        answer = app.test_client().get("/v1/jobs", headers={"Origin": "https://app.example"})

    assert stream.headers.getlist("Access-Control-Allow-Origin") in ([], ["https://app.example"])
    assert answer.headers.getlist("Access-Control-Allow-Origin") == ["https://app.example"]


def test_our_own_origins_without_an_extension(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path, STREAMING_ALLOWED_ORIGINS="https://app.example")

    @app.get("/own")
    def own() -> str:
        return "own"

    with running(app):
        client, origin = app.test_client(), {"Origin": "https://app.example"}
        ours, theirs = client.get("/v1/jobs", headers=origin), client.get("/own", headers=origin)
        foreign = client.get("/v1/jobs", headers={"Origin": "https://evil.example"})

    assert ours.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert "Access-Control-Allow-Origin" not in theirs.headers
    assert "Access-Control-Allow-Origin" not in foreign.headers


def test_limiter(tmp_path: Path) -> None:
    app, streaming = make_app(tmp_path)
    limiter = Limiter(
        lambda: "all", app=app, default_limits=["3 per hour"], storage_uri="memory://"
    )
    with running(app) as jobs:
        check_stream(app, jobs)
        codes = [app.test_client().get("/v1/jobs").status_code for _ in range(4)]
    assert codes[-1] == 429

    for blueprint in streaming.blueprints:
        limiter.exempt(blueprint)
    with running(app) as jobs:
        assert [app.test_client().get("/v1/jobs").status_code for _ in range(9)] == [200] * 9


def test_talisman(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    Talisman(app, force_https=False)
    with running(app) as jobs:
        stream = check_stream(app, jobs)
        module = app.test_client().get("/v1/streaming.js")
        module.close()

    assert "default-src 'self'" in stream.headers["Content-Security-Policy"]
    assert module.status_code == 200


def test_babel(tmp_path: Path) -> None:
    app, streaming = make_app(tmp_path, BABEL_DEFAULT_LOCALE="de")
    Babel(app)

    @streaming.task("number")
    def number(ctx: JobContext, input: Json) -> str:
        return str(format_decimal(1234.5))

    with running(app) as jobs:
        assert jobs.run("number").output == "1.234,5"
        check_stream(app, jobs)


def test_caching(tmp_path: Path) -> None:
    app, streaming = make_app(tmp_path, CACHE_TYPE="SimpleCache")
    cache = Cache(app)

    @streaming.task("cached")
    def cached(ctx: JobContext, input: Json) -> Json:
        cache.set("seen", (cache.get("seen") or 0) + 1)
        return cache.get("seen")

    with running(app) as jobs:
        assert [jobs.run("cached").output for _ in range(2)] == [1, 2]
        check_stream(app, jobs)


def test_compress(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path)
    Compress(app)
    with running(app) as jobs:
        stream = check_stream(app, jobs, **{"Accept-Encoding": "gzip, br"})
        job = next(iter(app.test_client().get("/v1/jobs").get_json()["jobs"]))
        held = app.test_client().get(
            f"/v1/jobs/{job['id']}/poll?after={job['seq']}&wait=1",
            headers={"Accept-Encoding": "gzip"},
        )

    assert "Content-Encoding" not in stream.headers
    assert held.get_json()["closed"]


def test_the_debug_toolbar(tmp_path: Path) -> None:
    app, _ = make_app(tmp_path, DEBUG_TB_ENABLED=True)
    app.debug = True
    DebugToolbarExtension(app)
    with running(app) as jobs:
        check_stream(app, jobs)


def test_sentry(tmp_path: Path) -> None:
    sent: list[Json] = []

    class Kept(Transport):
        def capture_envelope(self, envelope: Any) -> None:
            sent.extend(item.payload.json for item in envelope.items)

    sentry_sdk.init("http://key@127.0.0.1:1/1", transport=Kept)
    try:
        app, streaming = make_app(tmp_path)

        @streaming.task("fails")
        def fails(ctx: JobContext, input: Json) -> None:
            raise LookupError("no such thing")

        with running(app) as jobs:
            assert jobs.run("fails").status == "failed"
            check_stream(app, jobs)
        sentry_sdk.flush()
    finally:
        sentry_sdk.init()

    errors = [each["exception"]["values"][-1]["type"] for each in sent if "exception" in each]
    assert errors == ["LookupError"]


@pytest.fixture(autouse=True)
def no_origin_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STREAMING_ALLOWED_ORIGINS", raising=False)
