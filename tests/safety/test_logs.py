"""Log lines: as JSON with ids, of requests and streams, and without keys and tickets."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from streaming.server.logging import make_formatter, redact
from streaming.web.keys import make_key
from streaming.web.principal import Principal
from streaming.web.tickets import Tickets
from tests.e2e.clients import Api, Socket, read_sse
from tests.e2e.server import Server
from tests.e2e.waiting import eventually


@pytest.fixture(scope="module")
def logging_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(
        tmp_path_factory.mktemp("logging"),
        "gevent",
        STREAMING_API_KEYS="ann-key",
        STREAMING_LOG_FORMAT="json",
        STREAMING_LOG_REQUESTS=1,
        GUNICORN_ACCESS_LOG="-",
    )
    with server:
        yield server.start()


@pytest.fixture
def api(logging_server: Server) -> Api:
    return logging_server.api.with_key("ann-key")


def lines(server: Server) -> list[dict[str, Any]]:
    """The lines so far, without one that is being written."""
    return [json.loads(line) for line in server.log_text().split("\n")[:-1]]


def line_of(server: Server, **wanted: object) -> dict[str, Any]:
    """The line that says all this, waited for."""

    def look() -> dict[str, Any] | None:
        found = [line for line in lines(server) if wanted.items() <= line.items()]
        return found[0] if found else None

    return eventually(look, f"a line with {wanted}")


def test_each_line_is_an_object_gunicorns_own_too(logging_server: Server) -> None:
    logging_server.api.get("/healthz")

    line_of(logging_server, logger="gunicorn.access")
    line_of(logging_server, logger="gunicorn.error")
    for line in lines(logging_server):
        assert {"at", "level", "logger", "message"} <= set(line)


def test_a_request_is_logged_with_who_asked_and_for_which_job(
    logging_server: Server, api: Api
) -> None:
    job = api.run("plain", {"words": ["a"]})["id"]

    answer = api.get(f"/v1/jobs/{job}", headers={"X-Request-ID": "from-the-proxy"})

    line = line_of(logging_server, request_id="from-the-proxy")
    assert answer.headers["X-Request-ID"] == "from-the-proxy"
    assert line["message"] == f"GET /v1/jobs/{job} 200"
    assert (line["job"], line["status"]) == (job, 200)
    assert line["owner"].startswith("key:")
    assert line["seconds"] >= 0


def test_a_request_id_that_is_none_is_replaced(api: Api) -> None:
    for odd in ("a b", "x" * 65, "<script>"):
        shown = api.get("/v1/tasks", headers={"X-Request-ID": odd}).headers["X-Request-ID"]
        assert shown != odd
        assert len(shown) == 16


def test_refused_requests_are_logged_too(logging_server: Server) -> None:
    logging_server.api.get("/v1/jobs", headers={"X-Request-ID": "nobody"})

    assert line_of(logging_server, request_id="nobody")["status"] == 401


def test_streams_and_sockets_are_logged_at_their_end(logging_server: Server, api: Api) -> None:
    job = api.submit("asking")
    api.reach(job, "waiting_for_input")
    with closing(read_sse(api, job, headers={"X-Request-ID": "a-stream"})) as events:
        next(events)
    with Socket(api, f"/v1/jobs/{job}/ws", headers={"X-Request-ID": "a-socket"}) as connection:
        connection.receive()

    begun = line_of(logging_server, request_id="a-socket", status=101)
    ends = [
        line_of(logging_server, request_id=id, transport=transport)
        for id, transport in (("a-stream", "sse"), ("a-socket", "websocket"))
    ]
    assert begun["message"] == f"GET /v1/jobs/{job}/ws 101"
    for end in ends:
        assert end["job"] == job
        assert end["positions"][job] >= 1
        assert end["owner"].startswith("key:")
    api.cancel(job)


def test_no_key_and_no_ticket_is_in_any_line(logging_server: Server, api: Api) -> None:
    job = api.run("plain", {"words": ["a"]})["id"]
    ticket = api.post("/v1/tickets", json={"jobs": [job]}).json()["ticket"]
    for path in (f"/v1/jobs/{job}", f"/v1/jobs/{job}/events", "/nowhere", f"/v1/jobs/{ticket}"):
        api.get(path, params={"ticket": ticket}, headers={"Referer": f"http://x/?ticket={ticket}"})
    line_of(logging_server, message=f"GET /v1/jobs/{job}/events 200")

    assert ticket not in logging_server.log_text()
    assert "ann-key" not in logging_server.log_text()


def test_what_is_secret_is_left_out_wherever_it_stands() -> None:
    key, _ = make_key("ann", ["read"])
    ticket, _ = Tickets(lambda: "s" * 32).issue(Principal("ann"), ["job_1"], 60)

    for text in (
        f"GET /v1/events?job=a&ticket={ticket}&after=1",
        f"Authorization: Bearer {key}",
        f'{{"ticket":"{ticket}"}}',
        f"the key {key} is none",
    ):
        assert key not in redact(text)
        assert ticket not in redact(text)
    assert redact("/x?ticket=abc&after=1") == "/x?ticket=***&after=1"


@pytest.mark.parametrize("kind", ["text", "json"])
def test_a_traceback_is_cleaned_as_well(kind: str) -> None:
    try:
        raise ValueError("no route /v1/x?ticket=tkt_secret.thing")
    except ValueError as error:
        record = logging.makeLogRecord(
            {"msg": "failed", "exc_info": (ValueError, error, error.__traceback__)}
        )

    shown = make_formatter(kind).format(record)

    assert "no route" in shown
    assert "secret.thing" not in shown


def test_the_job_that_a_line_is_about_is_a_field_of_it() -> None:
    job = "job_01M8ACW9P947YHNA0G8RYCDGS6"
    record = logging.makeLogRecord({"msg": "job %s failed", "args": (job,)})

    assert json.loads(make_formatter("json").format(record))["job"] == job
