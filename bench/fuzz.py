"""Raw bytes to the port: requests of every route, bent, cut and garbled, and WebSocket frames.

Each case is made of the seed and its number alone: `--only N` sends one again. Exit status 0 only
when no answer was a 500, no traceback is in the server's log, the server answers, and it holds
afterwards what it held before.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import re
import socket
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from bench.abuse import kept, settled, state
from bench.held import Held
from tests.e2e.server import Server

#: Seconds that an answer may take before the connection is dropped, and bytes of it that are read.
WAIT_S, READ = 0.25, 1 << 16
#: Cases at once, and those ahead of all, so that what is loaded once is there.
CONNECTIONS, WARM = 16, 200

_STATUS = re.compile(rb"(?:^|\r\n\r\n|\})HTTP/1\.[01] (\d{3})")
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "get", "G E T", "")
_HOSTS = ("localhost", "127.0.0.1:1", "a b", "", "[::1", "x" * 300, "é", "localhost\x00")
_NUMBERS = ("0", "1", "-1", "1e9", "9" * 40, "0x10", "²", "NaN", "", " 5", "5;6", "1,2", "null")
_TEXTS = (
    "%00",
    "%ff%fe",
    "%",
    "%zz",
    "..%2f..%2f",
    "'\"<>",
    "\u2028",
    "💥",
    "a" * 3000,
    "+",
    "%0d%0aX:y",
)
#: Headers that the service reads, each with values that it may be sent.
_HEADERS: Mapping[str, Sequence[str]] = {
    "Accept": ("text/event-stream", "application/x-ndjson", "*/*;q=", "application/json", ";;,"),
    "Accept-Encoding": ("gzip", "br;q=0", "\x01"),
    "Authorization": ("Bearer ", "Bearer x", "Basic !!!", "Bearer \xff", "Digest a=b"),
    "Content-Encoding": ("gzip", "deflate", "zz"),
    "Content-Length": ("0", "5", "-1", "+5", "5, 5", "5, 6", "9" * 30, "0x5", " 5 ", "１"),
    "Content-Type": (
        *(
            "application/json",
            "application/json; charset=utf-16",
            "text/plain",
            "multipart/form-data",
        ),
        *(
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=b",
            "application/x-www-form-urlencoded",
        ),
        *("application/json; charset=none", "application/json; charset=rot13", ";", "\xff/\xff"),
    ),
    "Cookie": ("a=b; c", "=", "\xff=\xff", "streaming=" + "x" * 4000),
    "Expect": ("100-continue", "200-ok"),
    "Forwarded": ("for=x;proto=zz", '"'),
    "Idempotency-Key": ("k", "", "k" * 300, "\xff", "a b"),
    "If-None-Match": ("*", 'W/"1"', '"', "\xff"),
    "Last-Event-ID": (*_NUMBERS, "job_x:5", "1-1", "\xff", "a" * 5000),
    "Origin": ("null", "http://evil.example", "http://[", "\xff"),
    "Prefer": ("wait=0", "wait=-1", "wait=x", "respond-async, wait=0.1", "wait=1e400"),
    "Range": ("bytes=0-", "bytes=-1", "bytes=9-1", "bytes=a-b", "bytes=0-0,5-6", "lines=1-2"),
    "Transfer-Encoding": ("chunked", "gzip, chunked", "chunked, chunked", "x", "identity"),
    "Upgrade": ("websocket", "h2c", "websocket, foo"),
    "X-Forwarded-For": ("1.2.3.4, x", "\xff"),
    "X-On-Disconnect": ("cancel", "continue", "?"),
    "X-Request-ID": ("r" * 500, "a\tb", "\xff"),
    "traceparent": ("00-" + "0" * 32 + "-" + "0" * 16 + "-00", "zz"),
    "MCP-Protocol-Version": ("2025-11-25", "1", ""),
    "MCP-Session-Id": ("x", ""),
}
_WS_HEADERS: Mapping[str, Sequence[str]] = {
    "Sec-WebSocket-Version": ("13", "8", "13, 8", "", "x"),
    "Sec-WebSocket-Key": ("dGhlIHNhbXBsZSBub25jZQ==", "abc", "", "=" * 24, "\xff"),
    "Sec-WebSocket-Extensions": ("permessage-deflate; client_max_window_bits", ";;", "\xff"),
    "Sec-WebSocket-Protocol": ("a, b", "", "\xff", "v1, ,"),
    "Connection": ("Upgrade", "keep-alive, Upgrade", "close", ""),
}
_VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1e308,
        10**40,
        "",
        "x",
        "\ud800",
        "\x00",
        [],
        {},
        [[]],
        [None] * 50,
    ),
    *(
        {"": ""},
        {"type": "text"},
        "a" * 5000,
        0.1,
        "2024-01-01",
        "https://x",
        [{"role": "user", "content": None}],
    ),
)


@dataclass(frozen=True)
class Route:
    """A method and a path of the service, with names of its members."""

    method: str
    path: str
    query: tuple[str, ...]
    body: tuple[str, ...]


def routes_of(document: Mapping[str, Any]) -> list[Route]:
    """What /openapi.json lists, and what it cannot."""
    schemas = document.get("components", {}).get("schemas", {})
    found = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if not isinstance(operation, dict) or method == "parameters":
                continue
            names = [each.get("name", "") for each in operation.get("parameters", [])]
            content = operation.get("requestBody", {}).get("content", {})
            members = {
                name
                for kind in content.values()
                for name in _members(kind.get("schema", {}), schemas)
            }
            found.append(Route(method.upper(), path, tuple(names), tuple(sorted(members))))
    return [*found, *(Route("GET", path, ("ticket",), ()) for path in ("/v1/ws", "/", "/nothing"))]


def _members(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> set[str]:
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    known = schemas.get(name, schema)
    return set(known.get("properties", {}))


class Cases:
    """What is sent as case `number`: always the same."""

    def __init__(self, seed: int, routes: Sequence[Route], jobs: Sequence[str]) -> None:
        self._seed, self._routes, self._jobs = seed, routes, jobs

    def make(self, number: int) -> bytes:
        chance = random.Random(f"{self._seed}:{number}")
        kind = chance.choices(
            (self._request, self._socket, self._pipeline, self._garbage), (70, 20, 6, 4)
        )[0]
        return kind(chance)

    def _request(self, chance: random.Random) -> bytes:
        route = chance.choice(self._routes)
        headers = self._headers(chance, _HEADERS, 3)
        data = self._body(chance, route)
        if route.method in ("POST", "PUT", "PATCH") or chance.random() < 0.1:
            data, framing = self._framed(chance, data)
            headers = {"Content-Type": "application/json", **headers, **framing}
        else:
            data = b""
        method = route.method if chance.random() < 0.9 else chance.choice(_METHODS)
        return self._bent(chance, self._head(chance, method, route, headers)) + data

    def _socket(self, chance: random.Random) -> bytes:
        """A handshake, mostly a good one, and frames behind it."""
        paths = [
            f"/v1/jobs/{chance.choice(self._jobs)}/ws",
            "/v1/ws",
            "/v1/responses",
            "/v1/ui/chat",
        ]
        good = {name: values[0] for name, values in _WS_HEADERS.items()} | {"Upgrade": "websocket"}
        del good["Sec-WebSocket-Protocol"]
        if chance.random() < 0.3:
            good |= self._headers(chance, _WS_HEADERS, 2)
        route = Route("GET", chance.choice(paths), ("after", "ticket", "types"), ())
        head = self._head(chance, "GET", route, good)
        frames = b"".join(self._frame(chance) for _ in range(chance.randint(0, 5)))
        return self._bent(chance, head, share=0.1) + frames

    def _pipeline(self, chance: random.Random) -> bytes:
        return b"".join(self._request(chance) for _ in range(chance.randint(2, 4)))

    def _garbage(self, chance: random.Random) -> bytes:
        return chance.choice(
            (
                chance.randbytes(chance.randint(0, 4000)),
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + chance.randbytes(40),
                b"\x16\x03\x01\x02\x00\x01" + chance.randbytes(200),
                b"\r\n" * chance.randint(1, 500),
                b"GET /healthz\r\n\r\n",
                b"GET " + b"/" * 20_000 + b" HTTP/1.1\r\n\r\n",
                b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 2000 + b"\r\n",
            )
        )

    def _head(
        self, chance: random.Random, method: str, route: Route, headers: Mapping[str, str]
    ) -> bytes:
        host = "localhost" if chance.random() < 0.97 else chance.choice(_HOSTS)
        version = (
            "HTTP/1.1" if chance.random() < 0.95 else chance.choice(("HTTP/1.0", "HTTP/9.9", ""))
        )
        lines = [f"{method} {self._target(chance, route)} {version}", f"Host: {host}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if chance.random() < 0.05:
            lines.append(chance.choice(lines[1:]))
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogatepass")

    def _target(self, chance: random.Random, route: Route) -> str:
        def fill(_: re.Match[str]) -> str:
            odd = chance.random() < 0.25
            return _quoted(chance, chance.choice((*_TEXTS, *_NUMBERS) if odd else self._jobs))

        path = re.sub(r"\{[^}]*\}", fill, route.path)
        names = [*route.query, "after", "wait", "limit", "types", "lastEventId", "transport", "x"]
        asked = [
            f"{chance.choice(names)}={_quoted(chance, chance.choice((*_NUMBERS, *_TEXTS)))}"
            for _ in range(chance.choice((0, 0, 1, 2, 5)))
        ]
        return path + ("?" + "&".join(asked) if asked else "")

    @staticmethod
    def _headers(
        chance: random.Random, known: Mapping[str, Sequence[str]], most: int
    ) -> dict[str, str]:
        names = chance.sample(sorted(known), chance.randint(0, most))
        return {name: chance.choice(known[name]) for name in names}

    def _body(self, chance: random.Random, route: Route) -> bytes:
        if chance.random() < 0.15:
            return chance.choice(
                (
                    *(
                        b"",
                        b"{",
                        b"[" * 5000,
                        b"\xff\xfe",
                        chance.randbytes(300),
                        b"null",
                        b"1e999",
                    ),
                    *(b'{"a":1}{"b":2}', b"--b\r\n\r\nx\r\n--b--\r\n", b"a=b&c=%ff"),
                    b"--b\r\nContent-Disposition: form-data; name=f\r\n\r\nx\r\n--b--\r\n",
                )
            )
        body = {"task": chance.choice(("plain", "generate", "report", "nothing"))}
        known = route.body or ("task", "input", "metadata")
        body |= {
            name: self._value(chance, 3)
            for name in chance.sample(known, min(len(known), chance.randint(0, 5)))
        }
        return json.dumps(body, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")

    def _value(self, chance: random.Random, depth: int) -> Any:
        if depth and chance.random() < 0.4:
            names = ("messages", "role", "content", "input", "type", "prompt", "csv", "words", "id")
            inner = [self._value(chance, depth - 1) for _ in range(chance.randint(0, 3))]
            return (
                inner
                if chance.random() < 0.5
                else dict(zip(chance.sample(names, len(inner)), inner, strict=True))
            )
        return chance.choice(_VALUES)

    @staticmethod
    def _framed(chance: random.Random, data: bytes) -> tuple[bytes, dict[str, str]]:
        """By a length, which may be wrong, or in chunks, which may be none."""
        if chance.random() < 0.7:
            wrong = chance.choice((0, 0, 0, 0, 0, 5, -5, 100_000))
            return data, {"Content-Length": str(max(0, len(data) + wrong))}
        size = chance.choice((b"%x", b"%X;a=b", b"%x ", b"0x%x", b"-%x", b"+%x", b"%xg", b"%x\n"))
        end = chance.choice(
            (
                b"0\r\n\r\n",
                b"0\r\n\r\n",
                b"0\r\nX: y\r\n\r\n",
                b"",
                b"0\r\n",
                b"00000\r\n\r\n",
                b"zz\r\n",
            )
        )
        return size % len(data) + b"\r\n" + data + b"\r\n" + end, {"Transfer-Encoding": "chunked"}

    @staticmethod
    def _frame(chance: random.Random) -> bytes:
        said = chance.choice(
            (
                *(b'{"type":"ping"}', b'{"type":"subscribe","jobs":[]}', b'{"type":"cancel"}'),
                *(b'{"type":"subscribe","job":5,"after":"x"}', b'{"type":"submit","task":"plain"}'),
                *(b'{"type":"input","job":"x","data":[]}', b'{"type":"unsubscribe"}', b"{", b""),
                *(b"[" * 3000, b"\xff\xfe", b"\x03\xe8", b"\x00\x01", chance.randbytes(9)),
                *(b'{"type":5}', b'"x"', b"null", b'{"type":"response.create"}'),
            )
        )
        opcode = chance.choice((1, 1, 1, 1, 2, 0, 8, 9, 10, 3, 15))
        bits = chance.choice((0x80, 0x80, 0x80, 0x00, 0xC0, 0xF0))
        mask = chance.randbytes(4) if chance.random() < 0.9 else b""
        size = len(said) if chance.random() < 0.9 else chance.choice((1 << 20, 1 << 63, 126))
        flag = 0x80 if mask else 0
        if size < 126:
            head = struct.pack("!BB", bits | opcode, flag | size)
        elif size < 1 << 16:
            head = struct.pack("!BBH", bits | opcode, flag | 126, size)
        else:
            head = struct.pack("!BBQ", bits | opcode, flag | 127, size)
        covered = bytes(b ^ mask[at % 4] for at, b in enumerate(said)) if mask else said
        return head + mask + covered

    @staticmethod
    def _bent(chance: random.Random, head: bytes, share: float = 0.12) -> bytes:
        if chance.random() >= share or not head:
            return head
        at = chance.randrange(len(head))
        other = chance.randbytes(chance.randint(1, 3))
        return chance.choice(
            (
                lambda: head[:at],
                lambda: head[:at] + other + head[at:],
                lambda: head[:at] + other + head[at + len(other) :],
                lambda: head.replace(b"\r\n", b"\n"),
                lambda: head.replace(b": ", b":", 1),
                lambda: head.replace(b": ", b" : ", 1),
                lambda: head.replace(b"\r\n", b"\r\n ", 2),
                lambda: head[:at] + head[:at] + head[at:],
            )
        )()


def _quoted(chance: random.Random, text: str) -> str:
    """As a target has it; now and then as it is, which no server takes."""
    return text if chance.random() < 0.05 else quote(text, safe="%")


def fire(address: tuple[str, int], data: bytes, number: int) -> list[int]:
    """Send a case, whole or in pieces, and the statuses of what was answered."""
    chance = random.Random(number)
    answer = b""
    with contextlib.suppress(OSError), socket.create_connection(address, timeout=10) as raw:
        pieces = chance.choice((1, 1, 1, 2, 5))
        step = max(1, -(-len(data) // pieces))
        for at in range(0, len(data), step):
            raw.sendall(data[at : at + step])
        if chance.random() < 0.3:
            raw.shutdown(socket.SHUT_WR)
        raw.settimeout(WAIT_S)
        with contextlib.suppress(OSError):
            while len(answer) < READ and (got := raw.recv(READ)):
                answer += got
        if chance.random() < 0.2:  # with a reset
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    return [int(status) for status in _STATUS.findall(answer)]


def run(
    server: Server, *, cases: int, seed: int, only: int | None = None
) -> tuple[Counter[int], list[str]]:
    """All cases; how often each status came, and what is not as it should be."""
    waiting = server.api.submit("asking")
    server.api.reach(waiting, "waiting_for_input")
    ended = server.api.submit("plain", {"words": ["a", "b"]})
    server.api.finish(ended)
    document = requests.get(f"{server.url}/openapi.json", timeout=30).json()
    made = Cases(seed, routes_of(document), [waiting, ended, "job_" + "0" * 26])
    address = ("127.0.0.1", server.port)

    def shoot(number: int) -> tuple[int, list[int]]:
        return number, fire(address, made.make(number), number)

    pool = ThreadPoolExecutor(CONNECTIONS)
    list(pool.map(shoot, range(-WARM, 0)))
    _tidy(server)
    before = settled(server, state(server))
    numbers = [only] if only is not None else range(cases)
    faults: list[str] = []
    statuses: Counter[int] = Counter()
    with pool:
        for number, found in pool.map(shoot, numbers):
            statuses.update(found)
            if 500 in found:
                faults.append(f"case {number} was answered with 500: {made.make(number)[:300]!r}")
    faults += _afterwards(server, before)
    return statuses, faults


def _tidy(server: Server) -> None:
    """End the jobs that were started on the way."""
    for status in ("running", "queued", "waiting_for_input"):
        for job in server.api.get("/v1/jobs", params={"status": status, "limit": 100}).json()[
            "jobs"
        ]:
            server.api.post(f"/v1/jobs/{job['id']}/cancel")


def with_room(before: Held) -> Held:
    """What it may hold afterwards: threads and connections to the log come as they are needed at
    once, and stay.
    """
    return replace(
        before,
        threads=before.threads + CONNECTIONS,
        descriptors=before.descriptors + 2 * CONNECTIONS,
    )


def _afterwards(server: Server, before: Held) -> list[str]:
    faults = []
    try:
        if not requests.get(f"{server.url}/healthz", timeout=10).ok:
            faults.append("/healthz does not answer well")
        _tidy(server)
        room = with_room(before)
        faults += [f"holds afterwards: {what}" for what in kept(room, settled(server, room))]
    except requests.RequestException as error:
        faults.append(f"the server answers no more: {error}")
    log = server.log_text()
    if "Traceback" in log:
        faults.append("in the log:\n" + log[log.index("Traceback") :][:3000])
    return faults


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="the number of a case to send again, alone")
    parser.add_argument("--worker-class", choices=("gevent", "gthread"), default="gevent")
    chosen = parser.parse_args()
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(Path(folder), chosen.worker_class, STREAMING_BODY_S=2) as server,
    ):
        statuses, faults = run(
            server.start(), cases=chosen.cases, seed=chosen.seed, only=chosen.only
        )
    told = ", ".join(f"{status}: {count}" for status, count in sorted(statuses.items()))
    print(f"{chosen.cases} cases with seed {chosen.seed} in {time.monotonic() - began:.0f} s")
    print(f"answers by status: {told}")
    for fault in faults:
        print(fault)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
