"""What stands between the service and its clients: handshakes, closes, halves of connections."""

from __future__ import annotations

import json
import select
import socket
import struct
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
import requests

from tests.e2e.clients import Api, read_sse, read_websocket
from tests.e2e.conftest import NewServer
from tests.e2e.waiting import eventually
from tests.threads import Background

KEY = b64encode(b"0123456789abcdef").decode()
HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}
CLOSE, TEXT, PING = 0x8, 0x1, 0x9
LINE_ENDS = "a\u2028b\u2029c\x85d"


@contextmanager
def connection(api: Api, timeout_s: float = 10.0) -> Iterator[socket.socket]:
    address = urlsplit(api.url)
    made = socket.create_connection((address.hostname, address.port), timeout=timeout_s)
    with closing(made):
        yield made


def head(method: str, path: str, **headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def frame(kind: int, payload: bytes) -> bytes:
    """A masked frame of a client, final and short."""
    assert len(payload) < 126
    return struct.pack("!BBI", 0x80 | kind, 0x80 | len(payload), 0) + payload


def all_of(sock: socket.socket) -> bytes:
    """Everything until TCP ends."""
    received = b""
    while piece := sock.recv(65536):
        received += piece
    return received


def status_of(api: Api, headers: dict[str, str], path: str = "/v1/ws") -> tuple[int, bytes]:
    with connection(api) as sock:
        sock.sendall(head("GET", path, **{**headers, "X-End": "1"}))
        answer = sock.recv(65536)
    return int(answer.split(b" ", 2)[1]), answer


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({}, 101),
        ({"Sec-WebSocket-Version": "8"}, 426),
        ({"Sec-WebSocket-Version": ""}, 426),
        ({"Upgrade": ""}, 400),
        ({"Upgrade": "h2c"}, 400),
        ({"Connection": "close"}, 400),
        ({"Connection": "keep-alive, upgrade"}, 101),
        ({"Sec-WebSocket-Key": ""}, 400),
        ({"Sec-WebSocket-Key": "abc"}, 400),
        ({"Sec-WebSocket-Key": "!" * 24}, 400),
        ({"Sec-WebSocket-Key": b64encode(b"short").decode()}, 400),
        ({"Content-Length": "0"}, 101),
        ({"Content-Length": "5"}, 400),
        ({"Transfer-Encoding": "chunked"}, 400),
    ],
)
def test_a_handshake_is_one_or_is_refused(api: Api, changed: dict[str, str], status: int) -> None:
    got, answer = status_of(api, {**HANDSHAKE, **changed})

    assert got == status
    if status == 426:
        assert b"Sec-WebSocket-Version: 13" in answer
    if status >= 400:
        assert b"application/problem+json" in answer


@pytest.mark.parametrize("line", ["HEAD /v1/ws HTTP/1.1", "GET /v1/ws HTTP/1.0"])
def test_a_websocket_begins_with_a_get_of_http_1_1(api: Api, line: str) -> None:
    with connection(api) as sock:
        request = head("GET", "/v1/ws", **HANDSHAKE)
        sock.sendall(line.encode() + request[request.index(b"\r\n") :])
        answer = sock.recv(65536)

    assert answer.split(b" ", 2)[1] == b"400"


@pytest.mark.parametrize("body", [b"zz\r\n", b"-1\r\nabc\r\n", b"5\r\nabc", b"5;\x01\r\nhello\r\n"])
def test_chunks_that_are_none_are_a_bad_request(api: Api, body: bytes) -> None:
    headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    with connection(api) as sock:
        sock.sendall(head("POST", "/v1/jobs", **headers) + body)
        sock.shutdown(socket.SHUT_WR)
        answer = all_of(sock)

    assert answer.split(b" ", 2)[1] == b"400"


def open_socket(sock: socket.socket) -> None:
    sock.sendall(head("GET", "/v1/ws", **HANDSHAKE))
    assert b" 101 " in sock.recv(65536)


