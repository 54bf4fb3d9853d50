"""Raw bytes to the port: no 500, no traceback, and nothing is held afterwards.

`scripts/bench fuzz` sends 10,000 cases; here are those that found something, and some hundred more.
"""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from bench import fuzz
from bench.load import upgrade
from tests.e2e.server import Server


@pytest.mark.parametrize("worker_class", ["gevent", "gthread"])
def test_raw_bytes_break_nothing(tmp_path: Path, worker_class: str) -> None:
    with Server(tmp_path, worker_class, STREAMING_BODY_S=2) as server:
        statuses, faults = fuzz.run(server.start(), cases=300, seed=1)

    assert faults == []
    assert {101, 200, 400, 404} <= statuses.keys()


def test_the_same_seed_makes_the_same_cases() -> None:
    routes = [fuzz.Route("POST", "/v1/jobs", ("after",), ("task", "input"))]
    one, other = (fuzz.Cases(7, routes, ["job_x"]) for _ in range(2))

    assert [one.make(n) for n in range(50)] == [other.make(n) for n in range(50)]
    assert len({one.make(n) for n in range(50)}) == 50


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("Origin: http://[", 403),
        ("Sec-WebSocket-Protocol: \xff", 400),
        ("Sec-WebSocket-Protocol: chat", 101),
    ],
)
def test_a_header_that_says_nothing_is_refused(open_server: Server, head: str, status: int) -> None:
    request = upgrade("/v1/ws").replace(b"\r\n\r\n", f"\r\n{head}\r\n\r\n".encode("latin-1"))

    with socket.create_connection(("127.0.0.1", open_server.port), timeout=10) as raw:
        raw.sendall(request)
        answer = raw.recv(4096)

    assert answer.split()[1] == str(status).encode()
    assert "Traceback" not in open_server.log_text()


def test_a_host_that_is_none_is_refused(open_server: Server) -> None:
    with socket.create_connection(("127.0.0.1", open_server.port), timeout=10) as raw:
        raw.sendall(b"GET /v1/tasks HTTP/1.1\r\nHost: [::1\r\nConnection: close\r\n\r\n")
        answer = raw.recv(4096)

    assert answer.split()[1] in (b"400", b"403")
    assert "Traceback" not in open_server.log_text()
