"""The system gives no thread: what is stored runs later, what cannot be done is refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from streaming import JobContext, Settings, Streaming, server_of
from streaming.concurrency.threads import Thread
from streaming.errors import Unavailable
from tests.threads import eventually

#: Bytes of a stack that no machine has room for.
TOO_LARGE = 1 << 46


@contextmanager
def no_threads() -> Iterator[None]:
    """None can be started: there is no room for their stacks."""
    before = threading.stack_size(TOO_LARGE)
    try:
        yield
    finally:
        threading.stack_size(before)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    made = Flask("app")
    settings = Settings(STREAMING_VAR_DIR=tmp_path, STREAMING_JOBS=2, STREAMING_QUEUE=10)
    streaming = Streaming(made, settings=settings, authorize=lambda: "me")

    @streaming.task("answer")
    def answer(ctx: JobContext, input: dict[str, Any]) -> str:
        """Answer."""
        return "an answer"

    made.add_url_rule("/ask", view_func=lambda: streaming.submit(answer, {}), methods=["POST"])
    yield made
    streaming.close(within_s=1)


def test_a_thread_that_cannot_be_had_is_said_and_may_be_tried_again() -> None:
    ran: list[bool] = []
    thread = Thread(lambda: ran.append(True), name="it")

    with no_threads(), pytest.raises(Unavailable) as refused:
        thread.start()

    assert refused.value.code == "no_threads"
    assert not thread.dead
    assert thread.join(0)
    thread = Thread(lambda: ran.append(True), name="it")
    thread.start()
    assert thread.join(10)
    assert ran == [True]


def test_jobs_that_are_stored_run_when_there_are_threads_again(app: Flask) -> None:
    client = app.test_client()
    runner = server_of(app).services().runner

    with no_threads():
        answers = [client.post("/ask") for _ in range(14)]
        accepted = [answer.json["id"] for answer in answers if answer.status_code == 200]
        assert {answer.status_code for answer in answers} == {200, 429}
        assert len(accepted) == 12  # two places, and the queue
        shown = client.get(f"/v1/jobs/{accepted[0]}").json
        assert shown["status"] == "queued"
        cancelled = client.post(f"/v1/jobs/{accepted[1]}/cancel").json
        assert cancelled["status"] == "cancelled"

    index = server_of(app).services().storage.index
    eventually(lambda: all(row.closed for row in index.list()))
    assert [row.status for row in index.list()].count("completed") == 11
    eventually(lambda: runner.load().running == runner.load().queued == 0)
    assert client.post("/ask").status_code == 200


def test_a_server_that_gets_no_threads_leaves_nothing_and_may_be_started_later(app: Flask) -> None:
    client = app.test_client()
    before = threading.active_count()

    with no_threads():
        assert client.post("/ask").status_code == 503

    assert threading.active_count() == before
    assert client.post("/ask").status_code == 200
