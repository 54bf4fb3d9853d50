"""The worker or everything is killed, or told to leave: what was accepted is there and goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.clients import READERS, Api, Envelope, Json, Reader
from tests.e2e.conftest import NewServer
from tests.e2e.reading import assert_ended, assert_whole, of_type, texts, types_of, upto
from tests.e2e.server import Server


def restart(server: Server) -> None:
    server.stop()
    server.start()


def kill_all(server: Server) -> None:
    server.kill()
    server.start()


#: Ways in which a server loses its jobs.
LOSSES: dict[str, Callable[[Server], None]] = {
    "worker-killed": lambda server: server.kill_worker(),
    "all-killed": kill_all,
    "restarted": restart,
    "reloaded": lambda server: server.reload(),
}


@dataclass
class Survivors:
    """A server that has lost its jobs once, what they were, and how they were before."""

    api: Api
    jobs: dict[str, str]
    before: dict[str, Json]
    #: What a reader had been given of the diary.
    read: list[Envelope]
    #: Where the diary counts its runs.
    runs: Path

    def __getitem__(self, name: str) -> str:
        return self.jobs[name]


@pytest.fixture(scope="module", params=LOSSES.values(), ids=LOSSES.keys())
def survivors(
    request: pytest.FixtureRequest, make_server: NewServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Survivors]:
    folder = tmp_path_factory.mktemp("runs")
    with make_server(STREAMING_DRAIN_S=1, STREAMING_JOBS=6) as server:
        api, runs = server.start().api, folder / "runs"
        jobs = {
            "ended": api.run("making", {"name": "a.txt", "versions": ["kept"]})["id"],
            "diary": api.submit("diary", {"path": str(runs)}),
            "once-only": api.submit("once-only"),
            "answered": api.submit("asking-then-sleeping"),
            "cancelling": api.submit("deaf"),
            "asking": api.submit("asking"),
            "sleeping": api.submit("sleeping", {"seconds": 0.5}),
        }
        for name in ("diary", "answered", "asking"):
            api.reach(jobs[name], "waiting_for_input")
        for name in ("once-only", "cancelling", "sleeping"):
            api.reach(jobs[name], "running")
        jobs |= {word: api.submit("plain", {"words": [word]}) for word in ("one", "two")}
        jobs["keyed"] = post_with_key(api).json()["id"]
        api.answer(jobs["answered"], {"ok": True})
        api.reach(jobs["answered"], "running")
        with closing(READERS["sse"](api, jobs["diary"])) as events:
            read = upto(events, "input.requested")
        api.cancel(jobs["cancelling"])
        before = {name: api.snapshot(job) for name, job in jobs.items()}

        request.param(server)

        yield Survivors(api, jobs, before, read, runs)


def post_with_key(api: Api) -> Json:
    body, key = {"task": "plain", "input": {"words": ["keyed"]}}, {"Idempotency-Key": "once"}
    return api.post("/v1/jobs", json=body, headers=key)


@pytest.fixture
def diary(survivors: Survivors) -> str:
    """The diary, after it went on and was told to."""
    api, job = survivors.api, survivors["diary"]
    if api.snapshot(job)["status"] != "completed":
        in_second_attempt(api, job, "waiting_for_input")
        assert api.answer(job, "go on").status_code == 200
        assert api.finish(job)["status"] == "completed"
    return job


def in_second_attempt(api: Api, job: str, status: str) -> None:
    eventually_started = api.reach(job, status)
    while eventually_started["attempt"] < 2:
        eventually_started = api.reach(job, status)


def test_an_ended_job_is_as_it_was(survivors: Survivors) -> None:
    api, job = survivors.api, survivors["ended"]

    assert api.snapshot(job) == survivors.before["ended"]
    assert api.get(f"/v1/jobs/{job}/artifacts/a.txt").text == "kept"


def test_a_job_goes_on_from_its_last_finished_step(survivors: Survivors, diary: str) -> None:
    shown = survivors.api.snapshot(diary)

    assert shown["attempt"] == 2
    assert (
        shown["text"]
        == shown["output"]["text"]
        == ("one by attempt 1\ntwo by attempt 2\nthree by attempt 2\n")
    )
    assert survivors.runs.read_text().splitlines() == [
        "one of attempt 1",
        "two of attempt 1",
        "two of attempt 2",
        "three of attempt 2",
    ]


def test_a_later_attempt_resets_the_text_of_steps_that_had_not_ended(
    survivors: Survivors, diary: str
) -> None:
    log = survivors.api.log_of(diary)

    second = [event["seq"] for event in of_type(log, "job.started")][1]
    (reset,) = of_type(log, "text.reset")
    assert reset["data"] == {"item": "two"}
    assert reset["seq"] == second + 1


def test_a_reader_that_comes_back_gets_the_rest(
    survivors: Survivors, diary: str, read: Reader
) -> None:
    seen = list(survivors.read)
    seen += read(survivors.api, diary, after=seen[-1]["seq"])

    shown = survivors.api.snapshot(diary)
    assert_ended(seen)
    assert assert_whole(seen) == shown["seq"]
    assert "".join(texts(seen).values()) == shown["text"]


def test_a_reader_that_starts_over_gets_all_of_it(
    survivors: Survivors, diary: str, read: Reader
) -> None:
    events = list(read(survivors.api, diary))

    assert assert_whole(events) == survivors.api.snapshot(diary)["seq"]
    assert "".join(texts(events).values()) == survivors.api.snapshot(diary)["text"]


def test_a_task_that_must_not_be_tried_twice_fails_as_worker_lost(survivors: Survivors) -> None:
    shown = survivors.api.finish(survivors["once-only"])

    assert (shown["status"], shown["error"]["code"]) == ("failed", "worker_lost")
    assert shown["text"] == "begun "


def test_an_answer_that_was_taken_is_not_asked_for_again(survivors: Survivors) -> None:
    api, job = survivors.api, survivors["answered"]
    in_second_attempt(api, job, "running")
    api.cancel(job)
    api.finish(job)

    assert len(of_type(api.log_of(job), "input.requested")) == 1


def test_a_question_that_was_not_answered_stands(survivors: Survivors) -> None:
    api, job = survivors.api, survivors["asking"]
    in_second_attempt(api, job, "waiting_for_input")

    assert api.answer(job, {"ok": True}).status_code == 200
    assert api.finish(job)["output"] == {"verdict": {"ok": True}}


def test_a_job_that_was_being_cancelled_ends_as_cancelled(survivors: Survivors) -> None:
    assert survivors.api.finish(survivors["cancelling"])["status"] == "cancelled"


def test_a_running_and_the_queued_jobs_complete(survivors: Survivors) -> None:
    assert survivors.api.finish(survivors["sleeping"])["status"] == "completed"
    assert survivors.api.finish(survivors["one"])["text"] == "one"
    assert survivors.api.finish(survivors["two"])["text"] == "two"


def test_a_post_that_is_sent_again_is_the_same_job(survivors: Survivors) -> None:
    again = post_with_key(survivors.api)

    assert again.json()["id"] == survivors["keyed"]
    assert again.headers["Idempotency-Replayed"] == "true"


def test_the_list_has_every_job(survivors: Survivors) -> None:
    listed = survivors.api.get("/v1/jobs", params={"limit": 100}).json()["jobs"]

    assert {each["id"] for each in listed} >= set(survivors.jobs.values())


def test_each_job_has_ended_once(survivors: Survivors, diary: str) -> None:
    for name, job in survivors.jobs.items():
        survivors.api.cancel(job)
        survivors.api.finish(job)
        log = survivors.api.log_of(job)
        assert_ended(log)
        assert assert_whole(log) == len(log), name
        assert types_of(log)[0] == "job.queued"
