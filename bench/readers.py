"""Plain readers of a job: they come back with their last position and take all as it comes.

Nothing is filtered, put in order or repaired here; `Account` judges what was given.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Self

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from bench.account import Account, Envelope

#: Seconds without a byte after which a connection is taken for dead: more than two heartbeats.
SILENCE_S = 40.0
#: Seconds before a reader comes back after a cut, and after the server has gone away.
RETURN_S, RETRY_S = (0.0, 0.2), (0.3, 1.2)
#: Seconds that a poll waits.
POLL_S = 10.0

#: A position, where one was given, and an event, where there was one.
Arrival = tuple[str | None, Envelope | None]


class Cut(Exception):
    """The connection was cut on purpose."""


class Ended(Exception):
    """The server says that there is nothing more to come."""


class Torn(Exception):
    """What came cannot be read."""


class Link:
    """A TCP connection that can be cut at any byte, from any thread."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.sock = socket.create_connection(address, timeout=SILENCE_S)
        self.was_cut = False
        self._bytes_left: int | None = None

    def cut(self, after_bytes: int) -> None:
        """Cut it when so many more bytes have been read; at once, waiting or not, for 0."""
        self._bytes_left = after_bytes
        if after_bytes == 0:
            self.was_cut = True
            self.sock.shutdown(socket.SHUT_RD)  # wakes the reader; the peer hears nothing yet

    def pieces(self, read: Callable[[int], bytes]) -> Iterator[bytes]:
        """What `read` gives until the end, or until it is cut."""
        while data := read(65536):
            allowed = data[: self._bytes_left]
            if allowed:  # nothing would mean the end to a parser
                yield allowed
            if self._bytes_left is not None:
                self._bytes_left = max(0, self._bytes_left - len(data))
                self.was_cut = self._bytes_left == 0
            if self.was_cut:
                break
        if self.was_cut:
            raise Cut

    def close(self, *, abruptly: bool) -> None:
        """Close it in order, or so that the peer gets a reset."""
        if abruptly:
            linger = struct.pack("ii", 1, 0)
            with contextlib.suppress(OSError):  # closed with the response
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.sock.close()


class Reader:
    """Follows one job over any number of cuts and restarts, until the server says it is over."""

    def __init__(
        self,
        address: tuple[str, int],
        job: str,
        transport: str,
        *,
        seed: int = 0,
        leave_at: int | None = None,
        on_event: Callable[[Envelope], None] | None = None,
    ) -> None:
        self.account = Account(job)
        self.transport = transport
        self.job = job
        #: How often it was cut, and when and how it lost its connection otherwise.
        self.cuts = 0
        self.breaks: list[tuple[float, str]] = []
        self.finished = threading.Event()
        self._address = address
        self._random = random.Random(seed)
        #: Leaves, as if cut, when it is so far; see `come_back`.
        self._leave_at = leave_at
        self._on_event = on_event
        self._position = "0"
        self._link: Link | None = None
        self._stopping = False
        self._thread: threading.Thread | None = None

    @property
    def position(self) -> int:
        return int(self._position)

    @property
    def connected(self) -> bool:
        return self._link is not None

    def start(self) -> Self:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def come_back(self, transport: str | None = None) -> None:
        """After it has left: go on from the last position, perhaps on another transport."""
        self.finished.clear()
        self._leave_at = None
        self.transport = transport or self.transport
        self.start()

    def cut(self, after_bytes: int = 0) -> bool:
        """Cut its connection, now or some bytes later; whether there was one."""
        link = self._link
        if link is None or link.was_cut:
            return False
        try:
            link.cut(after_bytes)
        except OSError:  # closed meanwhile
            return False
        return True

    def stop(self) -> None:
        """Give up."""
        self._stopping = True
        self.cut()

    def wait(self, timeout_s: float) -> None:
        """Wait until it has all, or has left."""
        if not self.finished.wait(timeout_s):
            raise AssertionError(
                f"the {self.transport} reader of {self.job} is at {self._position} "
                f"after {timeout_s} s: {self.account.types[-5:]}"
            )

    def _run(self) -> None:
        while not self._stopping:
            pause_s = RETURN_S
            try:
                self._read()
            except Ended:
                break
            except Cut:
                self.cuts += 1
            except (OSError, http.client.HTTPException) as error:
                self.breaks.append((time.monotonic(), f"{self.transport}: {error!r}"))
                pause_s = RETRY_S
            except Exception as error:  # noqa: BLE001 - what cannot be read, in whatever way
                self.account.torn.append(repr(error))
            if self._has_left():
                break
            time.sleep(self._random.uniform(*pause_s))
        self.finished.set()

    def _read(self) -> None:
        """One connection, from opening to end."""
        link = Link(self._address)
        self._link = link
        try:
            for position, envelope in TRANSPORTS[self.transport](link, self.job, self._position):
                self._take(position, envelope)
                if self._has_left():
                    return
        except (OSError, http.client.HTTPException):
            if link.was_cut:
                raise Cut from None
            raise
        finally:
            self._link = None
            link.close(abruptly=self._random.random() < 0.5)

    def _take(self, position: str | None, envelope: Envelope | None) -> None:
        if envelope is not None:
            self.account.take(envelope)
            if self._on_event is not None:
                self._on_event(envelope)
            if envelope["type"] == "stream.closing":
                time.sleep(envelope["data"]["retry_s"])
        self._position = position or self._position

    def _has_left(self) -> bool:
        return self._leave_at is not None and self.position >= self._leave_at