def test_a_close_in_the_segment_of_a_message_is_the_end(api: Api) -> None:
    job = api.submit("generate", {"prompt": "x", "max_tokens": 400, "tokens_per_s": 50})
    message = json.dumps({"type": "subscribe", "job": job}).encode()

    with connection(api) as sock:
        open_socket(sock)
        began = time.monotonic()
        sock.sendall(frame(TEXT, message) + frame(CLOSE, b"\x03\xe8"))
        received = all_of(sock)
        took_s = time.monotonic() - began

    closes = received.index(b"\x88")
    assert received[closes:] in (b"\x88\x02\x03\xe8", b"\x88\x00")  # nothing behind our Close
    assert took_s < 2.0
    api.cancel(job)


def is_over(sock: socket.socket, timeout_s: float) -> bool:
    """Whether TCP ends by then in both directions; the end of the peer's alone is not enough."""
    poll = select.poll()
    poll.register(sock, 0)  # errors and the end are told all the same
    return bool(poll.poll(timeout_s * 1000))


def test_a_client_that_goes_on_sending_after_the_close_is_let_go(api: Api) -> None:
    with connection(api) as sock:
        open_socket(sock)
        sock.sendall(b"\xff" * 20)  # a protocol error: the server closes
        assert sock.recv(65536).startswith(b"\x88")
        began = time.monotonic()
        while not is_over(sock, 0.2) and time.monotonic() < began + 6:
            with suppress(OSError):
                sock.sendall(frame(PING, b"still here"))

    assert time.monotonic() - began < 2.5


def test_an_idle_connection_is_kept_for_the_next_request(api: Api) -> None:
    address = urlsplit(api.url).netloc
    with closing(HTTPConnection(address, timeout=3)) as kept:
        for _ in range(2):
            kept.request("GET", "/healthz")
            answer = kept.getresponse()
            assert (answer.status, answer.read()) == (200, b'{"status":"ok"}')
            with pytest.raises(TimeoutError):  # neither an end nor anything else
                kept.sock.recv(1)


def test_a_connection_that_says_nothing_is_not_kept(api: Api) -> None:
    with connection(api) as sock:
        assert sock.recv(1) == b""


def test_a_client_that_has_closed_its_sending_half_gets_what_is_there(api: Api) -> None:
    job = api.run("generate", {"prompt": "x", "max_tokens": 30, "tokens_per_s": 0})["id"]
    last = api.snapshot(job)["seq"]

    for _ in range(5):
        with connection(api) as sock:
            sock.sendall(head("GET", f"/v1/jobs/{job}/events", Connection="close"))
            sock.shutdown(socket.SHUT_WR)
            received = all_of(sock)

        assert received.count(b'"seq":') == last


@pytest.mark.parametrize("name", ["lastEventId", "lastEventID", "Last-Event-ID"])
def test_the_position_in_the_query_beats_after(api: Api, name: str) -> None:
    job = api.run("generate", {"prompt": "x", "max_tokens": 10, "tokens_per_s": 0})["id"]
    last = api.snapshot(job)["seq"]

    page = api.get(f"/v1/jobs/{job}/poll?after=1&{name}={last - 1}&wait=0").json()
    beaten = api.get(
        f"/v1/jobs/{job}/poll?{name}=1&wait=0", headers={"Last-Event-ID": str(last - 1)}
    ).json()

    assert [event["seq"] for event in page["events"]] == [last]
    assert [event["seq"] for event in beaten["events"]] == [last]
    assert api.get(f"/v1/jobs/{job}/poll?{name}=x").status_code == 400


def test_a_streaming_post_goes_on_behind_the_last_event(api: Api) -> None:
    body = {"task": "generate", "input": {"prompt": "x", "max_tokens": 10, "tokens_per_s": 0}}
    headers = {"Accept": "text/event-stream", "Idempotency-Key": "edge-resume"}
    first = api.post("/v1/jobs", json=body, headers=headers).text
    last = first.count('"seq":')

    again = api.post("/v1/jobs", json=body, headers={**headers, "Last-Event-ID": "5"})
    assert again.text.count('"seq":') == last - 5
    seen = api.post("/v1/jobs", json=body, headers={**headers, "Last-Event-ID": str(last)})
    assert seen.status_code == 204
    jobs = len(api.get("/v1/jobs?limit=100").json()["jobs"])
    del headers["Idempotency-Key"]
    refused = api.post("/v1/jobs", json=body, headers={**headers, "Last-Event-ID": "5"})
    assert refused.status_code == 409
    assert len(api.get("/v1/jobs?limit=100").json()["jobs"]) == jobs


