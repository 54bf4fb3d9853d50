"""Readers of event streams by the thousand: raw sockets in one loop, counting what arrives."""

from __future__ import annotations

import base64
import os
import re
import selectors
import socket
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

#: Bytes read of one socket in one go.
CHUNK = 1 << 18
#: Every event has this once, whoever sends it.
MARKER = b'"seq":'
#: Epoch seconds, to a tenth of a millisecond at the least.
_STAMP = re.compile(rb"[0-9]{10}\.[0-9]{4,6}")
#: Of the reads with events, one in so many is measured.
SAMPLE = 7


@dataclass(frozen=True)
class Target:
    """How to open one stream, and where an event says when it was made (epoch seconds)."""

    request: bytes
    stamp: bytes
    #: Long polls: the request behind a position, and where the answer says the next one.
    poll: Callable[[bytes], bytes] | None = None


@dataclass
class Load:
    """`count` readers at one address."""

    address: tuple[str, int]
    delays: list[float] = field(default_factory=list)
    first_s: list[float] = field(default_factory=list)
    events: int = 0
    began: float = 0.0
    ended: float = 0.0

    def __post_init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._readers: list[_Reader] = []

    def open(self, targets: list[Target], *, per_s: float = 0.0) -> None:
        """Open streams; those that are open are read meanwhile. Waits for their headers."""
        began = time.monotonic()
        for number, target in enumerate(targets):
            while per_s and time.monotonic() < began + number / per_s:
                self._turn(0.001)
            reader = _Reader(self, target)
            self._readers.append(reader)
            self._selector.register(reader.socket, selectors.EVENT_READ, reader)
            if not number % 20:
                self._turn(0)
        self.until(lambda: all(reader.open for reader in self._readers), 60)

    def until(self, done: Callable[[], bool], seconds: float) -> bool:
        """Read until `done()`; whether that came in time."""
        until = time.monotonic() + seconds
        while not done():
            if time.monotonic() > until:
                return False
            self._turn(0.05)
        return True

    def received(self, each: int) -> bool:
        """Whether every reader has so many events."""
        return all(reader.events >= each for reader in self._readers if not reader.stalled)

    def stall(self, every: int) -> None:
        """One reader in so many reads no more."""
        for reader in self._readers[::every]:
            reader.stalled = True
            self._selector.unregister(reader.socket)

    def drop(self, sock: socket.socket) -> None:
        """Read it no more."""
        self._selector.unregister(sock)

    def close(self) -> None:
        for reader in self._readers:
            reader.socket.close()
        self._selector.close()

    def percentile(self, share: float) -> float:
        """Of the delays, in ms."""
        if len(self.delays) < 2:
            return 0.0
        return 1000 * statistics.quantiles(self.delays, n=1000)[round(share * 1000) - 1]

    def _turn(self, timeout: float) -> None:
        for key, _ in self._selector.select(timeout):
            key.data.read()


class _Reader:
    def __init__(self, load: Load, target: Target) -> None:
        self._load = load
        self._target = target
        self._asked_at = time.monotonic()
        self._rest = b""
        self.events = 0
        self.open = False
        self.stalled = False
        self.socket = socket.create_connection(load.address, timeout=30)
        self.socket.sendall(target.request)
        self.socket.setblocking(False)
        if target.poll is not None:
            self.open = True

    def read(self) -> None:
        try:
            data = self.socket.recv(CHUNK)
        except BlockingIOError:
            return
        if not data:  # a job has ended, or a reader was cut off: the count of events tells
            self._load.drop(self.socket)
            return
        if not self.open:
            self._check(data)
        data = self._rest + data
        found = data.count(MARKER)
        self._rest = data[-len(MARKER) + 1 :] if not found else data[data.rfind(MARKER) + 1 :]
        if found:
            self._count(found, data)
        if self._target.poll is not None and b'"next":' in data:
            position = data[data.rindex(b'"next":') + 7 :]
            self._rest = b""
            self.socket.sendall(self._target.poll(position.split(b",")[0].strip(b" }\r\n")))

    def _check(self, data: bytes) -> None:
        if not data.startswith((b"HTTP/1.1 200", b"HTTP/1.1 101")):
            raise ConnectionError(f"a reader was refused: {data[:100]!r}")
        self.open = True

    def _count(self, found: int, data: bytes) -> None:
        now = time.monotonic()
        load = self._load
        if not self.events:
            load.first_s.append(now - self._asked_at)
        load.began = load.began or now
        load.ended = now
        self.events += found
        load.events += found
        if load.events % SAMPLE < found and self._target.stamp in data:
            start = data.rindex(self._target.stamp) + len(self._target.stamp)
            stamp = _STAMP.match(data, start)
            if stamp is not None:
                load.delays.append(time.time() - float(stamp[0]))


def get(path: str, **headers: str) -> bytes:
    """A GET, as raw bytes."""
    lines = [f"GET {path} HTTP/1.1", "Host: localhost"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def upgrade(path: str, **headers: str) -> bytes:
    """The request that opens a WebSocket."""
    key = base64.b64encode(os.urandom(16)).decode()
    return get(
        path,
        Connection="Upgrade",
        Upgrade="websocket",
        Sec_WebSocket_Version="13",
        Sec_WebSocket_Key=key,
        **headers,
    )
