"""A proxy between browser and server that meddles: it refuses, cuts, or keeps things back."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from dataclasses import dataclass, field
from typing import Self

#: Bytes of a request's head at most.
HEAD_BYTES = 1 << 16


@dataclass
class Rule:
    """What happens to requests whose target has `part` in it, so many times; then they pass.

    `status`: answered with it, `cut_after`: cut when so many bytes of the answer (a random number
    of this range) have gone through, `silent`: its body is kept back.
    """

    part: str
    times: int = 1 << 30
    status: int | None = None
    headers: str = ""
    cut_after: tuple[int, int] | None = None
    silent: bool = False
    #: How often it was applied, and how many of these have come to be cut.
    applied: int = field(default=0, init=False)
    cuts: int = field(default=0, init=False)


class Proxy:
    """Each connection carries one request; `cut` ends those that are open."""

    def __init__(self, port: int, *, seed: int = 0) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        #: The open connections, each with its request's target; and those of them that are dead.
        self._open: dict[socket.socket, str] = {}
        self._dead: set[socket.socket] = set()
        #: The targets of all requests so far.
        self.targets: list[str] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        _shut(self._listener)  # closing alone does not wake who accepts
        self._listener.close()
        self.cut("")

    def rule(self, part: str, **options: object) -> Rule:
        """Meddle from now on."""
        made = Rule(part, **options)  # type: ignore[arg-type]
        with self._lock:
            self._rules.append(made)
        return made

    def drop(self, rule: Rule) -> None:
        """Meddle no more in this way."""
        with self._lock:
            self._rules.remove(rule)

    def open(self, part: str) -> list[str]:
        """The targets of open requests that have it in them."""
        with self._lock:
            return [target for target in self._open.values() if part in target]

    def cut(self, part: str) -> int:
        """Cut the open connections of requests that have it in them; how many."""
        found = self._with(part)
        for each in found:
            _shut(each)
        return len(found)

    def kill(self, part: str) -> int:
        """Let nothing more through to these, without a word, as a router that forgot them."""
        found = self._with(part)
        with self._lock:
            self._dead.update(found)
        return len(found)

    def _with(self, part: str) -> list[socket.socket]:
        with self._lock:
            return [each for each, target in self._open.items() if part in target]

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:  # cut, by whichever side
            head, rest = _read_head(client)
            if not head:
                return
            target = head.split(b" ", 2)[1].decode()
            with self._lock:
                self.targets.append(target)
                self._open[client] = target
            try:
                self._pass(client, head, rest, self._matching(target))
            finally:
                with self._lock:
                    del self._open[client]
                    self._dead.discard(client)

    def _matching(self, target: str) -> Rule | None:
        with self._lock:
            for rule in self._rules:
                if rule.part in target and rule.applied < rule.times:
                    rule.applied += 1
                    return rule
        return None

    def _pass(self, client: socket.socket, head: bytes, rest: bytes, rule: Rule | None) -> None:
        if rule is not None and rule.status is not None:
            client.sendall(
                f"HTTP/1.1 {rule.status} Meddled\r\nContent-Length: 0\r\n{rule.headers}"
                "Connection: close\r\n\r\n".encode()
            )
            return
        with socket.create_connection(("127.0.0.1", self._target)) as server:
            server.sendall(_closing(head) + rest)
            args = (client, server)
            threading.Thread(target=_pump, args=args, daemon=True).start()
            left = self._random.randint(*rule.cut_after) if rule and rule.cut_after else 1 << 60
            self._answer(server, client, left, rule)

    def _answer(
        self, server: socket.socket, client: socket.socket, left: int, rule: Rule | None
    ) -> None:
        silent = rule is not None and rule.silent
        while left > 0 and (data := server.recv(1 << 16)):
            if silent:
                head, end, _ = data.partition(b"\r\n\r\n")
                data = head + end if head.startswith(b"HTTP/") else b""
            if client in self._dead:
                continue
            client.sendall(data[:left])
            left -= len(data)
        if rule is not None and left <= 0:
            rule.cuts += 1
            server.recv(
                1
            )  # browsers throw away what they have not yet read when a connection is cut
        _shut(client)


def _read_head(client: socket.socket) -> tuple[bytes, bytes]:
    """A request's head, its end included, and what came with it; nothing when there is none."""
    data = b""
    while b"\r\n\r\n" not in data and len(data) < HEAD_BYTES:
        part = client.recv(1 << 16)
        if not part:
            return b"", b""
        data += part
    head, end, rest = data.partition(b"\r\n\r\n")
    return head + end, rest


def _closing(head: bytes) -> bytes:
    """The head of a request after which the server closes the connection, unless it upgrades."""
    lines = head.split(b"\r\n")
    if any(line.lower().startswith(b"upgrade:") for line in lines):
        return head
    kept = [line for line in lines if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([kept[0], b"Connection: close", *kept[1:]])


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):  # cut, by whichever side
        while data := source.recv(1 << 16):
            target.sendall(data)
    _shut(target)


def _shut(each: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it was already
        each.shutdown(socket.SHUT_RDWR)
