"""A task runs inside the context of the app that took its job (`current_app`, `g`, `url_for`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import (
    Flask,
    current_app,
    g,
    has_app_context,
    has_request_context,
    render_template_string,
    request,
    url_for,
)
from werkzeug.middleware.proxy_fix import ProxyFix

from streaming import JobContext, Streaming, server_of
from streaming.errors import InvalidSettings
from streaming.testing import running

Json = Any


class Seen:
    """What tasks saw, and which contexts were torn down."""

    def __init__(self) -> None:
        self.torn_down: list[tuple[str, str | None]] = []


def make_app(seen: Seen | None = None, name: str = "shop") -> Flask:
    """A factory with its tasks inside, as people write them."""
    app = Flask(name)
    app.config["GREETING"] = f"hello from {name}"
    streaming = Streaming(app, authorize=lambda: request.headers.get("User"))

    @app.teardown_appcontext
    def tear_down(error: BaseException | None) -> None:
        if seen is not None:
            seen.torn_down.append((g.get("who", "-"), error and type(error).__name__))

    @app.get("/page/<int:number>")
    def page(number: int) -> str:
        return str(number)

    @app.post("/start/<task>")
    def start(task: str) -> Json:
        return streaming.submit(task, {})

    add_tasks(app, streaming)
    return app


def add_tasks(app: Flask, streaming: Streaming) -> None:
    """As a factory would have them inside: they close over its app."""

    @streaming.task("plain")
    def plain(ctx: JobContext, input: Json) -> Json:
        first, g.who = g.get("who"), "plain"
        return {
            "greeting": current_app.config["GREETING"],
            "closed_over": app.name,
            "url": url_for("page", number=7),
            "path": url_for("page", number=7, _external=False),
            "html": render_template_string("<a href='{{ url_for('page', number=1) }}'>"),
            "first": first,
            "request": has_request_context(),
        }

    @streaming.task("pieces")
    def pieces(ctx: JobContext, input: Json) -> Iterator[str]:
        g.who = "pieces"
        for _ in range(3):
            yield current_app.config["GREETING"] + g.who + "\n"

    @streaming.task("coroutine")
    async def coroutine(ctx: JobContext, input: Json) -> str:
        g.who = "coroutine"
        await asyncio.sleep(0)
        return url_for("page", number=len(g.who))

    @streaming.task("async-pieces")
    async def async_pieces(ctx: JobContext, input: Json) -> AsyncIterator[str]:
        for _ in range(2):
            await asyncio.sleep(0)
            yield current_app.name

    @streaming.task("fails")
    def fails(ctx: JobContext, input: Json) -> None:
        g.who = "fails"
        raise LookupError("no such thing")

    @streaming.task("more")
    def more(ctx: JobContext, input: Json) -> Json:
        other = streaming.submit("plain", {})
        return {"id": other["id"], "owner": ctx.owner}


def start(app: Flask, task: str, **options: Any) -> Json:
    return app.test_client().post(f"/start/{task}", headers={"User": "ann"}, **options).get_json()


def test_a_task_has_its_app_and_urls_as_its_request_had_them() -> None:
    app = make_app()
    with running(app) as jobs:
        output = jobs.find(start(app, "plain")["id"]).wait().output

    assert output == {
        "greeting": "hello from shop",
        "closed_over": "shop",
        "url": "http://localhost/page/7",
        "path": "/page/7",
        "html": "<a href='http://localhost/page/1'>",
        "first": None,
        "request": False,
    }


def test_urls_are_below_the_prefix_that_a_proxy_names() -> None:
    app = make_app()
    app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=1, x_host=1, x_prefix=1)  # type: ignore[method-assign]
    headers = {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "shop.example",
        "X-Forwarded-Prefix": "/eu",
        "User": "ann",
    }
    with running(app) as jobs:
        made = app.test_client().post("/start/plain", headers=headers).get_json()
        output = jobs.find(made["id"]).wait().output

    assert output["url"] == "https://shop.example/eu/page/7"


def test_where_no_request_submitted_it_the_apps_own_setting_counts() -> None:
    app = make_app()
    app.config["SERVER_NAME"] = "shop.example"
    with running(app) as jobs:
        assert jobs.run("plain").output["url"] == "http://shop.example/page/7"


@pytest.mark.parametrize(
    ("task", "shown"),
    [
        ("pieces", "hello from shoppieces\n" * 3),
        ("coroutine", "http://localhost/page/9"),
        ("async-pieces", "shopshop"),
    ],
)
def test_every_kind_of_task_has_the_context(task: str, shown: str) -> None:
    app = make_app()
    with running(app) as jobs:
        job = jobs.find(start(app, task)["id"]).wait()

    assert (job.output or job.text) == shown


def test_each_attempt_has_one_context_which_is_torn_down_at_its_end() -> None:
    seen = Seen()
    app = make_app(seen)
    with running(app) as jobs:
        for task in ("pieces", "pieces", "fails"):
            jobs.run(task)

    assert [each for each in seen.torn_down if each[0] != "-"] == [
        ("pieces", None),
        ("pieces", None),
        ("fails", "LookupError"),
    ]
    assert not has_app_context()


def test_a_teardown_function_that_raises_leaves_jobs_their_ends_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = make_app()
    failures = iter([OSError("the first"), OSError("the second")])

    @app.teardown_appcontext
    def give_back(_: BaseException | None) -> None:
        if g.get("who") is not None:
            raise next(failures)

    with running(app) as jobs:
        completed, failed = jobs.run("pieces"), jobs.run("fails")

    assert (completed.error, completed.status) == (None, "completed")
    assert failed.error is not None
    assert "LookupError" in failed.error["detail"]
    told = [str(each.exc_info[1]) for each in caplog.records if each.exc_info]
    assert sorted(told) == ["no such thing", "the first", "the second"]
    assert not has_app_context()


def test_a_factory_is_called_any_number_of_times() -> None:
    apps = [make_app(name=f"shop{number}") for number in range(3)]
    for app in apps:
        with running(app) as jobs:
            output = jobs.find(start(app, "plain")["id"]).wait().output
        assert output["greeting"] == f"hello from {app.name}"
        assert output["closed_over"] == app.name


def test_a_factory_with_one_extension_outside_of_it_is_called_any_number_of_times() -> None:
    for define_first in (False, True):
        streaming = Streaming()

        def create_app(
            name: str, streaming: Streaming = streaming, define_first: bool = define_first
        ) -> Flask:
            app = Flask(name)
            if not define_first:
                streaming.init_app(app)

            @streaming.task("name")
            def name_(ctx: JobContext, input: Json) -> list[str]:
                return [app.name, current_app.name]

            streaming.init_app(app)
            return app

        for app in [create_app("one"), create_app("two"), create_app("three")]:
            with running(app) as jobs:
                assert jobs.run("name").output == [app.name, app.name]


def test_two_tasks_of_one_name_from_different_places_are_refused() -> None:
    streaming = Streaming()

    @streaming.task("same")
    def one(ctx: JobContext, input: Json) -> None: ...

    with pytest.raises(InvalidSettings, match="two tasks named 'same'"):

        @streaming.task("same")
        def other(ctx: JobContext, input: Json) -> int:
            return 2


def test_apps_on_one_log_share_a_server_and_run_their_own_tasks(tmp_path: Path) -> None:
    apps = [make_app(name="shop"), make_app(name="forum")]
    for app in apps:
        app.config["STREAMING_VAR_DIR"] = tmp_path
    assert server_of(apps[0]) is server_of(apps[1])
    try:
        for app in apps:
            made = start(app, "plain")
            found = app.test_client().get(
                f"/v1/jobs/{made['id']}/poll?after={made['seq']}", headers={"User": "ann"}
            )
            assert found.status_code == 200
            done = _ended(app, made["id"])
            assert done["output"]["greeting"] == f"hello from {app.name}"
            assert done["output"]["closed_over"] == app.name
    finally:
        server_of(apps[0]).drain()


def _ended(app: Flask, job: str) -> Json:
    after, client = 0, app.test_client()
    while True:
        page = client.get(
            f"/v1/jobs/{job}/poll?after={after}&wait=20", headers={"User": "ann"}
        ).get_json()
        after = page["next"]
        if page["closed"]:
            return client.get(f"/v1/jobs/{job}", headers={"User": "ann"}).get_json()


def test_a_task_submits_for_whose_job_it_works_on() -> None:
    app = make_app()
    with running(app) as jobs:
        output = jobs.find(start(app, "more")["id"]).wait().output
        inner = jobs.find(output["id"]).wait()
        assert output["owner"] == "ann"
        assert inner.output["url"] == "http://localhost/page/7"
        seen = app.test_client().get(f"/v1/jobs/{inner.id}", headers={"User": "ann"})
        assert seen.status_code == 200
