"""A WebSocket connection: whole frames out, messages in, without a thread of its own.

flask-sock and simple-websocket do the handshake. Their reader, a thread for each connection, is not
used: two threads that call `send` and ignore its result tear frames as soon as a peer reads slowly
(oddity 3). wsproto implements the protocol.
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

#: Seconds that a write may take: a peer that reads nothing for that long is gone.
SEND_S = 45.0
#: Bytes read at a time.
READ_BYTES = 1 << 16
#: Fragments of a message at most: empty ones have no size.
PARTS = 10_000
#: Reads in one call of `receive`.
READS = 4
#: Seconds for which a closed connection waits for its peer's Close, from when the peer's system
#: has ours: TCP ends within 2 s of it (oddity 8).
LINGER_S = 1.5
#: Seconds between checks whether the peer has still to take something that was sent.
LOOK_S = 0.1
#: Close code: the message was too large (RFC 6455, 7.4.1).
TOO_LARGE = 1009


class Closed(Exception):
    """Raised when the peer has closed the connection, or has broken the protocol."""


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
        #: Whether the next call raises `Closed`.
        self._ended = False
        #: The part of a message whose end has not arrived yet.
        self._parts: list[str | bytes] = []
        self._parts_size = 0
        #: When something last arrived from the peer, on the monotonic clock.
        self._heard_at = time.monotonic()
        #: Unsent bytes in the kernel at the last check.
        self._unsent = 0

    def send(self, *bodies: bytes) -> int:
        """Send each body as a text frame, in one write; the bytes. `TimeoutError` (`OSError`) when
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
        """The messages that have arrived, perhaps none; never waits. `Closed` after the last."""
        if self._ended:
            raise Closed
        messages: list[str | bytes] = []
        for _ in range(READS):  # no peer may monopolise the event loop
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
        """Send a Close, unless the connection is closed already."""
        with contextlib.suppress(OSError, LocalProtocolError):  # closed already, by either side
            self._write(self._protocol.send(CloseConnection(code, reason[:120])))

    def linger(self, *, patient: Callable[[], bool] = lambda: True) -> None:
        """Wait a moment for the peer's Close, then end our side of TCP.

        The kernel first sends what it still has: while `patient()`, the moment starts again
        whenever the peer takes some of that. What arrives is discarded: unread, it would make the
        kernel reset the connection.
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
        """Yield, check by check, until when to wait for the peer; ends when `linger` is over."""
        began = taken_at = time.monotonic()
        self._unsent = _unsent(self._sock)
        while (now := time.monotonic()) < min(
            began + SEND_S, (taken_at if patient() else began) + LINGER_S
        ):
            yield now + LOOK_S
            if self.taking():
                taken_at = time.monotonic()

    def _read_away(self, until: float) -> None:
        """Discard what arrives until then."""
        if _wait(self._sock, select.POLLIN, until - time.monotonic()):
            self._ended = False
            self.receive()

    def _drop(self, until: float) -> bool:
        """Discard what arrives after the end until then; False once the peer has ended its side."""
        while _wait(self._sock, select.POLLIN, until - time.monotonic()):
            if not self._sock.recv(READ_BYTES, socket.MSG_DONTWAIT):
                return False
        return True

    def silent_s(self) -> float:
        """Seconds since the last sign of life: something received, or some of the bytes in the
        kernel taken. A peer that is busy with a large frame cannot answer pings yet."""
        if self.taking():
            self._heard_at = time.monotonic()
        return time.monotonic() - self._heard_at

    def taking(self) -> bool:
        """Whether the peer has taken some of the unsent bytes since the last check."""
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
        except LocalProtocolError as error:  # something arrives after its end
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
    """The socket given to simple-websocket: it may send its 101, and its reader ends at once."""

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
    """Let flask-sock do the handshake, and no more.

    Compression is not negotiated (oddity 12).
    """
    environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
    for name in ("werkzeug.socket", "gunicorn.socket"):
        if name in environ:
            environ[name] = _Handshake(environ[name])


def send_all(sock: socket.socket, data: bytes | memoryview, until: float) -> bool:
    """Send all of it; `TimeoutError` (an `OSError`) when that takes longer than `until`.

    Returns whether the peer had to take some of it meanwhile, which is a sign of life.
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
    """Bytes that the kernel still has to send, where it reports them (SIOCOUTQ, Linux)."""
    try:
        (count,) = struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0" * 4))
    except (OSError, ValueError):
        return 0
    return int(count)


def _wait(sock: socket.socket, events: int, timeout_s: float) -> bool:
    poll = select.poll()  # gevent's where select is patched: other greenlets go on
    poll.register(sock, events)
    return timeout_s > 0 and bool(poll.poll(timeout_s * 1000))
