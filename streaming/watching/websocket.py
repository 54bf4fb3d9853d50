"""A WebSocket connection: frames out whole, messages in, without a thread of its own.

flask-sock and simple-websocket do the handshake. Their reader (a thread for each connection) is
sent home: `send` from two threads, and its result ignored, would tear frames as soon as a peer
reads slowly (oddity 3). wsproto knows the protocol.
"""

from __future__ import annotations

import contextlib
import fcntl
import select
import socket
import struct
import termios
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from wsproto.connection import Connection as Protocol, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.utilities import LocalProtocolError

from streaming.events.wire import ws_text

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

#: Seconds that a write may take: a peer that reads nothing for so long is gone.
SEND_S = 45.0
#: Bytes that are read in one go.
READ_BYTES = 1 << 16
#: Fragments of a message at most: empty ones have no size.
PARTS = 10_000
#: Reads at a time.
READS = 4
#: Seconds for which a closed connection waits for its peer's Close, from when the peer's system
#: has ours: TCP ends within 2 s of it (oddity 8).
LINGER_S = 1.5
#: Seconds between looks whether something of what was sent is still to be taken.
LOOK_S = 0.1
#: Close code: the message was larger than is taken (RFC 6455, 7.4.1).
TOO_LARGE = 1009


class Closed(Exception):
    """Raised when the peer has closed the connection, or the protocol has."""


class Connection:
    """One connection after its handshake; for its handler alone."""

    __slots__ = (
        "_ended",
        "_heard_at",
        "_max_message_bytes",
        "_parts",
        "_parts_size",
        "_protocol",
        "_sock",
        "_unsent",
    )

    def __init__(self, sock: socket.socket, *, max_message_bytes: int) -> None:
        self._protocol = Protocol(ConnectionType.SERVER)
        self._sock = sock
        self._max_message_bytes = max_message_bytes
        #: `Closed` is raised at the next call.
        self._ended = False
        #: A message whose end has not arrived.
        self._parts: list[str | bytes] = []
        self._parts_size = 0
        #: When the peer was heard last, on the monotonic clock.
        self._heard_at = time.monotonic()
        #: Bytes that waited in the kernel at the last look.
        self._unsent = 0

    def send(self, *bodies: bytes) -> int:
        """Each body as a text frame, in one write; the bytes. `TimeoutError` (an `OSError`) when
        the peer does not take them in `SEND_S`. Nothing follows a Close (RFC 6455, 5.5.1)."""
        if not self._is_open:
            return 0
        data = b"".join(map(ws_text, bodies))
        self._write(data)
        return len(data)

    def ping(self) -> None:
        if self._is_open:
            self._write(self._protocol.send(Ping()))

    @property
    def ended(self) -> bool:
        """Whether `receive` has nothing more to give: the next call raises `Closed`."""
        return self._ended

    def receive(self) -> list[str | bytes]:
        """The messages that have arrived, perhaps none; never waits. `Closed` behind the last."""
        if self._ended:
            raise Closed
        messages: list[str | bytes] = []
        for _ in range(READS):  # no peer has the event loop for itself
            try:
                data = self._sock.recv(READ_BYTES, socket.MSG_DONTWAIT)
            except (BlockingIOError, InterruptedError):
                break
            try:
                self._take(data, messages)
            except Closed:
                self._ended = True
                if not messages:
                    raise
            if messages:
                break
        return messages

    def close(self, code: int, reason: str) -> None:
        """Say that the connection is closed, unless it is already."""
        with contextlib.suppress(OSError, LocalProtocolError):  # closed already, or the peer is
            self._write(self._protocol.send(CloseConnection(code, reason[:120])))

    def linger(self, *, patient: Callable[[], bool] = lambda: True) -> None:
        """Wait for the peer's Close for a moment, then end our side of TCP.

        What the kernel has still to send it sends first: while `patient()`, the moment counts from
        when the peer took some of that. Whatever comes is read away: unread, it would reset TCP.
        """
        looks = self._looks(patient)
        with contextlib.suppress(OSError, Closed):
            while self._protocol.state is not ConnectionState.CLOSED:
                if (until := next(looks, None)) is None:
                    break
                self._read_away(until)
        with contextlib.suppress(OSError):  # the peer has gone
            self._sock.shutdown(socket.SHUT_WR)
            self._unsent = _unsent(self._sock)  # our end, too, until the peer's system has it
            for until in looks:
                if not self._unsent or not self._drop(until):
                    break

    def _looks(self, patient: Callable[[], bool]) -> Iterator[float]:
        """Until when to wait for the peer, look by look; it ends when `linger` is over."""
        began = taken_at = time.monotonic()
        self._unsent = _unsent(self._sock)
        while (now := time.monotonic()) < min(
            began + SEND_S, (taken_at if patient() else began) + LINGER_S
        ):
            yield now + LOOK_S
            if self.taking():
                taken_at = time.monotonic()

    def _read_away(self, until: float) -> None:
        """Take what comes by then."""
        if _wait(self._sock, select.POLLIN, until - time.monotonic()):
            self._ended = False
            self.receive()

    def _drop(self, until: float) -> bool:
        """Read away what comes behind the end by then; False when the peer's side is over."""
        while _wait(self._sock, select.POLLIN, until - time.monotonic()):
            if not self._sock.recv(READ_BYTES, socket.MSG_DONTWAIT):
                return False
        return True

    def silent_s(self) -> float:
        """Seconds since the last sign of life: something received, or something taken of what
        waits in the kernel. A peer that is busy with a large frame cannot answer pings yet."""
        if self.taking():
            self._heard_at = time.monotonic()
        return time.monotonic() - self._heard_at

    def taking(self) -> bool:
        """Whether the peer has taken some of what waits for it, since the last look."""
        before, self._unsent = self._unsent, _unsent(self._sock)
        return self._unsent < before

    def _write(self, data: bytes) -> None:
        if send_all(self._sock, data, time.monotonic() + SEND_S):
            self._heard_at = time.monotonic()

    def _take(self, data: bytes, messages: list[str | bytes]) -> None:
        self._heard_at = time.monotonic()
        try:
            self._protocol.receive_data(data or None)
            for event in self._protocol.events():
                self._handle(event, messages)
        except LocalProtocolError as error:  # something comes behind its end
            raise Closed from error

    def _handle(self, event: Event, messages: list[str | bytes]) -> None:
        if isinstance(event, Ping) and self._is_open:
            self._write(self._protocol.send(event.response()))
        elif isinstance(event, CloseConnection):
            if self._protocol.state is not ConnectionState.CLOSED:
                with contextlib.suppress(OSError):
                    self._write(self._protocol.send(event.response()))
            raise Closed
        elif isinstance(event, TextMessage | BytesMessage) and self._is_open:
            self._gather(event, messages)

    @property
    def _is_open(self) -> bool:
        return bool(self._protocol.state is ConnectionState.OPEN)

    def _gather(self, event: TextMessage | BytesMessage, messages: list[str | bytes]) -> None:
        if isinstance(event, TextMessage):
            self._parts.append(event.data)
            self._parts_size += len(event.data.encode())
        else:
            self._parts.append(bytes(event.data))
            self._parts_size += len(event.data)
        if self._parts_size > self._max_message_bytes or len(self._parts) > PARTS:
            self.close(TOO_LARGE, f"a message has {self._max_message_bytes} bytes at most")
            raise Closed
        if event.message_finished:
            empty = "" if isinstance(event, TextMessage) else b""
            messages.append(empty.join(self._parts))  # type: ignore[arg-type]
            self._parts, self._parts_size = [], 0


