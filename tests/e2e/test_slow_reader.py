"""A reader whose socket is full: it is given less, and loses nothing."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from bench.account import Account
from tests.e2e.clients import TERMINAL, Api, lines_of, read_sse
from tests.e2e.server import Server
from tests.e2e.waiting import eventually
from tests.threads import Background

#: Seconds for which it reads nothing: its buffers are full for more than a second of them.
PAUSE_S = 3.0


def events_of(connection: socket.socket, pause_s: float) -> Iterator[dict[str, Any]]:
    """The events of an SSE stream; after the first piece it reads nothing for some time."""

    def chunks() -> Iterator[bytes]:
        yield connection.recv(4096)
        time.sleep(pause_s)
        while data := connection.recv(1 << 16):
            yield data

    # Chunk sizes stand on lines of their own, which no event begins with.
    for line in lines_of(chunks()):
        if line.startswith("data: "):
            event = json.loads(line[6:])
            yield event
            if event["type"] in TERMINAL:
                return


def slow_connection(server: Server, job: str, version: str) -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    connection.settimeout(20)
    connection.connect(("127.0.0.1", server.port))
    request = f"GET /v1/jobs/{job}/events HTTP/{version}\r\nHost: 127.0.0.1\r\n\r\n"
    connection.sendall(request.encode())
    return connection


def watch(server: Server, job: str, version: str) -> Account:
    account = Account(job)
    with closing(slow_connection(server, job, version)) as connection:
        for event in events_of(connection, PAUSE_S):
            account.take(event)
    return account


# Over HTTP/1.0 the stream sends all by itself; over 1.1 the writer does, where there is one.
@pytest.mark.slow
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_live_reader_whose_socket_is_full_is_thinned_and_ends_with_the_same_text(
    server: Server, api: Api, version: str
) -> None:
    job = api.submit("flooding")
    api.reach(job, "waiting_for_input")
    slow = Background(watch, server, job, version)
    eventually(lambda: api.get(f"/v1/jobs/{job}/viewers").json()["count"] == 1, "it watches")

    api.answer(job, True)
    shown = api.finish(job, timeout_s=30)
    account = slow.result(timeout_s=30)

    replayed = list(read_sse(api, job))
    assert +account.judge(shown["seq"]) == {}
    assert account.text == shown["text"]
    assert any(first < last for first, last in account.ranges)
    assert not any("from" in event for event in replayed)


def test_whoever_keeps_a_closed_connection_keeps_nobody_out(server: Server, api: Api) -> None:
    """gunicorn waits up to two seconds for a client's end of a connection that it closes."""
    with ExitStack() as stack:
        for _ in range(3):
            connection = stack.enter_context(
                socket.create_connection(("127.0.0.1", server.port), timeout=20)
            )
            connection.sendall(
                b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
            )
            while connection.recv(4096):
                pass

        began = time.monotonic()
        assert api.get("/healthz").status_code == 200

    assert time.monotonic() - began < 1
