"""Bodies whose time is over, or whose server leaves, while they are read."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, request

from streaming import JobContext, Streaming, server_of
from streaming.web.services import Services

BODY = json.dumps({"task": "quick", "input": {}}).encode()


class Leaving(io.BytesIO):
    """A body that is read while the server says that no more is waited for."""

    def __init__(self, content: bytes, services: Services) -> None:
        super().__init__(content)
        self._services = services

    def read(self, size: int | None = -1) -> bytes:
        self._services.deadlines.end_all()
        return super().read(size)

    def readinto(self, buffer: Any) -> int:
        self._services.deadlines.end_all()
        return super().readinto(buffer)


@pytest.fixture
def app() -> Iterator[Flask]:
    app = Flask(__name__)
    app.testing = True
    made = Streaming(app, open_submit=True)

    @made.task("quick")
    def quick(ctx: JobContext, input: Any) -> str:
        return "done"

    yield app
    made.close()


@pytest.mark.parametrize(("given", "status"), [(BODY, 202), (BODY[:-1], 408)])
def test_a_body_that_has_come_whole_is_taken_although_its_time_is_over(
    app: Flask, given: bytes, status: int
) -> None:
    with app.app_context():
        services = server_of(app).services()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        answer = app.test_client().post(
            "/v1/jobs",
            input_stream=Leaving(given, services),
            content_type="application/json",
            environ_overrides={"werkzeug.socket": ours, "CONTENT_LENGTH": str(len(BODY))},
        )

    assert answer.status_code == status, answer.text


@pytest.mark.parametrize("read", ["get_data", "json"])
def test_a_body_that_the_app_has_read_before_us_is_taken(app: Flask, read: str) -> None:
    @app.before_request
    def look() -> None:
        request.get_data() if read == "get_data" else getattr(request, read)

    posted = {"task": "quick", "input": {}}
    answer = app.test_client().post("/v1/jobs", json=posted, headers={"Origin": "http://localhost"})
    assert answer.status_code == 202, answer.text