def test_states_over_websocket_have_their_text_once(api: Api) -> None:
    job = api.run("generate", {"prompt": "x", "max_tokens": 10, "tokens_per_s": 0})["id"]

    events = list(read_websocket(api, job, after=10_000))

    [snapshot] = [event for event in events if event["type"] == "stream.snapshot"]
    assert "text" not in snapshot["data"]["job"]
    assert snapshot["data"]["job"]["texts"][0]["text"]


def test_what_other_readers_take_for_line_ends_is_escaped(api: Api) -> None:
    job = api.run("generate", {"prompt": LINE_ENDS, "max_tokens": 3}, metadata={"x": LINE_ENDS})

    raw = api.get(f"/v1/jobs/{job['id']}/events").content

    for char in "\u2028\u2029\x85":
        assert char.encode() not in raw
    [queued, *_] = read_sse(api, job["id"])
    assert queued["data"]["metadata"] == {"x": LINE_ENDS}
    stream = requests.get(f"{api.url}/v1/jobs/{job['id']}/events?after=1", stream=True, timeout=9)
    assert stream.encoding == "utf-8"


def test_head_does_not_wait_and_a_trailing_slash_is_no_other_place(api: Api) -> None:
    job = api.submit("generate", {"prompt": "x", "max_tokens": 400, "tokens_per_s": 1})
    last = api.reach(job, "running")["seq"]

    began = time.monotonic()
    answer = api.request("HEAD", f"/v1/jobs/{job}/poll?after={last + 5}&wait=20")

    assert answer.status_code == 200
    assert time.monotonic() - began < 3
    assert api.get(f"/v1/jobs/{job}/").status_code == 200
    assert api.get("/v1/tasks/").status_code == 200
    api.cancel(job)


def test_slow_bodies_leave_room_for_everybody_else(new_server: NewServer) -> None:
    server = new_server(STREAMING_BODY_S=2, GUNICORN_THREADS=24).start()
    api = server.api
    upload = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": "250000000"}
    slow = []
    try:
        for _ in range(24):
            sock = socket.create_connection(("127.0.0.1", server.port), timeout=30)
            slow.append(sock)
            sock.sendall(head("POST", "/v1/files", **upload) + b"--x\r\n")

        began = time.monotonic()
        assert api.get("/v1/jobs?limit=1").status_code == 200
        assert time.monotonic() - began < 3
        for sock in slow:
            answer = sock.recv(65536)
            assert answer.split(b" ", 2)[1] in (b"408", b"503")
        assert time.monotonic() - began < 15
        eventually(lambda: api.post("/v1/jobs", json={"task": "monitor"}).ok, "bodies are read")
    finally:
        for sock in slow:
            sock.close()


def test_heads_that_do_not_come_leave_room_for_everybody_else(new_server: NewServer) -> None:
    api = new_server(GUNICORN_THREADS=24).start().api
    begun = head("GET", "/v1/jobs")[:-2] + b"X-Slow: "

    def drip(sock: socket.socket, said: bytes) -> float:
        """The seconds until the server ends its connection."""
        began = time.monotonic()
        with suppress(OSError):
            sock.sendall(said)
            while not select.select([sock], [], [], 0.2)[0] and time.monotonic() - began < 15:
                sock.sendall(said[-1:])
        return time.monotonic() - began

    with ExitStack() as stack:
        socks = [stack.enter_context(connection(api)) for _ in range(60)]
        slow = [Background(drip, sock, begun if n % 2 else b"") for n, sock in enumerate(socks)]
        began = time.monotonic()
        answer = api.get("/healthz")
        took_s = time.monotonic() - began
        ended_after = [each.result(20) for each in slow]

    assert answer.status_code == 200
    assert took_s < 5
    assert max(ended_after) < 10
