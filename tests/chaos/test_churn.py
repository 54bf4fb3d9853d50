"""Streams opened and abandoned by the hundred: everything that they held is given back."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import Request

from tests.chaos.conftest import StartServer
from tests.e2e.server import Server
from tests.e2e.waiting import eventually

pytestmark = pytest.mark.slow

#: Streams of each kind, and how many of them are open at once.
STREAMS, AT_ONCE = 300, 50
#: Threads of a gthread worker, and of the pool that gevent's loop hands blocking calls to.
POOL, GEVENT_POOL = 96, 10
#: Descriptors of the readers of the log and of the requests that ask.
SPARE = 6


@dataclass(frozen=True)
class Held:
    """What a server holds."""

    streams: int
    viewers: int
    threads: int
    descriptors: int

    def __le__(self, other: Held) -> bool:
        return (
            self.streams <= other.streams
            and self.viewers <= other.viewers
            and self.threads <= other.threads
            and self.descriptors <= other.descriptors
        )


def held(server: Server, job: str) -> Held:
    (worker,) = server.workers()
    return Held(
        streams=sum(server.api.get("/readyz").json()["streams"].values()),
        viewers=len(server.api.get(f"/v1/jobs/{job}/viewers").json()["viewers"]),
        threads=worker.num_threads(),
        descriptors=worker.num_fds(),
    )


def http(path: str, accept: str = "*/*") -> Callable[[str, str], bytes]:
    def request(host: str, job: str) -> bytes:
        target = path.format(job=job)
        return f"GET {target} HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\n\r\n".encode()

    return request


def upgrade(host: str, job: str) -> bytes:
    target = f"/v1/jobs/{job}/ws"
    return WSConnection(ConnectionType.CLIENT).send(Request(host=host, target=target))


#: What a client of each kind sends first.
KINDS = {
    "sse": http("/v1/jobs/{job}/events", "text/event-stream"),
    "ndjson": http("/v1/jobs/{job}/events", "application/x-ndjson"),
    "poll": http("/v1/jobs/{job}/poll?after=2&wait=30"),
    "feed": http("/v1/events?job={job}", "text/event-stream"),
    "websocket": upgrade,
}


def abandon(server: Server, job: str, kind: str, number: int) -> None:
    """Open a stream and leave: before the answer, at its beginning, with or without a reset."""
    address = ("127.0.0.1", server.port)
    with socket.create_connection(address, timeout=10) as sock:
        sock.sendall(KINDS[kind]("{}:{}".format(*address), job))
        if number % 3 and kind != "poll":  # a poll says nothing until there is something
            sock.recv(1 if number % 3 == 1 else 65536)
        if number % 2:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def churn(server: Server, job: str, kind: str) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda number: abandon(server, job, kind, number), range(STREAMS)))


def test_abandoned_streams_leave_nothing_behind(
    start_server: StartServer, worker_class: str
) -> None:
    server = start_server(worker_class, GUNICORN_THREADS=POOL)
    job = server.api.submit("quiet")
    server.api.reach(job, "running")
    before = held(server, job)
    # What only grows to a bound of its own: gthread's pool, gevent's pool for calls that block.
    pool = POOL if worker_class == "gthread" else GEVENT_POOL
    bound = replace(before, threads=before.threads + pool, descriptors=before.descriptors + SPARE)

    for kind in KINDS:
        churn(server, job, kind)
        eventually(
            lambda: held(server, job) <= bound, f"what {kind} streams held is given back", 20
        )
    assert "[ERROR]" not in server.log_text()
