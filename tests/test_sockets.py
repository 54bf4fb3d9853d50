"""A WebSocket connection over a real socket pair: what arrives, in what order, within bounds."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
from wsproto.connection import Connection as Protocol, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

from streaming.watching.websocket import PARTS, Closed, Connection
from tests.threads import Background


class Client:
    """The other end, spoken by wsproto."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._protocol = Protocol(ConnectionType.CLIENT)

    def send(self, *events: object) -> None:
        self.sock.sendall(self.frames(*events))

    def frames(self, *events: object) -> bytes:
        return b"".join(self._protocol.send(event) for event in events)  # type: ignore[arg-type]

    def received(self) -> list[object]:
        self._protocol.receive_data(self.sock.recv(1 << 16))
        return list(self._protocol.events())


@pytest.fixture
def pair() -> Iterator[tuple[Connection, Client]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Connection(ours, max_message_bytes=1000), Client(theirs)


def test_messages_come_in_order_and_fragments_are_put_together(
    pair: tuple[Connection, Client],
) -> None:
    connection, client = pair
    client.send(TextMessage("a"), TextMessage("b", message_finished=False), TextMessage("c"))
    client.send(BytesMessage(b"d"))

    assert connection.receive() == ["a", "bc", b"d"]
    assert connection.receive() == []


def test_what_was_said_before_the_end_is_heard(pair: tuple[Connection, Client]) -> None:
    connection, client = pair
    client.send(TextMessage('{"type":"cancel"}'), CloseConnection(1000))

    assert connection.receive() == ['{"type":"cancel"}']
    with pytest.raises(Closed):
        connection.receive()


def test_a_flood_of_pongs_does_not_hold_the_caller(pair: tuple[Connection, Client]) -> None:
    connection, client = pair
    pongs, stop = client.frames(Pong()) * 10_000, threading.Event()

    def flood() -> None:
        with contextlib.suppress(OSError):
            while not stop.wait(0):
                client.sock.sendall(pongs)

    flooding = Background(flood)

    assert connection.receive() == []

    assert not flooding.ends_within(0)
    stop.set()
    client.sock.shutdown(socket.SHUT_RDWR)
    flooding.result()


def test_a_ping_is_answered(pair: tuple[Connection, Client]) -> None:
    connection, client = pair
    client.send(Ping(b"hello"))

    connection.receive()

    assert client.received() == [Pong(b"hello")]


@pytest.mark.parametrize("text", ["x" * 1001, "漢" * 334], ids=["ascii", "wide"])
def test_too_large_a_message_closes_the_connection(
    pair: tuple[Connection, Client], text: str
) -> None:
    connection, client = pair
    client.send(TextMessage(text))

    with pytest.raises(Closed):
        connection.receive()
    [closed] = client.received()
    assert isinstance(closed, CloseConnection)
    assert closed.code == 1009


def test_empty_fragments_without_end_close_the_connection(
    pair: tuple[Connection, Client],
) -> None:
    connection, client = pair
    empty = [TextMessage("", message_finished=False)] * 1000

    def send_and_receive() -> None:
        for _ in range(PARTS // len(empty) + 1):
            client.send(*empty)
            connection.receive()

    with pytest.raises(Closed):
        send_and_receive()


def test_an_end_without_a_word_is_an_end(pair: tuple[Connection, Client]) -> None:
    connection, client = pair
    client.sock.close()

    with pytest.raises(Closed):
        connection.receive()


def test_a_peer_that_ends_while_bytes_wait_for_it_is_let_go(
    pair: tuple[Connection, Client],
) -> None:
    connection, client = pair
    connection.send(b"x" * 1000)
    connection.close(1000, "")
    client.send(CloseConnection(1000))
    client.sock.shutdown(socket.SHUT_WR)

    connection.linger()

    assert b"x" * 1000 in client.sock.recv(1 << 16), "what waited is still there"
