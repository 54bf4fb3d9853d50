"""Webhooks of a whole server: told at the end and when it asks, refused, retried over a kill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
import websocket

from tests.e2e.conftest import NewServer
from tests.e2e.server import Server
from tests.e2e.waiting import eventually
from tests.webhooks.receiver import SECRET, Receiver


@pytest.fixture(scope="module")
def hooked(lasting_server: NewServer) -> Server:
    """Webhooks may go to this machine, by its address."""
    return lasting_server(STREAMING_WEBHOOK_HOSTS="127.0.0.1", STREAMING_WEBHOOK_SECRET=SECRET)


@pytest.fixture(scope="module")
def outgoing(lasting_server: NewServer) -> Server:
    """Webhooks may go to all public hosts."""
    return lasting_server(STREAMING_WEBHOOK_HOSTS="*")


def told(receiver: Receiver) -> list[str]:
    assert receiver.refused == []
    return [call.body["type"] for call in receiver.taken]


def test_the_end_of_a_job_is_told(hooked: Server) -> None:
    with Receiver() as receiver:
        webhook = {"url": receiver.url}
        job = hooked.api.submit("generate", {"prompt": "x", "max_tokens": 3}, webhook=webhook)

        eventually(lambda: receiver.taken, "the end is told")

    (call,) = receiver.taken
    assert call.body["type"] == "job.completed"
    assert call.body["data"]["id"] == job
    assert call.body["data"]["output"]["text"]


def test_the_end_of_a_background_response_is_told_as_openai_does(hooked: Server) -> None:
    with Receiver() as receiver:
        asked = {"input": "x", "background": True, "webhook": {"url": receiver.url}}
        response = hooked.api.post("/v1/responses", json=asked).json()
        eventually(lambda: receiver.taken, "the end is told")

    (call,) = receiver.taken
    assert call.body["object"] == "event"
    assert call.body["type"] == "response.completed"
    assert call.body["data"] == {"id": response["id"]}


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"webhook": {"url": "http://127.0.0.1/"}}, "webhook"),
        ({"background": True, "webhook": {}}, "webhook.url"),
        ({"background": True, "webhook": {"url": 7}}, "webhook.url"),
        (
            {"background": True, "webhook": {"url": "http://127.0.0.1/", "form": "job"}},
            "webhook.form",
        ),
    ],
)
def test_a_webhook_of_a_response_that_is_none_is_400(
    hooked: Server, asked: dict[str, Any], param: str
) -> None:
    refused = hooked.api.post("/v1/responses", json={"input": "x", **asked})

    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == param


def test_a_question_and_a_cancel_are_told_and_events_pick(hooked: Server) -> None:
    with Receiver() as receiver:
        webhook = {"url": receiver.url}
        job = hooked.api.submit("asking", webhook=webhook)
        picky = {"url": receiver.url, "events": ["job.failed"]}
        other = hooked.api.submit("asking", webhook=picky)
        eventually(lambda: told(receiver) == ["input.requested"], "the question is told")

        for each in (other, job):
            hooked.api.post(f"/v1/jobs/{each}/cancel")
        eventually(lambda: len(receiver.taken) == 2, "the cancel is told")

    assert told(receiver) == ["input.requested", "job.cancelled"]
    assert {call.body["data"]["id"] for call in receiver.taken} == {job}


def test_the_log_says_who_is_told(hooked: Server) -> None:
    webhook = {"url": "http://127.0.0.1:9/none", "events": ["job.failed"]}

    job = hooked.api.submit("generate", {"prompt": "x", "max_tokens": 1}, webhook=webhook)

    page = hooked.api.get(f"/v1/jobs/{job}/poll?limit=1").json()
    assert page["events"][0]["data"]["webhook"] == webhook


def test_a_job_submitted_over_websocket_is_told_of(hooked: Server) -> None:
    socket = websocket.create_connection(hooked.url.replace("http", "ws") + "/v1/ws", timeout=10)
    with Receiver() as receiver:
        body = {"task": "generate", "input": {"prompt": "x", "max_tokens": 1}}
        body["webhook"] = {"url": receiver.url}
        socket.send(json.dumps({"type": "submit", **body}))
        eventually(lambda: receiver.taken, "the end is told")
    socket.close()

    assert told(receiver) == ["job.completed"]


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "[::1]", "localhost", "169.254.169.254",
     "10.0.0.1", "[::ffff:10.0.0.1]", "0.0.0.0"],
)  # fmt: skip
def test_a_private_address_that_is_not_named_is_422_in_any_notation(
    outgoing: Server, host: str
) -> None:
    body = {"task": "generate", "input": {"prompt": "x"}, "webhook": {"url": f"https://{host}/"}}

    answer = outgoing.api.post("/v1/jobs", json=body)

    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == "webhook.url"
    assert "STREAMING_WEBHOOK_HOSTS" in error["message"]


@pytest.mark.parametrize(
    ("webhook", "field"),
    [
        ({}, "webhook.url"),
        ({"url": 7}, "webhook.url"),
        ({"url": "ftp://127.0.0.1/"}, "webhook.url"),
        ({"url": "http://127.0.0.1/", "events": []}, "webhook.events"),
        ({"url": "http://127.0.0.1/", "events": ["text.delta"]}, "webhook.events.0"),
        ({"url": "http://127.0.0.1/", "form": "response"}, "webhook.form"),
        ("http://127.0.0.1/", "webhook"),
    ],
)
def test_a_webhook_that_is_none_is_422_with_its_field(
    hooked: Server, webhook: Any, field: str
) -> None:
    body = {"task": "generate", "input": {"prompt": "x"}, "webhook": webhook}

    answer = hooked.api.post("/v1/jobs", json=body)

    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_without_the_setting_every_webhook_is_422(server: Server) -> None:
    webhook = {"url": "https://example.com/"}
    body = {"task": "generate", "input": {"prompt": "x"}, "webhook": webhook}

    answer = server.api.post("/v1/jobs", json=body)

    assert answer.status_code == 422
    assert "STREAMING_WEBHOOK_HOSTS" in answer.json()["errors"][0]["message"]


def test_what_was_not_taken_is_told_after_a_kill_and_past_the_jobs_retention(
    new_server: NewServer,
) -> None:
    receiver = Receiver()
    server = new_server(STREAMING_WEBHOOK_HOSTS="127.0.0.1", STREAMING_WEBHOOK_SECRET=SECRET)
    server.start()
    webhook = {"url": receiver.url}
    input = {"prompt": "x", "max_tokens": 1}
    job = server.api.submit("generate", input, webhook=webhook, ttl_s=0)
    eventually(lambda: server.api.get(f"/v1/jobs/{job}").status_code == 410, "it has expired")
    server.kill()

    server.start()
    with receiver:
        eventually(lambda: receiver.taken, "the end is told", timeout_s=30)

    assert receiver.taken[0].body["data"]["id"] == job


def test_a_server_leaves_in_time_while_a_receiver_is_slow(new_server: NewServer) -> None:
    with Receiver() as slow:
        slow.open.clear()
        server = new_server(STREAMING_WEBHOOK_HOSTS="127.0.0.1", STREAMING_WEBHOOK_SECRET=SECRET)
        server.start()
        webhook = {"url": slow.url}
        server.api.submit("generate", {"prompt": "x", "max_tokens": 1}, webhook=webhook)
        eventually(lambda: slow.taken, "it is called")

        took_s = server.stop()

        assert took_s < 10  # of a machine under load; 3 s of one that is not


def test_the_secret_that_is_made_can_be_shown_and_signs(new_server: NewServer) -> None:
    server = new_server(STREAMING_WEBHOOK_HOSTS="127.0.0.1").start()
    environment = os.environ | {name: str(value) for name, value in server.settings.items()}
    command = [sys.executable, "-m", "streaming.server.webhook_secret"]
    shown = subprocess.run(
        command, env=environment, cwd=server.root, capture_output=True, text=True, check=True
    )

    with Receiver(secret=shown.stdout.strip()) as receiver:
        webhook = {"url": receiver.url}
        server.api.submit("generate", {"prompt": "x", "max_tokens": 1}, webhook=webhook)
        eventually(lambda: receiver.taken, "the end is told")