class _Handshake:
    """The socket as simple-websocket gets it: it may send its 101, and its reader ends at once."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self._sock: socket.socket = getattr(real, "_sock", real)

    def send(self, data: bytes) -> int:
        send_all(self._sock, data, time.monotonic() + SEND_S)
        return len(data)

    def recv(self, _size: int) -> bytes:
        raise ConnectionResetError("somebody else reads")

    def close(self) -> None:
        return None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def prepare_handshake(environ: WSGIEnvironment) -> None:
    """Have flask-sock do the handshake, and no more.

    Compression is not agreed on (oddity 12).
    """
    environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
    for name in ("werkzeug.socket", "gunicorn.socket"):
        if name in environ:
            environ[name] = _Handshake(environ[name])


def send_all(sock: socket.socket, data: bytes | memoryview, until: float) -> bool:
    """Send it whole; `TimeoutError` (an `OSError`) when that lasts beyond `until`.

    Whether the peer had to take some of it: that is a sign of life.
    """
    rest, waited = memoryview(data), False
    while rest:
        try:
            rest = rest[sock.send(rest, socket.MSG_DONTWAIT) :]
        except (BlockingIOError, InterruptedError):
            if not _wait(sock, select.POLLOUT, until - time.monotonic()):
                raise TimeoutError("the peer takes no data") from None
            waited = True
    return waited


def _unsent(sock: socket.socket) -> int:
    """Bytes that the kernel still has to send, where it tells (SIOCOUTQ, Linux)."""
    try:
        (count,) = struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0" * 4))
    except (OSError, ValueError):
        return 0
    return int(count)


def _wait(sock: socket.socket, events: int, timeout_s: float) -> bool:
    poll = select.poll()  # gevent's, where it has patched select: other greenlets go on
    poll.register(sock, events)
    return timeout_s > 0 and bool(poll.poll(timeout_s * 1000))
