"""The filter by type: what passes, and positions that move on over what does not."""

from __future__ import annotations

from contextlib import closing

import pytest

from tests.e2e.clients import Api, Reader, Socket, read_poll, sse_frames
from tests.e2e.reading import types_of, upto
from tests.e2e.server import Server


@pytest.fixture(scope="module")
def ended(server) -> str:
    return server.api.run("generator", {"words": ["a", "b", "c"]})["id"]


def test_only_the_types_asked_for_and_the_terminal_event_pass(
    api: Api, ended: str, read: Reader
) -> None:
    events = list(read(api, ended, types="text.delta"))

    assert types_of(events) == ["text.delta"] * 3 + ["job.completed"]


def test_several_types_may_be_asked_for(api: Api, ended: str, read: Reader) -> None:
    events = list(read(api, ended, types="job.started,text.delta"))

    assert types_of(events) == ["job.started"] + ["text.delta"] * 3 + ["job.completed"]


def test_a_filter_alone_adds_no_from(api: Api, ended: str, read: Reader) -> None:
    assert not any("from" in event for event in read(api, ended, types="job.started"))


def test_the_streams_own_events_pass_every_filter(api: Api, ended: str, read: Reader) -> None:
    with closing(read(api, ended, after=99, types="metric")) as events:
        seen = upto(events, "stream.snapshot")

    assert types_of(seen) == ["stream.gap", "stream.snapshot"]


def test_a_poll_whose_filter_drops_everything_moves_its_position_on(api: Api) -> None:
    job = api.submit("asking")
    last = api.reach(job, "waiting_for_input")["seq"]

    asked = {"wait": 0, "types": "metric"}
    page = api.get(f"/v1/jobs/{job}/poll", params=asked).json()

    assert (page["events"], page["next"], page["closed"]) == ([], last, False)
    api.cancel(job)


def test_a_filtered_reader_resumes_behind_what_was_filtered(brisk: Server) -> None:
    api = brisk.api
    job = api.submit("asking")
    last = api.reach(job, "waiting_for_input")["seq"]

    path = f"/v1/jobs/{job}/events"
    with closing(sse_frames(api, path, types="metric")) as frames:
        position = next(frame.id for frame in frames if frame.id == str(last))
    api.answer(job, {"ok": True})
    events = list(read_poll(api, job, after=position))

    assert types_of(events) == ["input.received", "job.completed"]


def test_a_feed_whose_filter_drops_everything_moves_its_position_on(brisk: Server) -> None:
    api = brisk.api
    job = api.submit("asking")
    last = api.reach(job, "waiting_for_input")["seq"]

    with closing(sse_frames(api, "/v1/events", job=job, types="metric")) as frames:
        assert next(frame for frame in frames if frame.id == f"{job}:{last}")
    api.cancel(job)


def test_an_ended_job_whose_last_event_alone_is_asked_for_is_204_behind_it(
    api: Api, ended: str
) -> None:
    asked = {"types": "metric", "after": api.snapshot(ended)["seq"]}

    assert api.get(f"/v1/jobs/{ended}/events", params=asked).status_code == 204


def test_each_job_on_a_shared_websocket_has_its_own_filter(api: Api, ended: str) -> None:
    other = api.run("plain", {"words": ["x"]})["id"]

    with Socket(api, "/v1/ws") as connection:
        connection.ask("subscribe", job=ended, types=["job.started"])
        connection.ask("subscribe", job=other, types=["text.delta"])
        seen = [connection.receive() for _ in range(4)]

    by_job = {job: types_of(e for e in seen if e["job"] == job) for job in (ended, other)}
    assert by_job == {
        ended: ["job.started", "job.completed"],
        other: ["text.delta", "job.completed"],
    }
