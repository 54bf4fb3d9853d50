"""Ways to submit: with a stream, with a wait, with an idempotency key."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import uuid4

import pytest
import requests
from httpx_sse import connect_sse

from tests.e2e.clients import Api, Json, streaming_client
from tests.e2e.reading import assert_ended, assert_whole, stored

STREAM = {"Accept": "text/event-stream"}


def body(*words: str) -> dict[str, Json]:
    return {"task": "plain", "input": {"words": list(words)}}


@contextmanager
def streamed(api: Api, payload: Json, **headers: str):
    with (
        streaming_client() as client,
        connect_sse(client, "POST", f"{api.url}/v1/jobs", json=payload, headers=headers) as source,
    ):
        yield source


@pytest.fixture
def key() -> dict[str, str]:
    return {"Idempotency-Key": uuid4().hex}


def test_a_post_that_accepts_a_stream_is_answered_with_the_stream(api: Api) -> None:
    with streamed(api, body("a", "b")) as source:
        headers = source.response.headers
        status = source.response.status_code
        events = [frame.json() for frame in source.iter_sse() if frame.data]

    job = events[0]["job"]
    assert status == 200
    assert headers["Content-Type"].startswith("text/event-stream")
    assert headers["Content-Location"] == f"/v1/jobs/{job}"
    assert headers["Location"] == f"/v1/jobs/{job}/events"
    assert assert_whole(stored(events)) == api.snapshot(job)["seq"]
    assert_ended(events)


def test_a_stream_that_broke_off_goes_on_at_its_location(api: Api) -> None:
    payload = {"task": "generate", "input": {"prompt": "x", "tokens_per_s": 200}}
    with streamed(api, payload) as source:
        location = source.response.headers["Location"]
        frames = (frame for frame in source.iter_sse() if frame.data)
        seen = [next(frames).json() for _ in range(5)]

    response = api.get(location, headers={"Last-Event-ID": str(seen[-1]["seq"]), **STREAM})

    assert f"\nid: {seen[-1]['seq'] + 1}\n" in response.text
    assert "job.completed" in response.text


def test_a_stream_beats_a_wait(api: Api) -> None:
    with streamed(api, body("a"), Prefer="wait=5") as source:
        assert source.response.headers["Content-Type"].startswith("text/event-stream")


@pytest.mark.parametrize(
    ("accept", "type_"),
    [
        ("text/event-stream, */*;q=0.1", "text/event-stream"),
        ("application/json, text/event-stream", "text/event-stream"),
        ("application/json, text/event-stream;q=0.5", "application/json"),
        ("text/event-stream;q=0, */*", "application/json"),
        ("*/*", "application/json"),
    ],
)
def test_a_stream_is_for_those_who_want_it_no_less_than_json(
    api: Api, accept: str, type_: str
) -> None:
    response = api.post("/v1/jobs", json=body("a"), headers={"Accept": accept})

    assert response.headers["Content-Type"].split(";")[0] == type_


def test_an_invalid_job_that_asks_for_a_stream_has_its_real_status(api: Api) -> None:
    response = api.post("/v1/jobs", json={"task": "nonesuch", "input": {}}, headers=STREAM)

    assert response.status_code == 422
    assert response.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("preference", ["wait=5", 'respond-async, WAIT = "5"; strict'])
def test_prefer_wait_is_answered_with_the_ended_job(api: Api, preference: str) -> None:
    response = api.post("/v1/jobs", json=body("a", "b"), headers={"Prefer": preference})

    assert response.status_code == 200
    assert response.json()["status"] == "completed"
    assert response.json()["output"] == {"text": "ab"}


def test_prefer_wait_is_answered_with_202_when_the_time_is_over(api: Api) -> None:
    began = time.monotonic()
    response = api.post("/v1/jobs", json={"task": "sleeping"}, headers={"Prefer": "wait=0.5"})
    waited_s = time.monotonic() - began

    whole = api.post("/v1/jobs", json={"task": "sleeping"}, headers={"Prefer": "wait=1"})

    assert response.status_code == whole.status_code == 202
    assert whole.json()["status"] in ("queued", "running")
    assert waited_s < 3
    for each in (response, whole):
        api.cancel(each.json()["id"])


def test_a_preference_that_is_not_understood_is_ignored(api: Api) -> None:
    for preference in (
        "wait=soon",
        "wait=-1",
        "wait=\xb2",
        "respond-async",
        "wait",
        "handling=lenient",
    ):
        response = api.post("/v1/jobs", json=body("a"), headers={"Prefer": preference})
        assert response.status_code in (200, 202), preference


def test_the_same_key_and_body_are_the_same_job(api: Api, key: dict[str, str]) -> None:
    first = api.post("/v1/jobs", json={"task": "sleeping", "input": {}}, headers=key)
    running = api.post("/v1/jobs", json={"task": "sleeping", "input": {}}, headers=key)
    job = first.json()["id"]
    api.cancel(job)
    api.finish(job)
    ended = api.post("/v1/jobs", json={"task": "sleeping", "input": {}}, headers=key)

    assert "Idempotency-Replayed" not in first.headers
    assert [r.json()["id"] for r in (running, ended)] == [job, job]
    assert [r.headers["Idempotency-Replayed"] for r in (running, ended)] == ["true", "true"]
    assert [r.status_code for r in (first, running, ended)] == [202, 202, 200]


def test_bodies_are_compared_as_they_are_parsed(api: Api, key: dict[str, str]) -> None:
    asked = {**key, "Content-Type": "application/json"}
    one = '{"task": "plain", "input": {"words": ["é"]}}'
    same = '{ "input":{"words":["\\u00e9"]},"task":"plain" }'

    first = api.post("/v1/jobs", data=one.encode(), headers=asked)
    again = api.post("/v1/jobs", data=same.encode(), headers=asked)

    assert again.json()["id"] == first.json()["id"]


def test_the_same_key_with_another_body_is_a_conflict(api: Api, key: dict[str, str]) -> None:
    api.post("/v1/jobs", json=body("a"), headers=key)

    for other in (body("b"), {**body("a"), "metadata": {"n": 1}}, {**body("a"), "task": "failing"}):
        response = api.post("/v1/jobs", json=other, headers=key)
        assert response.status_code == 409, other
        assert response.headers["Content-Type"] == "application/problem+json"


def test_an_invalid_body_does_not_use_up_its_key(api: Api, key: dict[str, str]) -> None:
    invalid = api.post("/v1/jobs", json={"task": "plain", "input": {}}, headers=key)
    valid = api.post("/v1/jobs", json=body("a"), headers=key)

    assert (invalid.status_code, valid.status_code) == (422, 202)


def test_of_concurrent_posts_with_one_key_one_makes_the_job(api: Api, key: dict[str, str]) -> None:
    def post(_: int) -> requests.Response:
        return api.post("/v1/jobs", json={"task": "sleeping", "input": {}}, headers=key)

    with ThreadPoolExecutor(12) as pool:
        responses = list(pool.map(post, range(12)))

    jobs = {response.json()["id"] for response in responses}
    fresh = [r for r in responses if "Idempotency-Replayed" not in r.headers]
    assert {response.status_code for response in responses} == {202}
    assert (len(jobs), len(fresh)) == (1, 1)
    api.cancel(jobs.pop())


def test_a_key_with_a_stream_gives_the_stream_of_the_same_job(
    api: Api, key: dict[str, str]
) -> None:
    job = api.post("/v1/jobs", json=body("a"), headers=key).json()["id"]

    response = api.post("/v1/jobs", json=body("a"), headers={**key, **STREAM})

    assert response.headers["Content-Location"] == f"/v1/jobs/{job}"
    assert response.headers["Idempotency-Replayed"] == "true"
    assert "job.completed" in response.text


def test_a_key_lasts_as_long_as_its_job(api: Api, key: dict[str, str]) -> None:
    job = api.post("/v1/jobs", json=body("a"), headers=key).json()["id"]
    api.finish(job)
    api.delete(f"/v1/jobs/{job}")

    again = api.post("/v1/jobs", json=body("a"), headers=key)

    assert (again.status_code, again.json()["id"] == job) == (202, False)
    assert "Idempotency-Replayed" not in again.headers


def test_empty_and_huge_keys_are_refused(api: Api) -> None:
    for bad in ("", "k" * 5000):
        response = api.post("/v1/jobs", json=body("a"), headers={"Idempotency-Key": bad})
        assert response.status_code in (202, 400, 422), bad
