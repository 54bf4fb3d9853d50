"""Rotation: a stream lives only so long, and its reader goes on with another."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from tests.e2e.clients import READERS, TERMINAL, Api, Envelope, Json, Reader, Socket
from tests.e2e.reading import assert_ended, assert_whole, stored, texts, types_of
from tests.e2e.server import Server


def read_in_turns(api: Api, job: str, read: Reader) -> tuple[list[Envelope], list[Json]]:
    """All events over as many streams as it takes, and what each said when it closed."""
    events: list[Envelope] = []
    closings = []
    while not events or events[-1]["type"] not in TERMINAL:
        after = events[-1]["seq"] if events else 0
        with closing(read(api, job, after=after)) as stream:
            for event in stream:
                if event["type"] == "stream.closing":
                    closings.append(event["data"])
                else:
                    events.append(event)
    return events, closings


def test_a_reader_whose_streams_are_rotated_gets_each_event_once(rotating: Server) -> None:
    api = rotating.api
    job = api.submit("generate", {"prompt": "x", "max_tokens": 60, "tokens_per_s": 40})

    with ThreadPoolExecutor(len(READERS)) as pool:
        reading = {n: pool.submit(read_in_turns, api, job, r) for n, r in READERS.items()}

    shown = api.snapshot(job)
    for name, future in reading.items():
        events, closings = future.result()
        assert_ended(events)
        assert assert_whole(events) == shown["seq"], name
        assert "".join(texts(events).values()) == shown["output"]["text"], name
        assert len(closings) >= 2 or name == "poll"
        for each in closings:
            assert set(each) == {"reason", "retry_s"}
            assert each["retry_s"] > 0


def test_a_rotated_websocket_is_closed_with_1012(rotating: Server) -> None:
    api = rotating.api
    job = api.submit("sleeping")

    for path in (f"/v1/jobs/{job}/ws", "/v1/ws"):
        with Socket(api, path) as connection:
            messages = list(iter(connection.receive, None))
        assert types_of(messages)[-1] == "stream.closing"
        assert connection.code == 1012
    api.cancel(job)


def test_a_closing_has_no_number_and_is_not_stored(rotating: Server) -> None:
    api = rotating.api
    job = api.submit("sleeping")

    response = api.get(f"/v1/jobs/{job}/events")

    last = response.text.strip().split("\n\n")[-1]
    assert "stream.closing" in last
    assert not any(line.startswith("id:") for line in last.splitlines())
    assert stored(api.log_of(job)) == api.log_of(job)
    api.cancel(job)
