"""Input to a running job: answers to what it asks, and what it is told without asking."""

from __future__ import annotations

import pytest

from tests.e2e.clients import Api, Json
from tests.e2e.reading import of_type
from tests.e2e.waiting import eventually


@pytest.fixture
def asking(api: Api):
    job = api.submit("asking")
    api.reach(job, "waiting_for_input")
    yield job
    api.cancel(job)


def test_an_answer_reaches_the_task_and_the_log(api: Api, asking: str) -> None:
    request = api.snapshot(asking)["input_request"]["request"]

    response = api.answer(asking, {"ok": True}, request=request)
    shown = api.finish(asking)

    (received,) = of_type(api.log_of(asking), "input.received")
    assert response.status_code == 200
    assert shown["output"] == {"verdict": {"ok": True}}
    assert received["data"] == {"request": request, "data": {"ok": True}}
    assert shown["input_request"] is None


def test_the_same_answer_again_is_200_and_another_409(api: Api, asking: str) -> None:
    request = api.snapshot(asking)["input_request"]["request"]
    api.answer(asking, {"ok": True}, request=request)

    again = [api.answer(asking, {"ok": True}, request=request) for _ in range(2)]
    other = api.answer(asking, {"ok": False}, request=request)

    assert [response.status_code for response in again] == [200, 200]
    assert other.status_code == 409
    assert len(of_type(api.log_of(asking), "input.received")) == 1


def test_the_same_answer_without_naming_the_request_is_200_too(api: Api, asking: str) -> None:
    api.answer(asking, {"ok": True})
    api.finish(asking)

    assert api.answer(asking, {"ok": True}).status_code == 200
    assert api.answer(asking, {"ok": False}).status_code == 409


def test_an_answer_to_a_job_that_asks_nothing_is_409(api: Api) -> None:
    running, ended = api.submit("sleeping"), api.run("plain", {"words": ["a"]})["id"]
    api.reach(running, "running")

    for job in (running, ended):
        response = api.answer(job, {"ok": True})
        assert response.status_code == 409
        assert response.headers["Content-Type"] == "application/problem+json"
    api.cancel(running)


def test_an_answer_to_another_request_is_409(api: Api, asking: str) -> None:
    assert api.answer(asking, {"ok": True}, request="some.other").status_code == 409
    assert api.snapshot(asking)["status"] == "waiting_for_input"


@pytest.mark.parametrize("data", [{"ok": "yes"}, {}, None, [True], "ok"], ids=repr)
def test_an_answer_that_does_not_fit_the_schema_is_422_and_the_question_stands(
    api: Api, asking: str, data: Json
) -> None:
    response = api.answer(asking, data)

    assert response.status_code == 422
    assert response.json()["errors"][0]["field"].startswith("data")
    assert api.snapshot(asking)["status"] == "waiting_for_input"


def test_an_answer_without_data_is_422(api: Api, asking: str) -> None:
    response = api.post(f"/v1/jobs/{asking}/input", json={})

    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "data"


def test_a_task_that_takes_input_is_fed_while_it_runs(api: Api) -> None:
    job = api.submit("listening")
    api.reach(job, "running")

    for word in ("one", "two", "two", "stop"):
        assert api.answer(job, word).status_code == 200
    shown = api.finish(job)

    assert shown["output"] == {"heard": ["one", "two", "two"]}
    assert shown["text"] == "one\ntwo\ntwo\n"


def test_what_is_sent_before_the_task_starts_to_listen_is_not_lost(api: Api) -> None:
    jobs = [api.submit("listening") for _ in range(10)]

    for job in jobs:
        for word in ("first", "stop"):
            assert api.answer(job, word).status_code in (200, 409)

    for job in jobs:
        told = [event["data"]["data"] for event in of_type(api.log_of(job), "input.received")]
        if told == ["first", "stop"]:
            assert api.finish(job)["output"] == {"heard": ["first"]}
        else:
            api.cancel(job)


def test_a_job_goes_on_as_running_after_the_answer(api: Api) -> None:
    job = api.submit("diary", {"path": "/dev/null"})
    api.reach(job, "waiting_for_input")

    response = api.answer(job, "go")

    assert response.json()["status"] in ("running", "completed")
    eventually(lambda: api.snapshot(job)["status"] == "completed", "it has ended")
