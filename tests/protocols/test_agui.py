"""AG-UI with its own client, and as raw events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.e2e.server import Server
from tests.protocols.conftest import NewServer, RunNode, ends_as, unique

NUMBERS = "".join(f"{number} " for number in range(100))


def run(
    server: Server, text: str, model: str, id: str = "", headers: Any = None, **more: Any
) -> requests.Response:
    body = {
        "threadId": "t",
        "runId": id or unique("run"),
        "messages": [{"id": "u", "role": "user", "content": text}],
        "tools": [],
        "context": [],
        "state": {},
        **more,
    }
    url = f"{server.url}/v1/agui/{model}"
    return requests.post(url, json=body, headers=headers, stream=True, timeout=20)


def events_of(response: requests.Response) -> Iterator[tuple[str, Any]]:
    id = ""
    for line in response.iter_lines():
        if line.startswith(b"id: "):
            id = line[4:].decode()
        if line.startswith(b"data: "):
            yield id, json.loads(line[6:])


def read_some(response: requests.Response, seen: list[Any]) -> str:
    """Twelve events, and the id of the last of them."""
    for last, event in events_of(response):
        seen.append(event)
        if len(seen) == 12:
            return last
    raise AssertionError("it ended too soon")


def text_of(events: list[Any]) -> str:
    return "".join(e["delta"] for e in events if e["type"] == "TEXT_MESSAGE_CONTENT")


def test_the_client_of_ag_ui(server: Server, node: RunNode) -> None:
    found = {each.pop("what"): each for each in node("agui_client.mjs", server.url, timeout_s=90)}

    whole = found["whole"]
    assert whole["text"] == "".join(f"{number} " for number in range(30))
    assert whole["end"] == "success"
    assert whole["state"]["page"] == "shop"
    assert found["steps"]["text"] == "what it found"
    assert found["steps"]["call"] == ["search"]
    assert json.loads(found["steps"]["tool"]) == ["found"]
    assert found["steps"]["kinds"].count("STEP_FINISHED") == 2
    assert found["broken"]["code"] == "broken"
    assert found["broken"]["state"]["percent"] == 50
    asked = found["asked"]
    assert (asked["message"], asked["end"]) == ("Which colour?", "success")
    assert asked["text"] == "the colour is red"


def test_a_cut_run_is_joined_behind_its_last_event(server: Server) -> None:
    id = unique("run")
    seen: list[Any] = []
    with run(server, "100 numbers", "counting", id) as response:
        job = response.headers["X-Job-Id"]
        last = read_some(response, seen)

    again = run(server, "100 numbers", "counting", id, {"Last-Event-ID": last})

    assert again.headers["X-Job-Id"] == job
    seen += [event for _, event in events_of(again)]
    assert text_of(seen) == NUMBERS
    assert [event["type"] for event in seen].count("RUN_STARTED") == 1
    assert seen[-1]["type"] == "RUN_FINISHED"
    native = [event for _, event in events_of(run(server, "x", "counting", job))]
    assert text_of(native) == NUMBERS
    assert native[0]["runId"] == job


def test_who_hangs_up_stops_it_and_a_cancel_is_an_error(server: Server) -> None:
    with run(server, "2000 numbers", "counting") as response:
        job = response.headers["X-Job-Id"]
    ends_as(server, job, "cancelled", timeout_s=6)

    with run(server, "2000 numbers", "counting") as response:
        job = response.headers["X-Job-Id"]
        events = events_of(response)
        next(events)
        requests.post(f"{server.url}/v1/jobs/{job}/cancel", timeout=5)
        *_, (_, end) = events
    assert (end["type"], end["code"]) == ("RUN_ERROR", "cancelled")


def test_a_run_after_a_crash_begins_a_new_message(new_server: NewServer) -> None:
    server = new_server().start()
    id = unique("run")
    seen: list[Any] = []
    with run(server, "100 numbers", "counting", id) as response:
        last = read_some(response, seen)
        server.kill()
    server.start()

    seen += [e for _, e in events_of(run(server, "x", "counting", id, {"Last-Event-ID": last}))]

    messages: dict[str, str] = {}
    for event in seen:
        if event["type"] == "TEXT_MESSAGE_CONTENT":
            messages[event["messageId"]] = messages.get(event["messageId"], "") + event["delta"]
    *abandoned, whole = messages.values()
    assert whole == NUMBERS
    assert all(NUMBERS.startswith(text) for text in abandoned)
    begun = [event["messageId"] for event in seen if event["type"] == "TEXT_MESSAGE_START"]
    ended = [event["messageId"] for event in seen if event["type"] == "TEXT_MESSAGE_END"]
    assert begun == ended


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"runId": ""}, "runId"),
        ({"threadId": None}, "threadId"),
        ({"messages": []}, "messages"),
        ({"resume": [{"interruptId": "x", "status": "resolved"}]}, "resume.0.interruptId"),
        ({"resume": [{"interruptId": "job_x:1", "status": "resolved"}]}, "resume.0.interruptId"),
    ],
)
def test_what_is_wrong_is_named(server: Server, body: Any, field: str) -> None:
    answer = run(server, "x", "echo", **{"id": unique("run"), **body})

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == field


def test_an_answer_that_is_repeated_shows_its_run_again(server: Server) -> None:
    *_, (_, asked) = events_of(run(server, "x", "asking"))
    interrupt = asked["outcome"]["interrupts"][0]["id"]
    answer = {"interruptId": interrupt, "status": "resolved", "payload": {"colour": "red"}}
    id = unique("run")

    first = list(events_of(run(server, "x", "asking", id=id, resume=[answer])))
    again = list(events_of(run(server, "x", "asking", id=id, resume=[answer])))

    assert again == first
    assert text_of([event for _, event in first]) == "red"
    assert [first[0][1]["type"], first[-1][1]["type"]] == ["RUN_STARTED", "RUN_FINISHED"]


def test_an_early_failure_of_the_model_has_its_own_status(server: Server) -> None:
    refused = run(server, unique("x"), "overrun")

    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "rate_limited"
    assert refused.headers["X-Job-Id"]
