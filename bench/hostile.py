"""A hostile proxy: it cuts, delays, dribbles, holds back and refuses, until it is told to stop."""

from __future__ import annotations

import contextlib
import random
import select
import socket
import threading
import time
from typing import Self

#: Bytes of an answer after which its connection is cut, at most.
LONGEST = 4000
#: What happens to a request that watches, and how often.
FAULTS = {"cut": 60, "refuse": 10, "dribble": 10, "delay": 10, "hold": 10}
#: Bytes that are held back, and the seconds after which they are let go in any case.
HELD, HELD_S = 2048, 0.4
REFUSAL = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
#: Parts of the targets that it meddles with; all others pass.
WATCHING = (b"/events", b"/poll", b"/ws")


class HostileProxy:
    """Stands in front of `port`. Each connection carries one request."""

    def __init__(self, port: int, *, seed: int = 0) -> None:
        self._upstream = ("127.0.0.1", port)
        self._random = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._calm = threading.Event()
        #: Connections that were cut or refused.
        self.cuts = 0
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="hostile-proxy", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        shut(self._listener)  # closing alone does not wake who accepts
        self._listener.close()
        with self._lock:
            still_open = list(self._open)
        for each in still_open:
            shut(each)

    def calm(self) -> None:
        """Meddle no more."""
        self._calm.set()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:  # gone, on whichever side
            head, rest = read_head(client)
            if not head:
                return
            with self._lock:
                self._open.add(client)
                fault, left = self._choose(head)
            try:
                self._pass(client, head, rest, fault, left)
            finally:
                with self._lock:
                    self._open.discard(client)

    def _choose(self, head: bytes) -> tuple[str | None, int]:
        watches = any(part in head.split(b"\r\n", 1)[0] for part in WATCHING)
        if self._calm.is_set() or not watches:
            return None, 1 << 60
        [fault] = self._random.choices(list(FAULTS), list(FAULTS.values()))
        return fault, self._random.randint(0, LONGEST)

    def _pass(
        self, client: socket.socket, head: bytes, rest: bytes, fault: str | None, left: int
    ) -> None:
        if fault == "refuse":
            self._count()
            client.sendall(REFUSAL)
            return
        with socket.create_connection(self._upstream) as server:
            server.sendall(closing(head) + rest)
            threading.Thread(target=pump, args=(client, server), daemon=True).start()
            whole = self._answer(server, client, fault, left)
            if not whole:
                self._count()
            shut(client)

    def _answer(
        self, server: socket.socket, client: socket.socket, fault: str | None, left: int
    ) -> bool:
        """Whether the answer came to its own end."""
        while left > 0:
            data = _held(server) if fault == "hold" else server.recv(1 << 16)
            if not data:
                return True
            data = data[:left]
            left -= len(data)
            if fault == "dribble":
                for at in range(0, len(data), 97):
                    client.sendall(data[at : at + 97])
                    time.sleep(0.0005)
                continue
            if fault == "delay":
                time.sleep(0.05)
            client.sendall(data)
        return False

    def _count(self) -> None:
        with self._lock:
            self.cuts += 1


def _held(server: socket.socket) -> bytes:
    """What has gathered when there is enough of it, or after a while."""
    held, until = b"", time.monotonic() + HELD_S
    while len(held) < HELD:
        wait_s = max(0.0, until - time.monotonic()) if held else None
        if not select.select([server], [], [], wait_s)[0]:
            return held
        data = server.recv(1 << 16)
        if not data:
            return held
        held += data
    return held


def read_head(client: socket.socket) -> tuple[bytes, bytes]:
    """A request's head, its end included, and what came with it; nothing when there is none."""
    data = b""
    while b"\r\n\r\n" not in data and len(data) < 1 << 16:
        part = client.recv(1 << 16)
        if not part:
            return b"", b""
        data += part
    head, end, rest = data.partition(b"\r\n\r\n")
    return head + end, rest


def closing(head: bytes) -> bytes:
    """The head of a request after which the server closes the connection, unless it upgrades."""
    lines = head.split(b"\r\n")
    if any(line.lower().startswith(b"upgrade:") for line in lines):
        return head
    kept = [line for line in lines if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([kept[0], b"Connection: close", *kept[1:]])


def pump(source: socket.socket, target: socket.socket) -> None:
    """Pass on what comes, to its end."""
    with contextlib.suppress(OSError):  # cut, by whichever side
        while data := source.recv(1 << 16):
            target.sendall(data)
    shut(target)


def shut(each: socket.socket) -> None:
    """End a connection that may have ended."""
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
