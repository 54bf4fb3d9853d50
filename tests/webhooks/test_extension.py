"""Webhooks of an app with the extension: `streaming.submit(…, webhook=…)`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from streaming import Streaming, server_of
from streaming.errors import InvalidInput
from tests.threads import eventually
from tests.webhooks.receiver import SECRET, Receiver


@pytest.fixture
def streaming() -> Iterator[Streaming]:
    app = Flask("shop")
    app.config |= {
        "STREAMING_LOG_URL": "memory://",
        "STREAMING_WEBHOOK_HOSTS": "127.0.0.1",
        "STREAMING_WEBHOOK_SECRET": SECRET,
    }
    streaming = Streaming(app)
    streaming.task("double")(lambda ctx, input: {"n": 2 * input["n"]})
    yield streaming
    server_of(app).drain()


def test_code_that_submits_has_others_told(streaming: Streaming) -> None:
    with Receiver() as receiver:
        webhook = {"url": receiver.url, "events": ["job.completed"]}

        job = streaming.submit("double", {"n": 21}, owner="ann", webhook=webhook)

        (call,) = eventually(lambda: receiver.taken)
    assert call.body["data"]["id"] == job["id"]
    assert call.body["data"]["output"] == {"n": 42}


@pytest.mark.parametrize(
    ("webhook", "field"),
    [
        ({"url": "http://127.0.0.2/"}, "webhook.url"),
        ({"url": "http://127.0.0.1/", "events": ["log"]}, "webhook.events.0"),
    ],
)
def test_what_is_not_allowed_is_refused_with_its_field(
    streaming: Streaming, webhook: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        streaming.submit("double", {"n": 1}, owner="ann", webhook=webhook)

    assert [error["field"] for error in refused.value.extra["errors"]] == [field]


def test_a_key_is_compared_with_the_webhook(streaming: Streaming) -> None:
    url = "http://127.0.0.1:9/"
    asked = {"owner": "ann", "idempotency_key": "once"}

    first = streaming.submit("double", {"n": 1}, webhook={"url": url}, **asked)

    again = streaming.submit("double", {"n": 1}, webhook={"url": url}, **asked)
    assert again["id"] == first["id"]
    with pytest.raises(Exception, match="different request"):
        streaming.submit("double", {"n": 1}, **asked)
