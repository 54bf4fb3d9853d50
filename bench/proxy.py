"""A TCP proxy with the habits of real ones: it counts, holds answers back, or gives up waiting."""

from __future__ import annotations

import contextlib
import re
import select
import socket
import threading
import time
from typing import Self

#: Bytes that a buffering proxy gathers before it passes them on.
BUFFER = 16 << 10
GATEWAY_TIMEOUT = b"HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Proxy:
    """Passes connections on to `port`. `cut` ends all that are open."""

    def __init__(self, port: int, *, buffering: bool = False, timeout_s: float = 600.0) -> None:
        self._upstream = ("127.0.0.1", port)
        self._buffering = buffering
        self._timeout_s = timeout_s
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        #: Bytes in both directions, requests, and connections on which it gave up.
        self.bytes = self.requests = self.given_up = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        with self._lock:
            sockets, self._open = self._open, set()
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._upstream) as server:
            with self._lock:
                self._open |= {client, server}
            with contextlib.suppress(OSError):
                self._pass(client, server)
            with self._lock:
                self._open -= {client, server}

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        held, waiting_since, answered = b"", time.monotonic(), False
        tunnel = not self._buffering
        while True:
            left = waiting_since + self._timeout_s - time.monotonic()
            ready = select.select([client, server], [], [], max(0.0, left))[0]
            if not ready:
                self.given_up += 1
                if not answered:
                    client.sendall(GATEWAY_TIMEOUT)
                return
            if client in ready:
                data = client.recv(65536)
                if not data:
                    return
                self._count(data)
                self.requests += len(re.findall(rb"^(?:GET|POST) ", data, re.MULTILINE))
                server.sendall(data)
                waiting_since, answered = time.monotonic(), False
            if server in ready:
                data = server.recv(65536)
                self._count(data)
                held += data
                waiting_since = time.monotonic()
                tunnel = tunnel or held.startswith(b"HTTP/1.1 101")
                if not data or tunnel or not holds(held):
                    client.sendall(held)
                    answered = answered or bool(held)
                    held = b""
                if not data:
                    return

    def _count(self, data: bytes) -> None:
        self.bytes += len(data)


def holds(held: bytes) -> bool:
    """Whether a buffering proxy waits for more of this answer."""
    if len(held) >= BUFFER:
        return False
    head, whole, body = held.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)^content-length: (\d+)", head, re.MULTILINE)
    if whole and length:
        return len(body) < int(length[1])
    return not held.endswith(b"0\r\n\r\n")
