"""Thousands of SSE readers in one process: raw sockets in one loop, each with its position."""

from __future__ import annotations

import selectors
import socket
import time
from datetime import datetime

#: Bytes read of one socket in one go.
CHUNK = 1 << 16
#: Seconds to connect.
CONNECT_S = 30.0


class Crowd:
    """Readers of jobs on one server. `listen` measures from an event's `at` to its arrival."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._selector = selectors.DefaultSelector()
        self._sockets: list[socket.socket] = []
        self._rest: dict[socket.socket, bytes] = {}
        #: Seconds from the making of an event to its arrival, of those that were measured.
        self.delays: list[float] = []
        self.events = 0

    def join(self, job: str, after: int) -> None:
        """One more reader of a job, from a position on."""
        reader = socket.create_connection(self._address, timeout=CONNECT_S)
        request = f"GET /v1/jobs/{job}/events?after={after} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        reader.sendall(request.encode())
        answer = reader.recv(200)
        if b" 200 " not in answer[:20]:
            raise ConnectionError(f"a reader was refused: {answer[:100]!r}")
        reader.setblocking(False)
        self._selector.register(reader, selectors.EVENT_READ)
        self._sockets.append(reader)
        self._rest[reader] = b""

    def listen(self, seconds: float, *, sample: int = 1) -> None:
        """Take what comes; the delay of one event in `sample` is measured."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            for key, _ in self._selector.select(min(left, 0.2)):
                reader = key.fileobj
                assert isinstance(reader, socket.socket)
                self._take(reader, sample)

    def leave(self) -> None:
        for reader in self._sockets:
            self._selector.unregister(reader)
            reader.close()
        self._sockets, self._rest = [], {}

    def _take(self, reader: socket.socket, sample: int) -> None:
        try:
            data = reader.recv(CHUNK)
        except BlockingIOError:
            return
        now = time.time()
        if not data:
            raise ConnectionError("the server has closed a reader")
        *blocks, self._rest[reader] = (self._rest[reader] + data).split(b"\n\n")
        for block in blocks:
            start = block.find(b'"at":"') + 6
            if start < 6:  # a comment, or said of the stream: under load, that it is degraded
                continue
            self.events += 1
            if self.events % sample == 0:
                at = datetime.fromisoformat(block[start : block.index(b'"', start)].decode())
                self.delays.append(now - at.timestamp())


def percentile(values: list[float], share: float) -> float:
    """The value below which so much of them lies; 0 without values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