def read_sse(link: Link, job: str, position: str) -> Iterator[Arrival]:
    """Server-Sent Events, as WHATWG HTML 9.2 has them."""
    headers = {"Accept": "text/event-stream"}
    if position != "0":
        headers["Last-Event-ID"] = position
    response = _get(link, f"/v1/jobs/{job}/events", headers)
    if response.status == 204:
        raise Ended
    rest = b""
    for data in _pieces(link, response):
        *blocks, rest = (rest + data).split(b"\n\n")
        for block in blocks:
            yield _sse_block(block)
    if rest:
        raise Torn(f"the stream ended within a block: {rest[:100]!r}")


def read_websocket(link: Link, job: str, position: str) -> Iterator[Arrival]:
    """A WebSocket (RFC 6455)."""
    ws = WSConnection(ConnectionType.CLIENT)
    host = "{}:{}".format(*link.address)
    target = f"/v1/jobs/{job}/ws?after={position}"
    link.sock.sendall(ws.send(Request(host=host, target=target)))
    text = ""
    for data in link.pieces(link.sock.recv):
        try:
            ws.receive_data(data)
            events = list(ws.events())
        except RemoteProtocolError as error:
            raise Torn(f"broken frames: {error}") from error
        for event in events:
            if isinstance(event, TextMessage):
                text += event.data
                if event.message_finished:
                    envelope, text = _parse(text), ""
                    yield _position_of(envelope), envelope
            elif isinstance(event, Ping):
                with contextlib.suppress(LocalProtocolError):  # a close came right behind it
                    link.sock.sendall(ws.send(event.response()))
            elif isinstance(event, RejectConnection):
                raise ConnectionError(f"refused with {event.status_code}")
            elif isinstance(event, CloseConnection):
                link.sock.sendall(ws.send(event.response()))
                if event.code == 1000:
                    raise Ended
                return
            else:
                assert isinstance(event, AcceptConnection), event
    raise ConnectionError("the connection has ended without a close frame")


def read_poll(link: Link, job: str, position: str) -> Iterator[Arrival]:
    """Long polls over one connection."""
    while True:
        response = _get(link, f"/v1/jobs/{job}/poll?after={position}&wait={POLL_S}", {})
        page = _parse(b"".join(_pieces(link, response)))
        for event in page["events"]:
            position = _position_of(event) or position
            yield None, event
        if position != str(page["next"]):
            raise Torn(f"next is {page['next']} behind an event at {position}")
        yield position, None
        if page["closed"]:
            raise Ended
        if response.will_close:
            return


#: A reader's ways to watch.
TRANSPORTS: dict[str, Callable[[Link, str, str], Iterator[Arrival]]] = {
    "sse": read_sse,
    "websocket": read_websocket,
    "poll": read_poll,
}


def _get(link: Link, path: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(*link.address)
    connection.sock = link.sock
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    if response.status not in (200, 204):
        raise ConnectionError(f"refused with {response.status}: {response.read(500)!r}")
    return response


def _pieces(link: Link, response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The body as it comes. A connection that breaks within it raises."""
    yield from link.pieces(response.read1)
    if response.length:  # read1 does not raise where a body with a length breaks off
        raise http.client.IncompleteRead(b"", response.length)


def _sse_block(block: bytes) -> Arrival:
    fields: dict[bytes, bytes] = {}
    for line in block.split(b"\n"):
        name, colon, value = line.partition(b":")
        if not colon or b"\r" in line or name not in (b"", b"id", b"data", b"retry"):
            raise Torn(f"no line of an event stream: {line[:100]!r}")
        fields[name] = value.removeprefix(b" ")
    position = fields[b"id"].decode() if b"id" in fields else None
    if b"data" not in fields:
        return position, None
    envelope = _parse(fields[b"data"])
    if position != _position_of(envelope):
        raise Torn(f"id {position} with {str(envelope)[:100]}")
    return position, envelope


def _parse(text: str | bytes) -> Envelope:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise Torn(f"no JSON: {error}: {text[:100]!r}") from error
    if not isinstance(found, dict):
        raise Torn(f"no object: {text[:100]!r}")
    return found


def _position_of(envelope: Envelope) -> str | None:
    if envelope["type"] == "stream.snapshot":
        return str(envelope["data"]["seq"])
    return str(envelope["seq"]) if "seq" in envelope else None
