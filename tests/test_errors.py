"""The tree of errors, and the problem objects that clients see of it."""

from __future__ import annotations

import inspect
import pickle

import pytest

from app import create_app
from streaming import Settings, errors
from streaming.errors import (
    InUse,
    InvalidInput,
    NotFound,
    Stop,
    StreamingError,
    TaskError,
    TooMany,
    Unavailable,
)
from streaming.events.problem import JOB_FAILURES, problem
from streaming.web.problems import problem_response

ALL = [
    each
    for _, each in inspect.getmembers(errors, inspect.isclass)
    if issubclass(each, StreamingError | Stop)
]
MEMBERS = {
    "type", "title", "status", "detail", "instance", "code", "retryable", "error",
}  # fmt: skip


def test_the_tree_in_the_docstring_names_every_error() -> None:
    drawn = errors.__doc__ or ""

    assert all(each.__name__ in drawn for each in ALL)


@pytest.mark.parametrize("kind", [each for each in ALL if not issubclass(each, Stop | InUse)])
def test_every_error_makes_a_problem_object(kind: type[StreamingError]) -> None:
    shown = problem(kind("what went wrong"), instance="/v1/jobs/job_a")

    assert set(shown) == MEMBERS
    assert (shown["status"], shown["title"]) == (kind.status, kind.title)
    assert shown["detail"] == shown["error"]["message"] == "what went wrong"
    assert shown["code"] == shown["error"]["code"] == kind.code
    assert shown["instance"] == "/v1/jobs/job_a"
    assert kind.__doc__


def test_an_error_without_a_detail_says_its_title() -> None:
    assert str(NotFound()) == NotFound().detail == "Not found"


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("BadRequest", 400), ("Unauthorized", 401), ("Forbidden", 403), ("NotFound", 404),
        ("Conflict", 409), ("Expired", 410), ("TooLarge", 413), ("UnsupportedMedia", 415),
        ("InvalidInput", 422), ("TooMany", 429), ("TooSlow", 408), ("Unavailable", 503),
        ("UpgradeRequired", 426), ("NotSupported", 501),
    ],
)  # fmt: skip
def test_an_error_has_the_status_of_the_contract(name: str, status: int) -> None:
    assert getattr(errors, name).status == status


def test_only_what_may_go_well_later_is_retryable() -> None:
    assert {each.__name__ for each in ALL if getattr(each, "retryable", False)} == {
        "Closed",
        "NotThere",
        "TooMany",
        "TooSlow",
        "Unavailable",
    }


def test_an_error_that_is_shown_stays_what_it_is() -> None:
    app = create_app(Settings(STREAMING_LOG_URL="memory://"))
    error = TooMany("later", retry_after_s=60.0)

    with app.test_request_context("/v1/jobs"):
        answers = [problem_response(error) for _ in range(3)]

    assert [answer.headers["Retry-After"] for answer in answers] == ["60"] * 3
    assert error.extra == {"retry_after_s": 60.0}


def test_an_equal_error_can_be_made_of_any() -> None:
    for error in (TooMany("later", retry_after_s=60.0), InUse("it", by_predecessor=True)):
        again = error.again()

        assert type(again) is type(error)
        assert again is not error
        assert (again.args, vars(again)) == (error.args, vars(error))
        assert again.extra is not error.extra


def test_fields_that_do_not_validate_are_named_each() -> None:
    shown = problem(InvalidInput.of([("input.a", "is missing"), ("ttl_s", "is negative")], line=3))

    assert shown["errors"] == [
        {"field": "input.a", "message": "is missing"},
        {"field": "ttl_s", "message": "is negative"},
    ]
    assert shown["detail"] == "input.a: is missing; ttl_s: is negative"
    assert shown["error"]["param"] == "input.a"
    assert shown["line"] == 3


def test_what_an_error_knows_more_is_in_its_problem() -> None:
    shown = problem(TooMany("full", code="queue_full", retry_after_s=2.5))

    assert (shown["code"], shown["retry_after_s"], shown["retryable"]) == ("queue_full", 2.5, True)


def test_the_kind_of_error_is_said_as_openai_clients_expect_it() -> None:
    assert problem(NotFound())["error"]["type"] == "invalid_request_error"
    assert problem(Unavailable())["error"]["type"] == "server_error"


@pytest.mark.parametrize("code", JOB_FAILURES)
def test_a_failed_job_has_the_status_of_its_code(code: str) -> None:
    shown = problem(TaskError("it failed", code=code))

    assert (shown["status"], shown["title"]) == JOB_FAILURES[code]


def test_a_task_says_code_retryable_and_more() -> None:
    error = TaskError("no column is numeric", code="bad_csv", retryable=True, line=3, column="b")

    shown = problem(error)

    assert (shown["code"], shown["retryable"], shown["line"], shown["column"]) == (
        "bad_csv", True, 3, "b",
    )  # fmt: skip
    assert shown["status"] == 500


def test_a_task_error_crosses_to_another_process_whole() -> None:
    error = pickle.loads(pickle.dumps(TaskError("bad", code="bad_csv", retryable=True, line=3)))

    assert (error.detail, error.code, error.retryable, error.extra) == (
        "bad", "bad_csv", True, {"line": 3},
    )  # fmt: skip


def test_a_broad_except_lets_a_stop_pass() -> None:
    stops = [each for each in ALL if issubclass(each, Stop)]

    assert len(stops) == 5
    assert not any(issubclass(each, Exception) for each in stops)
