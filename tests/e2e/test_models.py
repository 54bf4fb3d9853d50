"""Jobs on a real model: over sockets from the model's server to the reader."""

from __future__ import annotations

import time

import pytest

from examples.openai_server import ModelServer
from tests.e2e.clients import TERMINAL, Api, Json, Reader, sse_response
from tests.e2e.conftest import MODEL_KEY, NewServer
from tests.e2e.reading import of_type, texts
from tests.e2e.server import Server
from tests.e2e.waiting import eventually

SALES = "month,sales\n2024-01,12\n2024-02,15\n2024-03,11\n"
#: A job on the model, of each kind of thread: greenlet and real.
JOBS = [
    ("generate", {"prompt": "Tides", "max_tokens": 60}),
    ("report", {"csv": SALES}),
]


@pytest.fixture
def models(model_server: ModelServer) -> ModelServer:
    """Well at first."""
    model_server.aliases = {"wanted": "fluent", "other": "fluent"}
    return model_server


@pytest.fixture
def api(modelled: Server, models: ModelServer) -> Api:
    return modelled.api


@pytest.mark.parametrize(("task", "input"), JOBS)
def test_every_reader_gets_what_the_model_has_said(
    api: Api, read: Reader, task: str, input: Json
) -> None:
    job = api.submit(task, input)

    events = list(read(api, job))

    shown = api.snapshot(job)
    assert (shown["status"], shown["degraded"]) == ("completed", False)
    assert "".join(texts(events).values()) == shown["text"] != ""


def test_the_usage_is_that_of_the_models_server(api: Api, models: ModelServer) -> None:
    shown = api.run("generate", {"prompt": "Tides come and go", "max_tokens": 60})

    assert shown["usage"] == {"prompt_tokens": 4, "completion_tokens": 60}


def test_thinking_is_told_apart(api: Api, models: ModelServer) -> None:
    models.aliases["wanted"] = "thinking"

    shown = api.run("generate", {"prompt": "Tides", "max_tokens": 3})

    assert len(of_type(api.log_of(shown["id"]), "reasoning.delta")) == 5
    assert len(shown["text"].split()) == 3


def test_what_another_model_answers_is_degraded(api: Api, models: ModelServer) -> None:
    models.aliases["wanted"] = "narrowed"  # no such model any more

    shown = api.run("generate", {"prompt": "Tides", "max_tokens": 3})

    assert (shown["status"], shown["degraded"]) == ("completed", True)
    assert "other answers for wanted" in str(of_type(api.log_of(shown["id"]), "log"))


@pytest.mark.parametrize("habit", ["cut", "unfinished", "failing"])
def test_a_failure_in_the_middle_carries_text_and_usage(
    api: Api, models: ModelServer, habit: str
) -> None:
    models.aliases["wanted"] = habit

    shown = api.run("generate", {"prompt": "Tides", "max_tokens": 60})

    (end,) = of_type(api.log_of(shown["id"]), "job.failed")
    assert end["data"]["error"]["code"] == "upstream_error"
    assert end["data"]["partial"]["text"] == shown["text"] != ""
    assert end["data"]["usage"]["completion_tokens"] == 3


@pytest.mark.parametrize(("task", "input"), JOBS)
@pytest.mark.parametrize("habit", ["silent", "mute", "stalling"])
def test_a_cancel_aborts_the_generation_and_ends_the_job_at_once(
    api: Api, models: ModelServer, habit: str, task: str, input: Json
) -> None:
    models.aliases["wanted"] = habit
    running = models.report()["running"]
    job = api.submit(task, input)
    eventually(lambda: models.report()["running"] == running + 1, "the model is asked")

    began = time.monotonic()
    api.cancel(job)
    eventually(lambda: models.report()["running"] == running, "the generation is aborted")
    shown = api.finish(job)

    assert shown["status"] == "cancelled"
    assert time.monotonic() - began < 2


def test_no_generation_goes_on_when_its_readers_have_hung_up(api: Api, models: ModelServer) -> None:
    models.aliases["wanted"] = "slow"
    running = models.report()["running"]
    body = {
        "task": "generate",
        "input": {"prompt": "Tides", "max_tokens": 2000},
        "on_disconnect": "cancel",
        "disconnect_grace_s": 0.2,
    }
    jobs = [api.post("/v1/jobs", json=body).json()["id"] for _ in range(10)]
    for job in jobs:
        with sse_response(api, f"/v1/jobs/{job}/events") as response:
            next(response.iter_raw())
    for job in jobs:
        assert api.finish(job)["status"] == "cancelled"

    eventually(lambda: models.report()["running"] == running, "no generation goes on", 2)


def test_the_key_is_in_no_event_and_in_no_log(modelled: Server, models: ModelServer) -> None:
    models.aliases = {"wanted": "fluent"}
    models.key, key = "changed", models.key
    try:
        shown = modelled.api.run("generate", {"prompt": "Tides"})
    finally:
        models.key = key

    assert shown["error"]["code"] == "model_unavailable"
    assert MODEL_KEY not in str(modelled.api.log_of(shown["id"]))
    assert MODEL_KEY not in modelled.log_text()


@pytest.mark.parametrize(("task", "input"), JOBS)
def test_a_model_that_is_not_there_fails_the_job_in_its_first_step(
    new_server: NewServer, task: str, input: Json
) -> None:
    server = new_server(
        STREAMING_LLM_BASE_URL="http://127.0.0.1:9/v1", STREAMING_LLM_MODEL="any"
    ).start()
    job = server.api.submit(task, input)

    with sse_response(server.api, f"/v1/jobs/{job}/events") as response:
        text = response.read().decode()  # the stream ends by itself

    log = server.api.log_of(job)
    failed = [
        each["data"] for each in of_type(log, "step.updated") if each["data"]["status"] == "failed"
    ]
    assert [(step["index"], log[-1]["data"]["error"]["code"]) for step in failed] == [
        (1, "model_unavailable")
    ]
    assert log[-1]["type"] in text
    assert log[-1]["type"] in TERMINAL
    assert of_type(log, "text.delta") == []
    assert log[-1]["data"]["error"]["status"] == 503
