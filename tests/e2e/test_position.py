"""Where reading starts: one position, valid on every transport."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import websocket

from streaming.events.wire import MAX_POSITION
from tests.e2e.clients import (
    READERS,
    Api,
    Reader,
    Socket,
    read_feed,
    read_ndjson,
    read_poll,
    read_sse,
)
from tests.e2e.reading import assert_ended, assert_whole, stored, types_of, upto
from tests.e2e.waiting import eventually

BY_HTTP = pytest.mark.parametrize(
    "read",
    [read_sse, read_ndjson, read_poll, read_feed],
    ids=["sse", "ndjson", "poll", "feed"],
)

#: Ways that take `from`: a subscribe command has none.
WITH_FROM = [name for name in READERS if name != "shared-websocket"]


@pytest.fixture(scope="module")
def ended(server) -> str:
    return server.api.run("plain", {"words": ["a", "b", "c"]})["id"]


@pytest.fixture
def waiting(api: Api):
    """A job that stands still, with its last seq."""
    job = api.submit("asking")
    yield job, api.reach(job, "waiting_for_input")["seq"]
    api.cancel(job)


def test_after_is_exclusive(api: Api, ended: str, read: Reader) -> None:
    events = list(read(api, ended, after=2))

    assert events[0]["seq"] == 3
    assert_whole(events, after=2)
    assert_ended(events)


def test_a_reader_starts_at_the_beginning_unless_it_says_otherwise(
    api: Api, ended: str, read: Reader
) -> None:
    assert next(iter(read(api, ended)))["seq"] == 1


@BY_HTTP
def test_last_event_id_beats_after_and_after_beats_from(api: Api, ended: str, read: Reader) -> None:
    last = {"Last-Event-ID": f"{ended}:4" if read is read_feed else "4"}

    by_header = next(read(api, ended, headers=last, after=2, **{"from": "latest"}))
    by_after = next(read(api, ended, after=2, **{"from": "latest"}))

    assert (by_header["seq"], by_after["seq"]) == (5, 3)


def test_an_empty_last_event_id_is_as_good_as_none(api: Api, ended: str) -> None:
    assert next(read_sse(api, ended, headers={"Last-Event-ID": ""}))["seq"] == 1


@pytest.mark.parametrize("position", ["x", "-1", "1.5", "1e3", "٣", str(2**63), "9" * 30 + "x"])
def test_a_position_that_is_no_number_is_a_malformed_request(
    api: Api, ended: str, position: str
) -> None:
    asked = {"after": position}
    responses = [
        api.get(f"/v1/jobs/{ended}/events", params=asked),
        api.get(f"/v1/jobs/{ended}/poll", params=asked),
        api.get("/v1/events", params={"job": ended, "after": f"{ended}:{position}"}),
    ]
    if position.isascii():
        header = {"Last-Event-ID": position}
        responses.append(api.get(f"/v1/jobs/{ended}/events", headers=header))
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        Socket(api, f"/v1/jobs/{ended}/ws", after=position)

    assert {response.status_code for response in responses} == {400}
    assert refused.value.status_code == 400
    with Socket(api, "/v1/ws") as connection:
        error = connection.ask("subscribe", job=ended, after=position)["error"]
        assert error["status"] == 400


def test_an_unknown_from_is_a_malformed_request(api: Api, ended: str) -> None:
    for path in ("events", "poll"):
        response = api.get(f"/v1/jobs/{ended}/{path}", params={"from": "yesterday"})
        assert response.status_code == 400


def test_a_position_beyond_all_numbers_of_events_is_refused_by_subscribe(
    api: Api, ended: str
) -> None:
    with Socket(api, "/v1/ws") as connection:
        error = connection.ask("subscribe", job=ended, after=2**63)["error"]

    assert (error["status"], error["code"]) == (400, "bad_position")


def test_the_largest_position_is_ahead_of_every_log(api: Api, ended: str, read: Reader) -> None:
    gap, snapshot = read_ahead(api, ended, read, MAX_POSITION)

    assert gap["data"] == {"from": api.snapshot(ended)["seq"] + 1, "to": MAX_POSITION}
    assert snapshot["type"] == "stream.snapshot"


def test_ahead_of_the_log_of_an_ended_job_there_is_a_gap_and_a_snapshot(
    api: Api, ended: str, read: Reader
) -> None:
    last = api.snapshot(ended)["seq"]

    gap, snapshot, *rest = read_ahead(api, ended, read, last + 100)

    assert (gap["type"], snapshot["type"], rest) == ("stream.gap", "stream.snapshot", [])
    assert gap["data"] == {"from": last + 1, "to": last + 100}
    assert snapshot["data"]["seq"] == last
    shown = api.snapshot(ended)
    if "websocket" in read.__name__:
        del shown["text"]  # `texts` has it
    assert snapshot["data"]["job"] == shown
    assert "seq" not in gap
    assert "seq" not in snapshot


def read_ahead(api: Api, job: str, read: Reader, after: int) -> list:
    """The gap and the snapshot; then the reader must have been let go."""
    with closing(read(api, job, after=after)) as events:
        seen = upto(events, "stream.snapshot")
        return seen + ([] if "shared" in read.__name__ else list(events))


def test_ahead_of_the_log_of_a_running_job_it_goes_on_after_gap_and_snapshot(
    api: Api, waiting: tuple[str, int], read: Reader
) -> None:
    job, last = waiting

    with closing(read(api, job, after=last + 7)) as events:
        gap, snapshot = upto(events, "stream.snapshot")
        api.answer(job, {"ok": True})
        rest = list(events)

    assert gap["data"] == {"from": last + 1, "to": last + 7}
    assert snapshot["data"]["job"]["status"] == "waiting_for_input"
    assert_whole(rest, after=snapshot["data"]["seq"])
    assert_ended(rest)


@pytest.mark.parametrize("start", ["snapshot", "latest"])
@pytest.mark.parametrize("name", WITH_FROM)
def test_from_snapshot_and_latest_go_on_from_the_present_state(
    api: Api, waiting: tuple[str, int], name: str, start: str
) -> None:
    job, last = waiting
    read = READERS[name]

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(list, read(api, job, **{"from": start}))
        eventually(lambda: api.get(f"/v1/jobs/{job}/viewers").json()["count"], "it is watched")
        api.answer(job, {"ok": True})
        events = reading.result()

    if start == "snapshot":
        snapshot = events.pop(0)
        assert snapshot["type"] == "stream.snapshot"
        assert snapshot["data"]["seq"] == last
        assert snapshot["data"]["job"]["status"] == "waiting_for_input"
    assert types_of(events)[0] == "input.received"
    assert_whole(events, after=last)


def test_a_poll_from_the_snapshot_of_an_ended_job_is_the_last(api: Api, ended: str) -> None:
    page = api.get(f"/v1/jobs/{ended}/poll", params={"from": "snapshot"}).json()

    assert types_of(page["events"]) == ["stream.snapshot"]
    assert (page["next"], page["closed"]) == (api.snapshot(ended)["seq"], True)


def test_the_snapshot_carries_the_id_to_resume_from_and_no_other_control_event_does(
    api: Api, ended: str
) -> None:
    with api.get(f"/v1/jobs/{ended}/events", params={"after": 99}) as response:
        gap, snapshot = response.content.decode().split("\n\n")[1:3]
    last = api.snapshot(ended)["seq"]

    assert "stream.gap" in gap
    assert not any(line.startswith("id:") for line in gap.splitlines())
    assert "stream.snapshot" in snapshot
    assert f"id: {last}" in snapshot.splitlines()


def test_in_a_poll_page_control_events_do_not_count_and_next_follows_the_snapshot(
    api: Api, ended: str
) -> None:
    last = api.snapshot(ended)["seq"]

    asked = {"after": 99, "wait": 0, "limit": 1}
    page = api.get(f"/v1/jobs/{ended}/poll", params=asked).json()

    assert types_of(page["events"]) == ["stream.gap", "stream.snapshot"]
    assert (page["next"], page["closed"]) == (last, True)


def test_a_reader_that_is_cut_at_every_event_gets_each_event_once(
    api: Api, ended: str, read: Reader
) -> None:
    last, seen = api.snapshot(ended)["seq"], []

    while len(seen) < last:
        with closing(read(api, ended, after=len(seen))) as events:
            seen.append(next(events))

    assert_whole(stored(seen))
    assert_ended(seen)
