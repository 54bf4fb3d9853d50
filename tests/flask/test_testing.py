"""`streaming.testing`: an app's jobs in its tests, without a server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from flask import Flask, request
from pydantic import BaseModel

from streaming import JobContext, Streaming, TaskError
from streaming.errors import InvalidInput
from streaming.testing import running

Json = Any


class Question(BaseModel):
    question: str


def make_app(**options: Any) -> Flask:
    app = Flask(__name__)
    streaming = Streaming(app, **options)

    @streaming.task("answer", input=Question)
    def answer(ctx: JobContext, input: Question) -> Iterator[str]:
        yield "You asked: "
        yield input.question
        return {"words": len(input.question.split())}

    @streaming.task("fails")
    def fails(ctx: JobContext, input: Json) -> None:
        raise TaskError("there is no model", code="no_model")

    @streaming.task("asks")
    def asks(ctx: JobContext, input: Json) -> Json:
        return ctx.ask("How many?", schema={"type": "integer"})

    @streaming.task("owner")
    def owner(ctx: JobContext, input: Json) -> str:
        return repr(ctx.owner)

    @app.post("/ask")
    def ask() -> Json:
        return streaming.submit(answer, request.json), 202

    return app


def test_a_job_is_run_to_its_end() -> None:
    with running(make_app()) as jobs:
        job = jobs.run("answer", {"question": "why is that"})

    assert job.status == "completed"
    assert job.text == "You asked: why is that"
    assert job.output == {"words": 3}
    assert job.error is None
    assert job.types() == [
        "job.queued",
        "job.started",
        "text.delta",
        "text.delta",
        "job.completed",
    ]
    assert [event["seq"] for event in job.events] == [1, 2, 3, 4, 5]
    assert job.snapshot["id"] == job.id


def test_a_task_that_fails_is_a_job_with_an_error() -> None:
    with running(make_app()) as jobs:
        job = jobs.run("fails")

    assert job.status == "failed"
    assert (job.error["code"], job.error["detail"]) == ("no_model", "there is no model")


def test_an_input_that_is_not_valid_is_told_at_once() -> None:
    with running(make_app()) as jobs, pytest.raises(InvalidInput):
        jobs.run("answer", {"questoin": "why"})


@pytest.mark.parametrize("owner", ["ann", 7, UUID(int=7)])
def test_a_job_is_of_the_owner_that_is_named(owner: Any) -> None:
    for authorize in (None, lambda: None):
        with running(make_app(authorize=authorize)) as jobs:
            assert jobs.run("owner", owner=owner).output == repr(owner)


def test_a_test_answers_and_cancels() -> None:
    with running(make_app()) as jobs:
        asked = jobs.start("asks")
        assert asked.wait_for("input.requested")["prompt"] == "How many?"
        assert asked.answer(3).wait().output == 3
        left = jobs.start("asks")
        left.wait_for("input.requested")
        assert left.cancel("enough").status == "cancelled"


def test_jobs_of_views_are_found() -> None:
    app = make_app()
    with running(app) as jobs:
        made = app.test_client().post("/ask", json={"question": "why"})
        job = jobs.find(made.get_json()["id"]).wait()

    assert job.text == "You asked: why"


def test_each_time_the_log_is_new() -> None:
    app = make_app()
    for _ in range(2):
        with running(app) as jobs:
            jobs.run("answer", {"question": "why"})
            assert len(app.test_client().get("/v1/jobs").get_json()["jobs"]) == 1


def test_apps_run_side_by_side() -> None:
    def run(number: int) -> str:
        with running(make_app()) as jobs:
            return jobs.run("answer", {"question": str(number)}).text

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(run, range(8))) == [f"You asked: {n}" for n in range(8)]


def test_what_does_not_come_ends_the_test() -> None:
    gate = threading.Event()
    app = make_app()
    with running(app, wait_s=0.05) as jobs:
        job = jobs.start("asks")
        with pytest.raises(TimeoutError, match="job.completed"):
            job.wait_for("job.completed")
        gate.set()


def test_what_the_model_says_is_the_tests_own() -> None:
    app = Flask(__name__)
    streaming = Streaming(app)

    @streaming.task("tea")
    def tea(ctx: JobContext, input: Json) -> Iterator[str]:
        yield from ctx.llm.stream("What is tea?", tokens_per_s=0.01)

    with running(app, says="Tea is a leaf.") as jobs:
        assert jobs.run("tea").text == "Tea is a leaf."
    with running(app) as jobs:
        job = jobs.start("tea")
        job.wait_for("job.started")
        assert job.cancel().text != "Tea is a leaf."
