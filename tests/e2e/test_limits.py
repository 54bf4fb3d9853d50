"""Limits: what is refused, how, and that it goes on as soon as there is room."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from tests.e2e.clients import Api, Socket, read_sse, sse_frames
from tests.e2e.reading import types_of
from tests.e2e.server import Server
from tests.e2e.waiting import eventually


@pytest.fixture
def api(narrow: Server) -> Iterator[Api]:
    """A server with room for two streams, one job and one in the queue; nothing runs on it."""
    yield narrow.api
    for status in ("queued", "waiting_for_input", "running"):
        for each in narrow.api.get("/v1/jobs", params={"status": status}).json()["jobs"]:
            narrow.api.cancel(each["id"])
            narrow.api.finish(each["id"])


@pytest.fixture
def ended(api: Api) -> str:
    return api.run("plain", {"words": ["a"]})["id"]


@pytest.fixture
def full_of_streams(api: Api) -> Iterator[str]:
    """A job with as many streams as there may be."""
    job = api.submit("asking")
    api.reach(job, "waiting_for_input")
    with ExitStack() as stack:
        for _ in range(2):
            next(stack.enter_context(closing(read_sse(api, job))))
        yield job
    eventually(lambda: api.get(f"/v1/jobs/{job}/viewers").json()["count"] == 0, "all have left")


def test_sse_beyond_the_limit_is_200_with_retry_and_a_closing(
    api: Api, full_of_streams: str
) -> None:
    job = full_of_streams

    for path, query in ((f"/v1/jobs/{job}/events", {}), ("/v1/events", {"job": job})):
        frames = list(sse_frames(api, path, **query))
        (closing_frame,) = (frame for frame in frames if frame.data)
        event = closing_frame.json()
        assert any(frame.retry for frame in frames)
        assert event["type"] == "stream.closing"
        assert set(event["data"]) == {"reason", "retry_s"}
        assert event["data"]["retry_s"] > 0


def test_a_refused_stream_does_not_move_the_position(api: Api, full_of_streams: str) -> None:
    path = f"/v1/jobs/{full_of_streams}/events"

    frames = list(sse_frames(api, path, headers={"Last-Event-ID": "2"}))

    assert {frame.id for frame in frames} <= {"", "2"}


def test_ndjson_beyond_the_limit_is_503_with_retry_after(api: Api, full_of_streams: str) -> None:
    response = api.get(
        f"/v1/jobs/{full_of_streams}/events", headers={"Accept": "application/x-ndjson"}
    )

    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert response.json()["retryable"] is True


def test_a_websocket_beyond_the_limit_is_closed_with_1013(api: Api, full_of_streams: str) -> None:
    for path in (f"/v1/jobs/{full_of_streams}/ws", "/v1/ws"):
        with Socket(api, path) as connection:
            messages = list(iter(connection.receive, None))
        assert connection.code == 1013
        assert set(types_of(messages)) <= {"stream.closing"}


def test_a_poll_beyond_the_limit_answers_at_once(api: Api, full_of_streams: str) -> None:
    last = api.snapshot(full_of_streams)["seq"]

    began = time.monotonic()
    page = api.get(f"/v1/jobs/{full_of_streams}/poll", params={"after": last, "wait": 9})

    assert time.monotonic() - began < 3
    assert (page.status_code, page.json()["events"]) == (200, [])


def test_a_post_with_a_stream_beyond_the_limit_stores_the_job_first(
    api: Api, full_of_streams: str
) -> None:
    body = {"task": "plain", "input": {"words": ["a"]}}

    response = api.post("/v1/jobs", json=body, headers={"Accept": "text/event-stream"})

    assert response.status_code == 200
    assert "retry: " in response.text
    assert "stream.closing" in response.text
    stored = api.get(response.headers["Content-Location"])
    assert stored.json()["status"] == "queued"


def test_everything_else_is_answered_beyond_the_limit(api: Api, full_of_streams: str) -> None:
    for path in (f"/v1/jobs/{full_of_streams}", "/v1/jobs", "/healthz", "/metrics"):
        assert api.get(path).status_code == 200


def test_there_is_room_again_when_a_stream_has_left(api: Api) -> None:
    job = api.submit("asking")
    api.reach(job, "waiting_for_input")

    with closing(read_sse(api, job)) as staying, closing(read_sse(api, job)) as leaving:
        next(staying)
        next(leaving)
        leaving.close()

        def first_type() -> str:
            with closing(read_sse(api, job)) as events:
                return next(events)["type"]

        eventually(lambda: first_type() == "job.queued", "there is room")


def test_slots_of_every_transport_come_back(api: Api, ended: str) -> None:
    for _ in range(4):
        assert types_of(read_sse(api, ended))[-1] == "job.completed"
        with Socket(api, f"/v1/jobs/{ended}/ws") as connection:
            assert connection.receive()["type"] == "job.queued"
        with Socket(api, "/v1/ws") as connection:
            assert connection.ask("ping")["type"] == "ack"
        with closing(read_sse(api, ended)) as cut:
            next(cut)
        eventually(lambda: 'streams":{}' in api.get("/readyz").text, "all slots are free")


def test_a_full_queue_is_429_with_retry_after_and_nothing_is_stored(api: Api) -> None:
    running = api.submit("sleeping")
    api.reach(running, "running")
    queued = api.submit("sleeping")
    before = api.get("/v1/jobs").json()["jobs"][0]["id"]

    refused = [api.post("/v1/jobs", json={"task": "sleeping", "input": {}}) for _ in range(4)]

    for response in refused:
        assert response.status_code == 429
        assert int(response.headers["Retry-After"]) > 0
        assert response.json()["retryable"] is True
    assert api.snapshot(queued)["queue_position"] is not None
    assert before == queued == api.get("/v1/jobs").json()["jobs"][0]["id"]


def test_the_full_queue_refuses_streams_and_websockets_too(api: Api) -> None:
    for status in ("running", "queued"):
        api.reach(api.submit("sleeping"), status)

    asked = {"Accept": "text/event-stream"}
    streamed = api.post("/v1/jobs", json={"task": "sleeping", "input": {}}, headers=asked)
    with Socket(api, "/v1/ws") as connection:
        answer = connection.ask("submit", task="sleeping", input={})

    assert streamed.status_code == 429
    assert (answer["type"], answer["error"]["status"]) == ("error", 429)


def test_a_queued_job_runs_when_it_is_its_turn(api: Api) -> None:
    running = api.submit("sleeping")
    api.reach(running, "running")
    queued = api.submit("plain", {"words": ["a"]})
    shown = api.snapshot(queued)

    api.cancel(running)

    assert (shown["status"], shown["queue_position"]) == ("queued", 1)
    assert api.finish(queued)["status"] == "completed"


def test_too_large_a_body_is_413(api: Api) -> None:
    body = {"task": "plain", "input": {"words": ["x" * 5000]}}
    big = {"file": ("big.csv", b"x" * 10_000)}

    responses = [
        api.post("/v1/jobs", json=body),
        api.post(
            "/v1/jobs", data=iter([b"x" * 5000]), headers={"Content-Type": "application/json"}
        ),
        api.post("/v1/files", files=big),
    ]

    for response in responses:
        assert response.status_code == 413
        assert response.json()["status"] == 413


def test_streams_never_take_the_last_thread(server: Server) -> None:
    job = server.api.submit("asking")
    server.api.reach(job, "waiting_for_input")
    asked = f"GET /v1/jobs/{job}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()

    with ExitStack() as stack:
        for _ in range(150):
            raw = socket.create_connection(("127.0.0.1", server.port), timeout=5)
            stack.enter_context(raw).sendall(asked)
            assert raw.recv(12) == b"HTTP/1.1 200"
        assert server.api.get("/healthz").status_code == 200
        assert server.api.run("plain", {"words": ["a"]})["status"] == "completed"
    server.api.cancel(job)
