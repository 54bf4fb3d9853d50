"""Errors: the right status, and each as a problem."""

from __future__ import annotations

import pytest
import requests

from tests.e2e.clients import Api, Json

AS_JSON = {"Content-Type": "application/json"}

MEMBERS = {"type", "title", "status", "detail", "instance", "code", "retryable", "error"}


def assert_problem(response: requests.Response, status: int) -> Json:
    problem = response.json()
    assert (response.status_code, problem["status"]) == (status, status), response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    assert set(problem) >= MEMBERS
    assert set(problem["error"]) == {"message", "type", "code", "param"}
    assert problem["error"]["code"] == problem["code"]
    assert isinstance(problem["retryable"], bool)
    return problem


def post(api: Api, body: str | bytes, **headers: str) -> requests.Response:
    data = body.encode() if isinstance(body, str) else body
    return api.post("/v1/jobs", data=data, headers={**AS_JSON, **headers})


@pytest.mark.parametrize(
    "body",
    ["", "{", "[1,", '{"task": "plain"', b"\xff\xfe", "nonsense", '{"a": 1} x'],
    ids=repr,
)
def test_what_is_no_json_is_a_malformed_request(api: Api, body: str | bytes) -> None:
    assert_problem(post(api, body), 400)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_only_python_takes_for_json_is_refused(api: Api, number: str) -> None:
    response = post(api, f'{{"task": "failing", "input": {{"x": {number}}}}}')

    assert_problem(response, response.status_code)
    assert response.status_code in (400, 422)


def test_a_number_too_large_for_a_float_is_not_an_error_of_ours(api: Api) -> None:
    response = post(api, '{"task": "failing", "input": {"x": 1e999}}')

    assert response.status_code in (400, 422)


@pytest.mark.parametrize("body", ["[]", "5", '"text"', "null"])
def test_a_body_that_is_no_object_is_refused(api: Api, body: str) -> None:
    response = post(api, body)

    assert_problem(response, response.status_code)
    assert response.status_code in (400, 422)


@pytest.mark.parametrize("depth", [200, 5_000, 100_000])
def test_json_that_is_too_deep_is_refused(api: Api, depth: int) -> None:
    deep = "[" * depth + "]" * depth

    response = post(api, f'{{"task": "failing", "input": {{"x": {deep}}}}}')

    if depth > 1000:
        assert response.status_code in (400, 422)
    else:
        assert response.status_code in (202, 400, 422)


@pytest.mark.parametrize("media_type", ["text/plain", "application/xml", "text/event-stream"])
def test_a_body_of_another_media_type_is_415(api: Api, media_type: str) -> None:
    body = '{"task": "failing", "input": {}}'

    assert_problem(post(api, body, **{"Content-Type": media_type}), 415)


def test_json_with_a_charset_is_json(api: Api) -> None:
    body = '{"task": "plain", "input": {"words": ["é"]}}'

    response = post(api, body, **{"Content-Type": "application/json; charset=utf-8"})

    assert response.status_code == 202


def test_validation_names_each_field(api: Api) -> None:
    input = {"prompt": "", "max_tokens": 0, "tokens_per_s": "fast"}
    problem = assert_problem(api.post("/v1/jobs", json={"task": "generate", "input": input}), 422)

    fields = {each["field"] for each in problem["errors"]}
    assert fields == {"input.prompt", "input.max_tokens", "input.tokens_per_s"}
    assert all(set(each) == {"field", "message"} for each in problem["errors"])
    assert problem["retryable"] is False
    assert problem["error"]["param"] in fields


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("task", 5),
        ("metadata", "text"),
        ("on_disconnect", "explode"),
        ("disconnect_grace_s", -1),
        ("disconnect_grace_s", "soon"),
        ("timeout_s", 0),
        ("timeout_s", -5),
        ("timeout_s", True),
        ("ttl_s", -1),
        ("ttl_s", "long"),
    ],
)
def test_each_field_of_a_job_is_validated(api: Api, field: str, value: Json) -> None:
    body = {"task": "plain", "input": {"words": ["a"]}, field: value}

    problem = assert_problem(api.post("/v1/jobs", json=body), 422)

    assert field in [each["field"] for each in problem["errors"]]


def test_a_misspelt_field_is_named(api: Api) -> None:
    body = {"task": "plain", "input": {"words": ["a"]}, "time_out_s": 5}

    problem = assert_problem(api.post("/v1/jobs", json=body), 422)

    assert [each["field"] for each in problem["errors"]] == ["time_out_s"]


@pytest.mark.parametrize("body", [{"task": "nonesuch", "input": {}}, {"input": {}}, {}], ids=str)
def test_an_unknown_or_missing_task_is_422(api: Api, body: Json) -> None:
    problem = assert_problem(api.post("/v1/jobs", json=body), 422)

    assert "task" in [each["field"] for each in problem["errors"]]


@pytest.mark.parametrize(
    "body",
    [
        r'{"task": "plain", "input": {"words": ["\ud800"]}}',
        r'{"task": "plain", "input": {"words": ["a\udc00b"]}}',
        r'{"task": "failing", "input": {"\ud800": 1}}',
        r'{"task": "failing", "input": {}, "metadata": {"a": "\udfff"}}',
        r'{"task": "\ud800", "input": {}}',
    ],
)
def test_lone_surrogates_are_refused(api: Api, body: str) -> None:
    assert_problem(post(api, body), 422)


def test_lone_surrogates_are_refused_in_input_and_cancel_too(api: Api) -> None:
    job = api.submit("listening")
    api.reach(job, "running")

    fed = api.post(f"/v1/jobs/{job}/input", data=rb'{"data": "\ud800"}', headers=AS_JSON)
    cancelled = api.cancel(job, data=rb'{"reason": "\ud800"}', headers=AS_JSON)

    assert_problem(fed, 422)
    assert_problem(cancelled, 422)
    api.cancel(job)


def test_the_error_of_a_failed_job_is_a_problem(api: Api) -> None:
    shown = api.run("failing")

    error, last = shown["error"], api.log_of(shown["id"])[-1]
    assert set(error) >= {"type", "title", "status", "detail", "code", "retryable"}
    assert set(last["data"]) == {"error", "usage", "partial"}
    assert last["data"]["error"] == error
    assert shown["text"] == "so far "


def test_a_model_that_fails_fails_the_job_and_keeps_what_there_is(api: Api) -> None:
    shown = api.run("generate", {"prompt": "x", "tokens_per_s": 0, "fail_after": 5})

    assert (shown["status"], shown["error"]["retryable"] in (True, False)) == ("failed", True)
    assert shown["text"]
    assert [step["status"] for step in shown["steps"]] == ["failed"]


def test_unknown_paths_and_methods_are_problems_too(api: Api) -> None:
    assert_problem(api.get("/v1/nonesuch"), 404)
    refused = api.request("PATCH", "/v1/jobs")
    assert_problem(refused, 405)
    assert "POST" in refused.headers["Allow"]


def test_an_error_before_the_first_byte_of_a_stream_has_its_real_status(api: Api) -> None:
    asked = {"Accept": "text/event-stream"}

    assert_problem(api.get("/v1/jobs/job_nonsense/events", headers=asked), 404)
    assert_problem(api.get("/v1/events", params={"job": "nonsense"}, headers=asked), 404)


def test_the_instance_of_a_problem_is_the_path(api: Api) -> None:
    problem = assert_problem(api.get("/v1/jobs/nonsense", params={"a": "b"}), 404)

    assert problem["instance"] == "/v1/jobs/nonsense"
