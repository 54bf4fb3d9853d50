"""Tickets: what they let in, for how long, and what they never do."""

from __future__ import annotations

import time
from datetime import datetime

import pytest
import requests
import websocket

from streaming.errors import Unauthorized
from streaming.web.principal import OWN, Principal
from streaming.web.tickets import MAX_LENGTH, Tickets
from tests.clocks import Clock
from tests.e2e.clients import READERS, Api, Socket, read_sse
from tests.e2e.server import Server

SECRET = "0123456789abcdef0123456789abcdef"
JOBS = [f"job_{number:026d}" for number in range(100)]


def ticket_of(api: Api, *jobs: str, **fields: float) -> str:
    response = api.post("/v1/tickets", json={"jobs": list(jobs), **fields})
    assert response.status_code == 201, response.text
    return response.json()["ticket"]


def test_a_ticket_has_the_rights_to_read_its_jobs_and_no_others() -> None:
    tickets = Tickets(lambda: SECRET)

    text, expires_at = tickets.issue(Principal("ada", OWN, key="k"), JOBS[:2], 60)

    assert tickets.read(text) == Principal(
        "ada", frozenset({"read"}), jobs=frozenset(JOBS[:2]), expires_at=expires_at, key="k"
    )


def test_a_ticket_ends_with_its_time() -> None:
    clock = Clock()
    tickets = Tickets(lambda: SECRET, clock=clock)
    text, expires_at = tickets.issue(Principal("ada"), JOBS[:1], 60)

    clock.advance(59.9)
    assert tickets.read(text).expires_at == expires_at
    clock.advance(0.1)
    with pytest.raises(Unauthorized) as refused:
        tickets.read(text)
    assert refused.value.code == "ticket_expired"


def test_a_ticket_of_another_secret_or_a_changed_one_is_none() -> None:
    tickets = Tickets(lambda: SECRET)
    text, _ = tickets.issue(Principal("ada"), JOBS[:1], 60)
    changed = [text[:place] + "x" + text[place + 1 :] for place in range(0, len(text), 7)]
    foreign, _ = Tickets(lambda: SECRET[::-1]).issue(Principal("ada"), JOBS[:1], 60)

    for bad in [foreign, "", ".", "x" * (MAX_LENGTH + 1), *(c for c in changed if c != text)]:
        with pytest.raises(Unauthorized) as refused:
            tickets.read(bad)
        assert refused.value.code == "invalid_ticket"


def test_a_ticket_for_as_many_jobs_as_a_feed_has_fits() -> None:
    text, _ = Tickets(lambda: SECRET).issue(Principal("owner:" + "a" * 64), JOBS, 3600)

    assert len(text) <= MAX_LENGTH


def test_the_answer_says_until_when_and_for_what(alice: Api, running: str) -> None:
    response = alice.post("/v1/tickets", json={"jobs": [running, running], "ttl_s": 90})

    shown = response.json()
    assert response.status_code == 201
    assert set(shown) == {"ticket", "expires_at", "jobs"}
    assert shown["jobs"] == [running]
    left_s = datetime.fromisoformat(shown["expires_at"]).timestamp() - time.time()
    assert 60 < left_s <= 90


@pytest.mark.parametrize("name", sorted(READERS.keys() - {"shared-websocket"}))
def test_a_ticket_lets_in_on_every_transport(safe: Server, alice: Api, name: str) -> None:
    job = alice.run("plain", {"words": ["a", "b"]})["id"]

    events = list(READERS[name](safe.api, job, ticket=ticket_of(alice, job)))

    assert events == alice.log_of(job)


def test_a_ticket_lets_in_to_snapshot_artifacts_and_the_shared_socket(
    safe: Server, alice: Api
) -> None:
    job = alice.run("making", {"name": "a.txt", "versions": ["hers"]})["id"]
    ticket = {"ticket": ticket_of(alice, job)}

    assert safe.api.get(f"/v1/jobs/{job}", params=ticket).json()["id"] == job
    assert safe.api.get(f"/v1/jobs/{job}/artifacts/a.txt", params=ticket).text == "hers"
    with Socket(safe.api, "/v1/ws", **ticket) as connection:
        assert connection.ask("subscribe", job=job)["type"] == "ack"


