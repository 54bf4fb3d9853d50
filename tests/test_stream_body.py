"""A stream ends with its body, however hooks and middleware have wrapped it."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from flask import Flask, Response
from werkzeug.test import create_environ, run_wsgi_app

from streaming import Streaming
from streaming.web.responses import StreamBody, sent_as_it_is
from streaming.web.services import services

Wrap = Callable[[Response], None]


def no_wrap(response: Response) -> None:
    """As the extension gives it."""


def generator(response: Response) -> None:
    parts = response.response
    response.response = (part for part in parts)  # type: ignore[misc]


def iterator(response: Response) -> None:
    response.response = iter(response.response)  # type: ignore[arg-type]


def chained(response: Response) -> None:
    parts = response.iter_encoded()

    def more() -> Iterator[bytes]:
        yield from parts

    response.response = more()


WRAPS = {"none": no_wrap, "generator": generator, "iterator": iterator, "chained": chained}


@pytest.fixture(params=WRAPS)
def app(request: pytest.FixtureRequest) -> Flask:
    app = Flask(__name__)
    app.config |= {"STREAMING_LOG_URL": "memory://", "STREAMING_ALLOW_ANONYMOUS": "1"}
    streaming = Streaming(app, open_submit=True)

    @streaming.task("waits")
    def waits(ctx: Any, input: Any) -> None:
        ctx.text("hello")
        ctx.sleep(20)

    @streaming.task("says")
    def says(ctx: Any, input: Any) -> None:
        ctx.text("hello")

    @app.after_request
    def wrap(response: Response) -> Response:
        WRAPS[request.param](response)
        return response

    return app


def slots(app: Flask) -> dict[str, int]:
    with app.app_context():
        return services().streams.count()


def submit(app: Flask, task: str) -> str:
    return str(app.test_client().post("/v1/jobs", json={"task": task}).get_json()["id"])


def body_of(app: Any, job: str) -> Iterable[bytes]:
    """The body as a server gets it."""
    environ = create_environ(f"/v1/jobs/{job}/events")
    body, status, _ = run_wsgi_app(app, environ, buffered=False)
    assert status.startswith("200")
    return body


def test_a_stream_that_is_read_to_its_end_gives_its_slot_back(app: Flask) -> None:
    job = submit(app, "says")

    text = b"".join(body_of(app, job))

    assert text.count(b'"type":"job.completed"') == 1
    assert slots(app) == {}


@pytest.mark.parametrize("pieces", [0, 1, 2])
def test_a_stream_that_is_left_gives_its_slot_back(app: Flask, pieces: int) -> None:
    job = submit(app, "waits")
    gc.freeze()  # what is there already need not be looked through
    body = body_of(app, job)
    parts = iter(body)
    for _ in range(pieces):
        next(parts)

    if hasattr(body, "close"):
        body.close()
    del body, parts
    gc.collect()
    gc.unfreeze()

    assert slots(app) == {}
    app.test_client().post(f"/v1/jobs/{job}/cancel")


def served(make_app: Callable[[Any, Any], Any], headers: list[tuple[str, str]]) -> list[bool]:
    """What the body is told of how it is sent, by an app that gives it with these headers."""
    told: list[bool] = []

    class Told(StreamBody):
        def __init__(self) -> None:
            """Without a stream."""

        def sent_as_it_is(self) -> None:
            told.append(True)

        def close(self) -> None:
            """Holds nothing."""

        __del__ = close

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", headers)
        return make_app(Told(), environ)

    sent_as_it_is(app)({}, lambda *_: None)
    return told


def test_only_a_body_that_nothing_has_touched_is_sent_past_the_server() -> None:
    plain = [("Content-Type", "text/event-stream")]

    assert served(lambda body, _: body, plain) == [True]
    assert served(lambda body, _: (part for part in ()), plain) == []
    assert served(lambda body, _: [body], plain) == []
    assert served(lambda body, _: body, [*plain, ("Content-Encoding", "gzip")]) == []
