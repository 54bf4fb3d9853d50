"""Cancelling, in every state of a job; and the time that a job may take."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.e2e.clients import Api, Envelope
from tests.e2e.reading import assert_ended, of_type, types_of
from tests.e2e.server import Server
from tests.e2e.waiting import eventually

#: A task, its input, and the status or event that shows that it is where it is to be cancelled.
STATES = {
    "running": ("counting", {}, "text.delta"),
    "before-the-first-token": (
        "generate",
        {"prompt": "x", "tokens_per_s": 0.01},
        "step.updated",
    ),
    "in-mid-answer": (
        "generate",
        {"prompt": "x", "tokens_per_s": 100, "max_tokens": 50_000},
        "text.delta",
    ),
    "waiting-for-input": ("asking", {}, "input.requested"),
    "listening": ("listening", {}, "job.started"),
    "sleeping": ("sleeping", {}, "job.started"),
    "sleeping-as-greenlet": ("sleeping-cooperative", {}, "job.started"),
    "sleeping-in-event-loop": ("sleeping-async", {}, "job.started"),
}


#: What the end says of the model's answer: of one that had begun, and of one that was to be waited
#: for, unless the cancel was there before the model was asked.
TOLD = {"in-mid-answer": {"cut", "simulated"}}
MAY_TELL = {"before-the-first-token": {"simulated"}}


@pytest.fixture(scope="module", autouse=True)
def deaf(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A job whose code does not listen, and the file that ends it.

    It is cancelled early, and takes its time while other tests run. A job runs beside it: a task
    host with stuck threads alone would be replaced.
    """
    end = tmp_path_factory.mktemp("deaf") / "end"
    beside = server.api.submit("sleeping")
    server.api.reach(beside, "running")
    job = server.api.submit("deaf", {"until": str(end)})
    server.api.reach(job, "running")
    response = server.api.cancel(job)
    assert (response.status_code, response.json()["status"]) == (202, "cancelling")
    yield job, end
    server.api.cancel(beside)


def seconds_to_end(log: list[Envelope]) -> float:
    """From the cancel to the terminal event, as the log has it."""
    (asked,) = of_type(log, "job.cancel_requested")
    begin, end = (datetime.fromisoformat(event["at"]) for event in (asked, log[-1]))
    return (end - begin).total_seconds()


@pytest.mark.parametrize("state", STATES)
def test_a_cancel_ends_a_job_within_half_a_second(api: Api, state: str) -> None:
    task, input, sign = STATES[state]
    job = api.submit(task, input)
    eventually(lambda: of_type(api.log_of(job), sign), f"there is {sign}")

    response = api.cancel(job, json={"reason": "enough"})
    shown, log = api.finish(job), api.log_of(job)

    assert response.status_code in (200, 202)
    assert response.json()["status"] in ("cancelling", "cancelled")
    assert shown["status"] == "cancelled"
    assert log[-1]["type"] == "job.cancelled"
    assert log[-1]["data"]["reason"] == "enough"
    assert of_type(log, "job.cancel_requested")[0]["data"] == {"reason": "enough"}
    told = {"reason", "usage", "partial", *TOLD.get(state, ())}
    assert set(log[-1]["data"]) - MAY_TELL.get(state, set()) == told
    assert seconds_to_end(log) <= 0.5
    assert_ended(log)


def test_a_queued_job_is_cancelled_at_once_and_never_starts(narrow: Server) -> None:
    api = narrow.api
    running = api.submit("sleeping")
    api.reach(running, "running")
    queued = api.submit("plain", {"words": ["a"]})
    assert api.snapshot(queued)["queue_position"] is not None

    response = api.cancel(queued)
    api.cancel(running)
    api.finish(running)

    assert (response.status_code, response.json()["status"]) == (200, "cancelled")
    assert types_of(api.log_of(queued)) == ["job.queued", "job.cancel_requested", "job.cancelled"]


