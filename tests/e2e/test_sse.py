"""Server-Sent Events: the frames of the stream, its headers, and how it begins and ends."""

from __future__ import annotations

from contextlib import ExitStack, closing

import requests

from tests.e2e.clients import TERMINAL, Api, lines_of, read_sse, sse_frames, sse_response
from tests.e2e.reading import types_of, upto
from tests.e2e.server import Server


def test_a_stream_opens_with_retry_and_the_starting_position(api: Api) -> None:
    job = api.run("plain", {"words": ["a"]})["id"]

    with sse_response(api, f"/v1/jobs/{job}/events", after=2) as response:
        lines = list(lines_of(response.iter_raw()))

    assert lines[0].startswith("retry: ")
    assert int(lines[0].removeprefix("retry: ")) > 0
    assert lines[1:4] == ["id: 2", "", "id: 3"]


def test_retry_is_jittered_per_connection(api: Api) -> None:
    job = api.run("plain", {"words": ["a"]})["id"]
    path = f"/v1/jobs/{job}/events"

    assert len({next(sse_frames(api, path)).retry for _ in range(8)}) > 1


def test_a_stream_is_neither_stored_nor_buffered_nor_transformed_on_its_way(api: Api) -> None:
    job = api.run("plain", {"words": ["a"]})["id"]

    with sse_response(api, f"/v1/jobs/{job}/events") as response:
        headers = response.headers

    assert headers["Content-Type"].split(";")[0] == "text/event-stream"
    assert headers["Cache-Control"] == "no-store, no-transform"
    assert headers["X-Accel-Buffering"] == "no"


def test_sse_is_the_default_of_the_route_and_wins_for_a_browser(api: Api) -> None:
    job = api.run("plain", {"words": ["a"]})["id"]
    path = f"/v1/jobs/{job}/events"

    for accept in ("*/*", "text/event-stream", "text/html,*/*;q=0.8"):
        response = api.get(path, headers={"Accept": accept})
        assert response.headers["Content-Type"].startswith("text/event-stream"), accept


def test_an_events_id_is_its_number(api: Api) -> None:
    job = api.run("plain", {"words": ["a", "b"]})["id"]

    frames = [frame for frame in sse_frames(api, f"/v1/jobs/{job}/events") if frame.data]

    assert [frame.id for frame in frames] == [str(frame.json()["seq"]) for frame in frames]
    assert {frame.event for frame in frames} == {"message"}


def test_named_1_names_each_frame_after_its_event(api: Api) -> None:
    job = api.run("plain", {"words": ["a"]})["id"]
    path = f"/v1/jobs/{job}/events"

    frames = [frame for frame in sse_frames(api, path, named=1) if frame.data]
    gap, *_ = (frame for frame in sse_frames(api, path, named=1, after=999) if frame.data)

    assert [frame.event for frame in frames] == [frame.json()["type"] for frame in frames]
    assert gap.event == "stream.gap"


def test_a_quiet_stream_beats_with_comments(brisk: Server) -> None:
    job = brisk.api.submit("asking")
    brisk.api.reach(job, "waiting_for_input")

    with sse_response(brisk.api, f"/v1/jobs/{job}/events") as response:
        comments = (line for line in lines_of(response.iter_raw()) if line.startswith(":"))
        beats = [next(comments) for _ in range(3)]

    assert len(beats) == 3


def test_a_heartbeat_reaches_a_reader_whose_filter_drops_everything(brisk: Server) -> None:
    job = brisk.api.submit("counting")

    with sse_response(brisk.api, f"/v1/jobs/{job}/events", types="metric") as response:
        lines = lines_of(response.iter_raw())
        next(line for line in lines if line.startswith(":"))
        position = next(line for line in lines if line.startswith("id: "))

    assert int(position.removeprefix("id: ")) > 2
    brisk.api.cancel(job)


def test_a_reader_that_comes_back_to_an_ended_job_is_told_to_stop(api: Api) -> None:
    shown = api.run("plain", {"words": ["a"]})
    path = f"/v1/jobs/{shown['id']}/events"

    caught_up = api.get(path, params={"after": shown["seq"]})
    by_header = api.get(path, headers={"Last-Event-ID": str(shown["seq"])})
    from_latest = api.get(path, params={"from": "latest"})

    assert [caught_up.status_code, by_header.status_code, from_latest.status_code] == [204] * 3
    assert caught_up.content == b""


def test_ndjson_that_is_caught_up_with_an_ended_job_is_204_too(api: Api) -> None:
    shown = api.run("plain", {"words": ["a"]})

    response = api.get(
        f"/v1/jobs/{shown['id']}/events",
        params={"after": shown["seq"]},
        headers={"Accept": "application/x-ndjson"},
    )

    assert response.status_code == 204


def test_the_stream_ends_after_the_terminal_event(api: Api) -> None:
    job = api.submit("asking")

    with closing(read_sse(api, job)) as events:
        seen = upto(events, "input.requested")
        api.answer(job, {"ok": True})
        seen += list(events)

    assert types_of(seen)[-1] == "job.completed"
    assert sum(type in TERMINAL for type in types_of(seen)) == 1


def test_the_first_bytes_come_at_once_also_when_nothing_happens(api: Api) -> None:
    job = api.submit("asking")
    shown = api.reach(job, "waiting_for_input")

    with sse_response(api, f"/v1/jobs/{job}/events", after=shown["seq"]) as response:
        assert next(lines_of(response.iter_raw())).startswith("retry: ")


def test_ndjson_is_a_line_per_event_with_its_own_media_type(api: Api) -> None:
    job = api.run("plain", {"words": ["a"]})["id"]

    response = api.get(f"/v1/jobs/{job}/events", headers={"Accept": "application/x-ndjson"})

    assert response.headers["Content-Type"].split(";")[0] == "application/x-ndjson"
    assert response.headers["Cache-Control"] == "no-store, no-transform"
    assert response.content.endswith(b"\n")


def test_a_heartbeat_of_ndjson_is_an_empty_line(brisk: Server) -> None:
    job = brisk.api.submit("asking")
    shown = brisk.api.reach(job, "waiting_for_input")
    url = f"{brisk.url}/v1/jobs/{job}/events?after={shown['seq']}"
    asked = {"Accept": "application/x-ndjson"}

    with requests.get(url, headers=asked, stream=True, timeout=5) as response:
        assert next(response.iter_content(chunk_size=None)) == b"\n"


def test_no_event_is_ever_named_error(api: Api) -> None:
    job = api.run("failing")["id"]

    frames = list(sse_frames(api, f"/v1/jobs/{job}/events", named=1))

    assert frames[-1].event == "job.failed"
    assert "error" not in {frame.event for frame in frames}


def test_readers_who_join_a_busy_job_keep_nobody_waiting(api: Api) -> None:
    job = api.submit("counting")
    with ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(sse_response(api, f"/v1/jobs/{job}/events"))
            assert api.get("/healthz", timeout=5).status_code == 200
        assert api.cancel(job, timeout=5).status_code in (200, 202)
