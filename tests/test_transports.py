"""`GET /v1/transports`, and the proxies that its figures are measured behind."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from app import create_app
from bench.proxy import BUFFER, Proxy, holds
from bench.transports import PAGE, READERS, markdown
from streaming import Settings, server_of
from streaming.web.routes.transports import figures

ROWS = {
    "first_feedback_s",
    "delay_p50_ms",
    "delay_p99_ms",
    "bytes_per_1000_events",
    "requests_per_1000_events",
    "cpu_ms_per_1000_events",
    "behind_a_buffering_proxy",
    "behind_a_5_s_gateway",
    "after_a_disconnect",
}


@pytest.fixture
def client() -> FlaskClient:
    return create_app(Settings(STREAMING_LOG_URL="memory://")).test_client()


def test_each_way_has_its_traits_and_all_its_figures(client: FlaskClient) -> None:
    shown = client.get("/v1/transports").json

    assert {each["name"] for each in shown["transports"]} == {*READERS, "blocking"}
    for each in shown["transports"]:
        assert each["measured"].keys() == ROWS, each["name"]
        assert "{" not in each["request"].replace("{job}", "")


def test_each_need_names_a_way(client: FlaskClient) -> None:
    shown = client.get("/v1/transports").json

    assert {need["pick"] for need in shown["needs"]} == {*READERS, "blocking"}
    assert shown["measured_with"]["command"] == "scripts/bench transports"


def test_the_figures_show_what_the_traits_say(client: FlaskClient) -> None:
    measured = {
        each["name"]: each["measured"] for each in client.get("/v1/transports").json["transports"]
    }

    assert measured["sse"]["delay_p50_ms"] < measured["short_poll"]["delay_p50_ms"]
    assert measured["blocking"]["first_feedback_s"] > 1
    assert not measured["blocking"]["behind_a_5_s_gateway"]["got_the_result"]
    for name in READERS:
        for row in ("behind_a_5_s_gateway", "after_a_disconnect"):
            assert measured[name][row]["got_the_result"]
            assert measured[name][row]["events_lost"] == measured[name][row]["events_repeated"] == 0


def test_the_page_in_docs_has_the_same_figures() -> None:
    assert markdown(dict(figures())) in PAGE.read_text()


def answer(*parts: bytes) -> Callable[[], int]:
    """A server for one connection that sends the parts, the last one after a word."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, listener:
            connection.recv(100)
            for part in parts:
                connection.sendall(part)
                connection.recv(100)

    threading.Thread(target=serve, daemon=True).start()
    return lambda: listener.getsockname()[1]


def test_a_proxy_counts_bytes_and_requests() -> None:
    body = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
    with Proxy(answer(body)()) as proxy, connected(proxy) as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")

        assert client.recv(100) == body
        assert (proxy.bytes, proxy.requests) == (len(body) + 18, 1)


def test_a_gateway_gives_up_with_504() -> None:
    with Proxy(answer(b"")(), timeout_s=0.1) as proxy, connected(proxy) as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")

        assert client.recv(200).startswith(b"HTTP/1.1 504")
        assert proxy.given_up == 1


@pytest.mark.parametrize(
    ("held", "waits"),
    [
        (b"HTTP/1.1 200 OK\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", True),
        (b"2\r\nhi\r\n0\r\n\r\n", False),
        (b"x" * BUFFER, False),
    ],
)
def test_a_buffering_proxy_waits_for_whole_answers(held: bytes, waits: bool) -> None:
    assert holds(held) is waits


def connected(proxy: Proxy) -> socket.socket:
    host, _, port = proxy.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=5)


def test_the_route_needs_no_started_server(tmp_path: Path) -> None:
    (tmp_path / "file").touch()  # and no folder: no server can start
    app = create_app(Settings(STREAMING_VAR_DIR=tmp_path / "file"))

    assert app.test_client().get("/v1/transports").status_code == 200
    assert not server_of(app).started