def test_cancelling_again_is_the_same_as_once(api: Api) -> None:
    job = api.submit("sleeping")
    api.reach(job, "running")

    answers = [api.cancel(job) for _ in range(4)]
    api.finish(job)
    answers.append(api.cancel(job, json={"reason": "another"}))

    assert {answer.status_code for answer in answers} <= {200, 202}
    assert (answers[-1].status_code, answers[-1].json()["status"]) == (200, "cancelled")
    assert len(of_type(api.log_of(job), "job.cancel_requested")) == 1


@pytest.mark.parametrize(
    ("task", "status"), [("plain", "completed"), ("failing", "failed")], ids=str
)
def test_a_job_that_has_ended_stays_as_it_is(api: Api, task: str, status: str) -> None:
    before = api.run(task, {"words": ["a"]})

    response = api.cancel(before["id"])

    assert (response.status_code, response.json()) == (200, before)
    assert before["status"] == status


@pytest.mark.parametrize(
    "options",
    [{}, {"data": b""}, {"json": {}}, {"json": {"reason": None}}],
    ids=["none", "empty", "object", "null"],
)
def test_the_body_of_a_cancel_may_be_missing(api: Api, options: dict) -> None:
    job = api.submit("sleeping")

    assert api.cancel(job, **options).status_code in (200, 202)
    assert api.finish(job)["status"] == "cancelled"


def test_a_cancel_that_is_no_cancel_is_refused_and_the_job_goes_on(api: Api) -> None:
    job = api.submit("asking")
    api.reach(job, "waiting_for_input")

    responses = [
        api.cancel(job, json={"reason": 5}),
        api.cancel(job, json=["reason"]),
        api.cancel(job, data="{", headers={"Content-Type": "application/json"}),
    ]

    assert {response.status_code for response in responses} <= {400, 422}
    assert api.snapshot(job)["status"] == "waiting_for_input"
    api.cancel(job)


def test_a_cancelled_job_keeps_what_it_has_said(api: Api) -> None:
    job = api.submit("counting")
    eventually(lambda: "3 " in api.snapshot(job)["text"], "it has said something")

    api.cancel(job)
    shown = api.finish(job)

    assert shown["text"].startswith("0 1 2 3 ")
    assert shown["steps"] == []


def test_steps_that_have_not_ended_are_skipped(api: Api) -> None:
    job = api.submit("scripted")
    api.reach(job, "waiting_for_input")

    api.cancel(job)
    shown = api.finish(job)

    assert [step["status"] for step in shown["steps"]] == ["completed", "skipped"]


def test_of_many_cancels_at_once_each_ends_its_job(api: Api) -> None:
    jobs = [api.submit("counting") for _ in range(20)]

    for job in jobs:
        api.cancel(job)

    for job in jobs:
        assert api.finish(job)["status"] == "cancelled"
        assert_ended(api.log_of(job))


def test_a_job_that_runs_longer_than_it_may_fails_as_timed_out(api: Api) -> None:
    for task in ("sleeping", "counting", "sleeping-async", "sleeping-cooperative"):
        shown = api.run(task, timeout_s=0.3)

        assert (shown["status"], shown["error"]["code"]) == ("failed", "timed_out"), task
        assert api.log_of(shown["id"])[-1]["data"]["error"] == shown["error"]


def test_time_in_which_a_job_waits_for_people_is_not_running_time(api: Api) -> None:
    job = api.submit("asking", timeout_s=0.3)
    api.reach(job, "waiting_for_input")
    other = api.run("sleeping", timeout_s=0.6)

    assert other["status"] == "failed"
    assert api.snapshot(job)["status"] == "waiting_for_input"
    api.answer(job, {"ok": True})
    assert api.finish(job)["status"] == "completed"


def test_code_that_does_not_listen_is_ended_within_six_seconds_and_counted_as_stuck(
    api: Api, deaf: tuple[str, Path]
) -> None:
    job, end = deaf

    assert api.finish(job)["status"] == "cancelled"
    assert seconds_to_end(api.log_of(job)) <= 6
    eventually(  # a worker tells of it in its own time
        lambda: "streaming_stuck_threads 1.0" in api.get("/metrics").text,
        "the thread is counted",
    )
    end.touch()
    eventually(
        lambda: "streaming_stuck_threads 0.0" in api.get("/metrics").text,
        "the thread has returned",
    )
