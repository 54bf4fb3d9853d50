"""What a real server sends is what its AsyncAPI document says."""

from __future__ import annotations

from typing import Any

import pytest

from streaming.web.asyncapi import COMMANDS, OF_ONE_JOB, key
from tests.e2e.clients import READERS, Api, Socket, read_sse
from tests.test_asyncapi import validator_of

Json = Any


@pytest.fixture
def document(api: Api) -> Json:
    return api.get("/asyncapi.json").json()


def logs_of_many_kinds(api: Api) -> list[Json]:
    """Of jobs that together say everything that a job can."""
    scripted = api.submit("scripted")
    api.reach(scripted, "waiting_for_input")
    api.answer(scripted, {"ok": True})
    cancelled = api.submit("sleeping")
    api.cancel(cancelled, json={"reason": "enough"})
    jobs = [scripted, cancelled, api.submit("failing")]
    for job in jobs:
        api.finish(job)
    return [event for job in jobs for event in api.log_of(job)]


def test_every_event_is_as_its_schema_says(api: Api, document: Json) -> None:
    events = logs_of_many_kinds(api)

    assert len({event["type"] for event in events}) > 15
    for event in events:
        errors = validator_of(document, key(event["type"])).iter_errors(event)
        assert [error.message for error in errors] == [], event


# The socket of many jobs stays open behind the end of one.
@pytest.mark.parametrize("way", [way for way in READERS if way != "shared-websocket"])
def test_what_is_said_of_the_stream_itself_is_described(api: Api, document: Json, way: str) -> None:
    job = api.run("plain", {"words": ["a"]})["id"]

    events = list(READERS[way](api, job, after=10_000))

    assert [event["type"] for event in events] == ["stream.gap", "stream.snapshot"]
    for event in events:
        validator_of(document, key(event["type"])).validate(event)


def test_pages_are_as_described(api: Api, document: Json) -> None:
    job = api.run("plain", {"words": ["a"]})["id"]

    validator_of(document, "page").validate(api.get(f"/v1/jobs/{job}/poll").json())


def test_every_command_of_a_socket_is_taken_and_answered_as_described(
    api: Api, document: Json
) -> None:
    asking = api.submit("asking")
    api.reach(asking, "waiting_for_input")
    members: dict[str, Json] = {
        "subscribe": {"job": asking, "after": 0, "types": ["job.started"]},
        "unsubscribe": {"job": asking},
        "submit": {"task": "plain", "input": {"words": []}, "idempotency_key": "a"},
        "input": {"job": asking, "data": {"ok": True}},
        "cancel": {"job": asking, "reason": None},
        "ping": {},
    }
    assert set(members) == set(COMMANDS)

    with Socket(api, "/v1/ws") as socket:
        for name, given in members.items():
            validator_of(document, key(f"command.{name}")).validate({"type": name, **given})
            answer = socket.ask(name, **given)
            assert answer["type"] == "ack", answer
            validator_of(document, "ack").validate(answer)
        refused = socket.ask("subscribe", job="job_1")
        validator_of(document, "error").validate(refused)


def test_the_socket_of_one_job_takes_the_commands_that_it_says(api: Api) -> None:
    job = api.submit("sleeping")
    with Socket(api, f"/v1/jobs/{job}/ws") as socket:
        said = socket.ask("nonsense")["error"]["detail"]
    api.cancel(job)

    assert all(name in said for name in OF_ONE_JOB)
    assert not any(name in said for name in set(COMMANDS) - set(OF_ONE_JOB))


def test_a_filtered_stream_is_described_too(api: Api, document: Json) -> None:
    job = api.run("plain", {"words": ["a"]})["id"]

    for event in read_sse(api, job, types="job.started"):
        validator_of(document, key(event["type"])).validate(event)
