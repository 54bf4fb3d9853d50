"""Durable Streams, the read side: with its own client, and as raw requests."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from tests.e2e.server import Server
from tests.protocols.conftest import RunNode, ends_as


def begin(server: Server, numbers: int) -> str:
    said = {"messages": [{"role": "user", "content": f"{numbers} numbers"}]}
    body = {"task": "counting", "input": said}
    job: str = requests.post(f"{server.url}/v1/jobs", json=body, timeout=5).json()["id"]
    return job


def get(server: Server, job: str, **query: Any) -> requests.Response:
    return requests.get(f"{server.url}/v1/jobs/{job}/stream", params=query, timeout=40)


def test_the_client_follows_a_job_to_its_end(server: Server, node: RunNode) -> None:
    job = begin(server, 100)
    sse, poll, head = node("durable_client.mjs", server.url, job)

    last = ends_as(server, job, "completed")["seq"]
    assert sse["seqs"] == poll["seqs"] == list(range(1, last + 1))
    assert head["offset"] == f"{last:016d}"


def test_pages_tile_the_log_and_the_end_is_told(server: Server) -> None:
    job = begin(server, 3)
    last = ends_as(server, job, "completed")["seq"]
    whole = get(server, job)
    assert [each["seq"] for each in whole.json()] == list(range(1, last + 1))
    assert whole.headers["Stream-Next-Offset"] == f"{last:016d}"
    assert whole.headers["Stream-Up-To-Date"] == whole.headers["Stream-Closed"] == "true"
    assert get(server, job, offset=f"{2:016d}").json()[0]["seq"] == 3
    assert get(server, job, offset="now").json() == []
    over = get(server, job, offset="now", live="long-poll")
    assert (over.status_code, over.headers["Stream-Closed"]) == (204, "true")
    assert over.headers["Stream-Cursor"].isdecimal()
    sse = get(server, job, offset=f"{last - 1:016d}", live="sse").text
    assert sse.startswith("event: data\n")
    control = json.loads(sse.split("event: control\ndata: ")[-1])
    assert control["streamClosed"]
    assert control["streamNextOffset"] == f"{last:016d}"
    head = requests.head(f"{server.url}/v1/jobs/{job}/stream", timeout=5)
    assert head.headers["Stream-Closed"] == "true"


def test_a_page_that_is_known_is_not_sent_again(server: Server) -> None:
    job = begin(server, 1)
    ends_as(server, job, "completed")
    known = get(server, job).headers

    headers = {"If-None-Match": known["ETag"]}
    again = requests.get(f"{server.url}/v1/jobs/{job}/stream", headers=headers, timeout=5)

    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["Stream-Next-Offset"] == known["Stream-Next-Offset"]


def test_a_poll_is_held_until_something_comes(server: Server) -> None:
    job = begin(server, 50)
    page = get(server, job, offset="now", live="long-poll")
    assert page.status_code == 200
    assert page.json()


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"offset": "7"}, "offset"),
        ({"offset": f"{10**9:016d}"}, "offset"),
        ({"live": "sse"}, "offset"),
        ({"live": "often", "offset": "-1"}, "live"),
    ],
)
def test_what_is_wrong_is_named(server: Server, query: Any, field: str) -> None:
    answer = get(server, begin(server, 1), **query)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == field
