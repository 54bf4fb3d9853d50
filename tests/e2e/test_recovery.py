"""kill -9 of the worker, and of everything: what was accepted is there and goes on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.clients import READERS, Api, Envelope
from tests.e2e.conftest import NewServer
from tests.e2e.reading import assert_ended, assert_whole, of_type, texts, types_of, upto
from tests.e2e.server import Server


def kill_worker(server: Server) -> None:
    server.kill_worker()


def kill_all(server: Server) -> None:
    server.kill()
    server.start()


KILL = pytest.mark.parametrize("kill", [kill_worker, kill_all], ids=["worker", "all"])


@KILL
def test_a_killed_job_goes_on_from_its_last_finished_step(
    new_server: NewServer, tmp_path: Path, kill: Callable[[Server], None]
) -> None:
    server, runs = new_server().start(), tmp_path / "runs"
    api = server.api
    job = api.submit("diary", {"path": str(runs)})
    api.reach(job, "waiting_for_input")
    stayed = read_until_asked(api, job)

    kill(server)
    api.reach(job, "waiting_for_input")
    api.answer(job, "go on")
    shown = api.finish(job)
    for name, read in READERS.items():
        events = stayed + list(read(api, job, after=stayed[-1]["seq"]))
        assert_ended(events)
        assert assert_whole(events) == shown["seq"], name
        assert "".join(texts(events).values()) == shown["text"], name

    text = "one by attempt 1\ntwo by attempt 2\nthree by attempt 2\n"
    assert (shown["status"], shown["attempt"]) == ("completed", 2)
    assert shown["text"] == shown["output"]["text"] == text
    assert runs.read_text().splitlines() == [
        "one of attempt 1",
        "two of attempt 1",
        "two of attempt 2",
        "three of attempt 2",
    ]


def read_until_asked(api: Api, job: str) -> list[Envelope]:
    with closing(READERS["sse"](api, job)) as events:
        return upto(events, "input.requested")


def test_a_later_attempt_resets_the_text_of_steps_that_had_not_ended(
    new_server: NewServer,
) -> None:
    server = new_server().start()
    job = server.api.submit("diary", {"path": "/dev/null"})
    server.api.reach(job, "waiting_for_input")

    server.kill_worker()
    server.api.reach(job, "waiting_for_input")

    log = server.api.log_of(job)
    started = [index for index, type in enumerate(types_of(log)) if type == "job.started"]
    resets = of_type(log, "text.reset")
    assert len(started) == 2
    assert [event["data"] for event in resets] == [{"item": "two"}]
    assert log.index(resets[0]) == started[1] + 1


def test_a_task_that_must_not_be_tried_twice_fails_as_worker_lost(new_server: NewServer) -> None:
    server = new_server().start()
    job = server.api.submit("once-only")
    server.api.reach(job, "running")

    server.kill_worker()

    shown = server.api.finish(job)
    assert (shown["status"], shown["error"]["code"]) == ("failed", "worker_lost")
    assert shown["text"] == "begun "


def test_an_answer_that_was_taken_is_not_asked_for_again(new_server: NewServer) -> None:
    server = new_server().start()
    api = server.api
    job = api.submit("asking-then-sleeping")
    api.reach(job, "waiting_for_input")
    api.answer(job, {"ok": True})
    api.reach(job, "running")

    server.kill_worker()
    api.reach(job, "running")
    api.cancel(job)

    api.finish(job)
    assert len(of_type(api.log_of(job), "input.requested")) == 1


def test_jobs_in_every_state_outlive_the_loss_of_everything(new_server: NewServer) -> None:
    server = new_server(STREAMING_JOBS=2).start()
    api = server.api
    ended = api.run("making", {"name": "a.txt", "versions": ["kept"]})
    waiting, running = api.submit("asking"), api.submit("sleeping", {"seconds": 0.2})
    queued = [api.submit("plain", {"words": [word]}) for word in "abc"]
    last = api.submit("plain", {"words": ["last"]})

    kill_all(server)

    assert api.snapshot(ended["id"]) == ended
    assert api.get(f"/v1/jobs/{ended['id']}/artifacts/a.txt").text == "kept"
    assert [api.finish(job)["text"] for job in queued] == ["a", "b", "c"]
    assert api.finish(last)["text"] == "last"
    assert api.finish(running)["status"] == "completed"
    api.reach(waiting, "waiting_for_input")
    api.answer(waiting, {"ok": True})
    assert api.finish(waiting)["output"] == {"verdict": {"ok": True}}


def test_a_job_that_was_being_cancelled_ends_as_cancelled(new_server: NewServer) -> None:
    server = new_server().start()
    job = server.api.submit("deaf")
    server.api.reach(job, "running")
    server.api.cancel(job)

    server.kill()
    server.start()

    assert server.api.finish(job)["status"] == "cancelled"


def test_a_post_that_is_sent_again_after_a_crash_is_the_same_job(new_server: NewServer) -> None:
    server = new_server().start()
    body, key = {"task": "asking", "input": {}}, {"Idempotency-Key": "once"}
    first = server.api.post("/v1/jobs", json=body, headers=key).json()["id"]

    kill_all(server)

    again = server.api.post("/v1/jobs", json=body, headers=key)
    assert again.json()["id"] == first
    assert again.headers["Idempotency-Replayed"] == "true"
