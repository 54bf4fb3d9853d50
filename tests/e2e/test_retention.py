"""Retention: long logs lose their head, old jobs go, and readers are told so."""

from __future__ import annotations

from contextlib import closing

import pytest

from tests.e2e.clients import READERS, Api, Reader
from tests.e2e.reading import assert_ended, assert_whole, texts, types_of, upto
from tests.e2e.server import Server
from tests.e2e.waiting import eventually

TEXT = "".join(f"{number} " for number in range(60))


@pytest.fixture(scope="module")
def trimmed_each(forgetful: Server) -> dict[Reader, str]:
    """For each way to read, a job that waits for input and whose log has lost its head."""
    api = forgetful.api
    jobs = {read: api.submit("talkative", {"events": 60}) for read in READERS.values()}
    for job in jobs.values():
        api.reach(job, "waiting_for_input")
        eventually(lambda job=job: types_of(api.log_of(job))[0] == "stream.gap", "it is trimmed")
    return jobs


@pytest.fixture(scope="module")
def trimmed(forgetful: Server) -> str:
    api = forgetful.api
    job = api.submit("talkative", {"events": 60})
    api.reach(job, "waiting_for_input")
    eventually(lambda: types_of(api.log_of(job))[0] == "stream.gap", "it is trimmed")
    return job


def test_behind_what_is_kept_there_is_a_gap_and_a_snapshot_and_then_it_goes_on(
    forgetful: Server, trimmed_each: dict[Reader, str], read: Reader
) -> None:
    api, job = forgetful.api, trimmed_each[read]

    with closing(read(api, job)) as events:
        gap, snapshot = seen = upto(events, "stream.snapshot")
        api.answer(job, "go on")
        rest = list(events)

    assert gap["type"] == "stream.gap"
    assert gap["data"]["from"] == 1
    assert gap["data"]["to"] >= 40
    assert snapshot["data"]["seq"] >= gap["data"]["to"]
    assert_whole(rest, after=snapshot["data"]["seq"])
    assert_ended(rest)
    assert "".join(texts(seen + rest).values()) == TEXT


def test_the_snapshot_is_whole_though_the_log_is_not(forgetful: Server, trimmed: str) -> None:
    shown = forgetful.api.snapshot(trimmed)

    assert shown["text"] == TEXT
    assert shown["task"] == "talkative"
    assert shown["started_at"] is not None


def test_a_reader_within_what_is_kept_notices_nothing(
    forgetful: Server, trimmed: str, read: Reader
) -> None:
    last = forgetful.api.snapshot(trimmed)["seq"]

    with closing(read(forgetful.api, trimmed, after=last - 5)) as events:
        seen = upto(events, "input.requested")

    assert [event["seq"] for event in seen] == list(range(last - 4, last + 1))


def test_an_expired_job_is_410_on_every_route_and_then_404(forgetful: Server) -> None:
    api = forgetful.api
    job = api.run("making", {"name": "a.txt", "versions": ["a"]}, ttl_s=0.1)["id"]
    eventually(lambda: api.get(f"/v1/jobs/{job}").status_code == 410, "it has expired")

    paths = ["", "/events", "/poll", "/viewers", "/artifacts/a.txt"]
    responses = [api.get(f"/v1/jobs/{job}{path}") for path in paths]
    responses += [api.cancel(job), api.answer(job, 1), api.delete(f"/v1/jobs/{job}")]
    responses.append(api.get("/v1/events", params={"job": job}))

    assert [response.status_code for response in responses] == [410] * len(responses)
    assert {response.json()["status"] for response in responses} == {410}
    assert job not in [each["id"] for each in api.get("/v1/jobs").json()["jobs"]]
    eventually(lambda: api.get(f"/v1/jobs/{job}").status_code == 404, "its tombstone has gone")


def test_a_job_is_kept_at_most_as_long_as_the_retention_but_not_while_it_runs(
    forgetful: Server, trimmed: str
) -> None:
    api = forgetful.api
    ended = api.run("plain", {"words": ["a"]}, ttl_s=1000)["id"]

    eventually(lambda: api.get(f"/v1/jobs/{ended}").status_code == 410, "it has expired")

    assert api.snapshot(trimmed)["status"] == "waiting_for_input"


def test_a_job_that_lives_less_than_the_retention_goes_earlier(api: Api) -> None:
    short = api.run("plain", {"words": ["a"]}, ttl_s=0.1)["id"]
    long = api.run("plain", {"words": ["a"]})["id"]

    eventually(lambda: api.get(f"/v1/jobs/{short}").status_code == 410, "it has expired")
    assert api.get(f"/v1/jobs/{long}").status_code == 200


def test_a_reader_of_a_job_that_expires_is_not_left_alone(forgetful: Server) -> None:
    api = forgetful.api
    shown = api.run("plain", {"words": ["a"]}, ttl_s=0.5)

    with_gone = api.get(f"/v1/jobs/{shown['id']}/poll", params={"after": shown["seq"], "wait": 5})

    assert with_gone.status_code in (200, 410)