def test_a_ticket_changes_nothing(safe: Server, alice: Api, running: str) -> None:
    ticket = {"ticket": ticket_of(alice, running)}
    path = f"/v1/jobs/{running}"

    refused = [
        safe.api.post("/v1/jobs", params=ticket, json={"task": "plain"}),
        safe.api.post(f"{path}/cancel", params=ticket),
        safe.api.post(f"{path}/input", params=ticket, json={"data": 1}),
        safe.api.delete(path, params=ticket),
        safe.api.post("/v1/tickets", params=ticket, json={"jobs": [running]}),
        safe.api.post("/v1/files", params=ticket, files={"file": b"x"}),
        safe.api.get("/v1/jobs", params=ticket),
    ]
    with Socket(safe.api, f"{path}/ws", **ticket) as connection:
        answers = [connection.ask(kind, data=1) for kind in ("cancel", "input")]

    assert {response.status_code for response in refused} == {403}
    assert {answer["error"]["status"] for answer in answers} == {403}
    assert alice.snapshot(running)["status"] == "waiting_for_input"


def test_a_ticket_is_for_its_jobs_alone(safe: Server, alice: Api, running: str) -> None:
    other = alice.run("plain", {"words": ["a"]})["id"]
    ticket = {"ticket": ticket_of(alice, running)}

    assert safe.api.get(f"/v1/jobs/{other}", params=ticket).status_code == 404
    both = {**ticket, "job": [running, other]}
    assert safe.api.get("/v1/events", params=both).status_code == 404
    with Socket(safe.api, "/v1/ws", **ticket) as connection:
        assert connection.ask("subscribe", job=other)["error"]["status"] == 404


def test_there_is_no_ticket_for_jobs_of_others(alice: Api, bob: Api, running: str) -> None:
    assert bob.post("/v1/tickets", json={"jobs": [running]}).status_code == 404


@pytest.mark.parametrize(
    "body", [{}, {"jobs": []}, {"jobs": ["job_x"] * 101}, {"jobs": ["x"], "ttl_s": 0}, {"jobs": 1}]
)
def test_a_bad_request_for_a_ticket_is_422(alice: Api, body: object) -> None:
    response = alice.post("/v1/tickets", json=body)

    assert response.status_code == 422
    assert response.json()["errors"]


def test_a_stream_ends_with_its_ticket_and_goes_on_with_a_new_one(
    safe: Server, alice: Api, running: str
) -> None:
    events = list(read_sse(safe.api, running, ticket=ticket_of(alice, running, ttl_s=1)))

    last = events[-2]["seq"]
    assert events[-1]["type"] == "stream.closing"
    assert events[-1]["data"]["reason"] == "ticket_expired"
    alice.cancel(running)
    rest = list(read_sse(safe.api, running, ticket=ticket_of(alice, running), after=last))
    assert [event["seq"] for event in rest] == list(range(last + 1, rest[-1]["seq"] + 1))


def test_a_socket_closes_with_1008_when_its_ticket_is_over(
    safe: Server, alice: Api, running: str
) -> None:
    ticket = ticket_of(alice, running, ttl_s=1)
    with Socket(safe.api, f"/v1/jobs/{running}/ws", ticket=ticket) as connection:
        messages = list(iter(connection.receive, None))

    assert messages[-1]["data"]["reason"] == "ticket_expired"
    assert connection.code == 1008
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        Socket(safe.api, f"/v1/jobs/{running}/ws", ticket=ticket)
    assert refused.value.status_code == 401


def test_a_poll_ends_with_its_ticket(safe: Server, alice: Api, running: str) -> None:
    last = alice.snapshot(running)["seq"]
    asked = {"ticket": ticket_of(alice, running, ttl_s=1), "after": last, "wait": 9}

    began = time.monotonic()
    page = safe.api.get(f"/v1/jobs/{running}/poll", params=asked)

    assert page.json()["events"] == []
    assert time.monotonic() - began < 5
    assert safe.api.get(f"/v1/jobs/{running}/poll", params=asked).status_code == 401


def test_tickets_are_in_no_log(safe: Server, alice: Api, running: str) -> None:
    ticket = ticket_of(alice, running)
    safe.api.get(f"/v1/jobs/{running}", params={"ticket": ticket})
    safe.api.get("/v1/nowhere", params={"ticket": ticket})
    with Socket(safe.api, f"/v1/jobs/{running}/ws", ticket=ticket):
        pass
    requests.get(f"{safe.url}/v1/jobs/{running}/events", params={"ticket": "x"}, timeout=5)

    assert "/v1/nowhere" in safe.log_text()
    assert ticket not in safe.log_text()
