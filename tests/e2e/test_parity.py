"""One job, read over every transport: the same events, the same text."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.clients import READERS, Api, Envelope, Json, Reader
from tests.e2e.reading import (
    assert_ended,
    assert_whole,
    of_type,
    texts,
    types_of,
    upto,
)

TEXT = "Grüße, 世界 🚀\nok: True\nDone.\n"


@pytest.fixture(scope="module")
def job(server) -> str:
    """The scripted job, ended."""
    api = server.api
    job = api.submit("scripted", {"n": 1}, metadata={"tag": "é"})
    api.reach(job, "waiting_for_input")
    assert api.answer(job, {"ok": True}).status_code == 200
    api.reach(job, "completed")
    return job


@pytest.fixture(scope="module")
def log(server, job) -> list[Envelope]:
    return server.api.log_of(job)


def test_a_replay_is_the_whole_log_event_by_event(
    api: Api, job: str, log: list[Envelope], read: Reader
) -> None:
    events = list(read(api, job))

    assert events == log
    assert [event["seq"] for event in events] == list(range(1, len(log) + 1))
    assert_ended(events)


def test_the_log_of_the_scripted_job_has_every_type_of_event(log: list[Envelope]) -> None:
    assert set(types_of(log)) == {
        "job.queued",
        "job.started",
        "job.progress",
        "step.updated",
        "text.delta",
        "reasoning.delta",
        "tool.call",
        "tool.result",
        "metric",
        "alert",
        "artifact",
        "log",
        "input.requested",
        "input.received",
        "job.completed",
    }


@pytest.mark.parametrize(
    ("type", "members"),
    [
        (
            "job.queued",
            "position task title input metadata webhook on_disconnect on_break "
            "disconnect_grace_s timeout_s ttl_s",
        ),
        ("job.started", "attempt worker"),
        ("job.progress", "percent eta_s basis message"),
        ("step.updated", "id index total title status duration_s detail"),
        ("text.delta", "item text"),
        ("reasoning.delta", "item text"),
        ("tool.call", "id name arguments"),
        ("tool.result", "id output duration_s"),
        ("metric", "name value unit labels"),
        ("alert", "severity rule message value state"),
        ("artifact", "name media_type size href"),
        ("log", "level message"),
        ("input.requested", "request prompt schema"),
        ("input.received", "request data"),
        ("job.completed", "output usage"),
    ],
)
def test_events_have_the_members_of_the_contract(
    log: list[Envelope], type: str, members: str
) -> None:
    for event in of_type(log, type):
        assert set(event) == {"seq", "type", "job", "at", "data"}
        assert set(event["data"]) == set(members.split())


def test_the_values_of_events_are_what_the_task_said(job: str, log: list[Envelope]) -> None:
    queued, started = log[0]["data"], log[1]["data"]
    progress = [event["data"] for event in of_type(log, "job.progress")]
    steps = [(e["data"]["id"], e["data"]["status"]) for e in of_type(log, "step.updated")]
    called, returned = of_type(log, "tool.call", "tool.result")

    assert {event["job"] for event in log} == {job}
    assert (queued["task"], queued["input"]) == ("scripted", {"n": 1})
    assert queued["metadata"] == {"tag": "é"}
    assert (queued["timeout_s"], queued["disconnect_grace_s"]) == (3600, 30)
    assert started["attempt"] == 1
    assert [each["percent"] for each in progress] == sorted(each["percent"] for each in progress)
    assert {each["basis"] for each in progress} <= {"measured", "estimated"}
    assert progress[-1]["percent"] == 100
    for step in ("draft", "check"):
        assert [status for id, status in steps if id == step] == ["pending", "running", "completed"]
    assert called["data"]["arguments"] == {"word": "Grüße"}
    assert (returned["data"]["id"], returned["data"]["output"]) == (called["data"]["id"], 5)
    assert log[-1]["data"]["output"]["verdict"] == {"ok": True}


def test_the_text_of_the_deltas_is_the_snapshots_and_the_outputs(
    api: Api, job: str, read: Reader
) -> None:
    events, shown = list(read(api, job)), api.snapshot(job)

    assert "".join(texts(events).values()) == TEXT
    assert shown["text"] == TEXT
    assert shown["output"]["text"] == TEXT
    assert shown["texts"] == [{"item": item, "text": text} for item, text in texts(events).items()]


def test_readers_of_all_kinds_that_watch_it_live_are_given_the_whole_log(api: Api) -> None:
    job = api.submit("scripted")
    api.reach(job, "waiting_for_input")

    with ThreadPoolExecutor(len(READERS)) as pool:
        streams = {name: read(api, job) for name, read in READERS.items()}
        waiting = {name: pool.submit(upto, s, "input.requested") for name, s in streams.items()}
        first = {name: future.result() for name, future in waiting.items()}
        rest = {name: pool.submit(list, stream) for name, stream in streams.items()}
        api.answer(job, {"ok": True})
        seen = {name: first[name] + future.result() for name, future in rest.items()}

    log = api.log_of(job)
    for name, events in seen.items():
        assert_ended(events)
        assert assert_whole(events) == len(log), name
        assert "".join(texts(events).values()) == TEXT, name
        assert [e for e in events if "from" not in e] == [
            log[e["seq"] - 1] for e in events if "from" not in e
        ]


def test_a_reader_that_changes_transport_at_every_event_gets_each_event_once(api: Api) -> None:
    job = api.submit("generate", {"prompt": "x", "max_tokens": 60, "tokens_per_s": 200})
    events: list[Envelope] = []
    readers = list(READERS.values()) * 20

    while not events or not events[-1]["type"].startswith("job.com"):
        after = events[-1]["seq"] if events else 0
        stream = readers.pop()(api, job, after=after)
        events += take(stream, 3)

    assert assert_whole(events) == api.snapshot(job)["seq"]
    assert "".join(texts(events).values()) == api.snapshot(job)["output"]["text"]


def take(stream, count: int) -> list[Json]:
    """At most so many events; then the reader leaves."""
    try:
        return [event for event, _ in zip(stream, range(count), strict=False)]
    finally:
        stream.close()
