"""Clients that mean harm: what the server holds before and after, and whether others notice.

Slow heads and slow bodies, oversized and deep JSON, floods of messages, ten thousand opens and
closes, streams that nobody reads. Exit status 0 only when slots, threads and descriptors end where
they began, memory within its allowance, and every look at /healthz was answered.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
from rich.console import Console
from rich.table import Table

from bench.held import Held, held
from bench.load import get, upgrade
from tests.e2e.server import Server

#: Bytes by which the memory may grow over all of it: buffers of the allocator, no more.
GROWTH = 48 << 20
#: Seconds that the server has to put things away after an attack.
REST_S = 60.0
#: Seconds within which TCP ends after a Close, whatever the peer goes on to send: our two, and the
#: two for which gunicorn's threads wait for the client's end.
CLOSE_S = 5.0
#: Seconds within which a request's head and body must have come, by the server's settings.
BODY_S = 2.0


#: Connections that have each of gthread's 128 threads made.
FILLING = 150


class Watch:
    """Looks at /healthz all the time, as a load balancer does."""

    def __init__(self, server: Server) -> None:
        self._url = f"{server.url}/healthz"
        self._over = threading.Event()
        self.slowest_s = 0.0
        self.looks = self.failures = 0
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.1):
            began = time.monotonic()
            try:
                good = requests.get(self._url, timeout=10).ok
            except requests.RequestException:
                good = False
            self.looks += 1
            self.failures += not good
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)


class Attacks:
    """Each method is one, and returns what came of it."""

    def __init__(self, server: Server, *, opens: int, connections: int) -> None:
        self.server = server
        self._address = ("127.0.0.1", server.port)
        self._opens = opens
        self._connections = connections
        self._job = server.api.submit("asking")
        server.api.reach(self._job, "waiting_for_input")

    def slow_heads(self) -> str:
        """A byte of a request's head a second: each is cut off."""
        return self._drip(b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nX: ", b"a")

    def slow_bodies(self) -> str:
        """A byte of a body a second: each is told 408 or cut off."""
        head = "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        return self._drip(f"{head}Content-Length: 100000\r\n\r\n".encode(), b" ")

    def large_and_deep(self) -> str:
        """Bodies that are too large, too deep, too long, announced or not."""
        bodies = [
            b"[" * 900_000,
            b'{"a":' * 150_000,
            b'{"task":"generate","input":{"prompt":"' + b"x" * (2 << 20) + b'"}}',
            b'{"task":' + b"1" * 500_000 + b"}",
            json.dumps({"task": "generate", "input": {str(n): n for n in range(50_000)}}).encode(),
        ]
        kind = {"Content-Type": "application/json"}
        statuses = set()
        for body in bodies * 10:
            chunked = iter([body[: 1 << 20], body[1 << 20 :]])
            for data in (body, chunked):
                with contextlib.suppress(requests.ConnectionError):  # refused before its end
                    statuses.add(
                        self.server.api.post("/v1/jobs", data=data, headers=kind).status_code
                    )
        return self._expect(statuses <= {400, 413, 422}, f"statuses {sorted(statuses)}")

    def opens_and_closes(self) -> str:
        """Streams and sockets, dropped at once: before, while and after they are answered."""
        paths = [get(f"/v1/jobs/{self._job}/events"), upgrade(f"/v1/jobs/{self._job}/ws")]
        paths += [
            get(f"/v1/jobs/{self._job}/poll?after=9&wait=20"),
            get(f"/v1/events?job={self._job}"),
        ]

        def drop(number: int) -> int:
            with contextlib.closing(socket.create_connection(self._address, timeout=20)) as raw:
                raw.sendall(paths[number % len(paths)])
                if number % 3:
                    raw.recv(1 << (number % 12))
                if number % 5 == 0:  # with a reset
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            return 1

        with ThreadPoolExecutor(16) as pool:
            return f"{sum(pool.map(drop, range(self._opens)))} opened and closed"

    def flooding_sockets(self) -> str:
        """Messages as fast as they go: errors, then 1008."""
        flood = frame(1, b'{"type":"ping"}') * 100
        ended = 0
        for _ in range(20):
            with contextlib.closing(socket.create_connection(self._address, timeout=20)) as raw:
                raw.sendall(upgrade("/v1/ws"))
                raw.recv(4096)
                with contextlib.suppress(OSError):
                    for _ in range(100):
                        raw.sendall(flood)
                raw.settimeout(20)
                with contextlib.suppress(OSError):
                    while raw.recv(1 << 16):
                        pass
                ended += 1
        return f"{ended} sockets ended"

    def sockets_that_go_on(self) -> str:
        """A message and a Close in one segment, then pings for as long as it goes: TCP ends."""
        said = frame(1, b'{"type":"ping"}') + frame(8, b"\x03\xe8")

        def go_on(_: int) -> float:
            with contextlib.closing(self._connect(upgrade("/v1/ws"))) as raw:
                raw.recv(4096)
                raw.sendall(said)
                began = time.monotonic()
                with contextlib.suppress(OSError):
                    while time.monotonic() - began < 20:
                        time.sleep(0.1)
                        raw.sendall(frame(9, b""))
                return time.monotonic() - began

        with ThreadPoolExecutor(16) as pool:
            slowest_s = max(pool.map(go_on, range(32)))
        return self._expect(slowest_s < CLOSE_S, f"TCP ended within {slowest_s:.1f} s of a Close")

    def bad_handshakes(self) -> str:
        """Handshakes and bodies that are none: each is told so, never with a 500."""
        good = upgrade("/v1/ws").decode("latin-1")
        key = next(line for line in good.split("\r\n") if line.startswith("Sec-WebSocket-Key"))
        post = "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        asked = {
            good.replace("Version: 13", "Version: 8"): 426,
            good.replace(f"{key}\r\n", ""): 400,
            good.replace(key, "Sec-WebSocket-Key: abc"): 400,
            good.replace(key, f"{key}\r\nSec-WebSocket-Protocol: \xff"): 400,
            good.replace(key, f"{key}\r\nOrigin: http://["): 403,
            f"{post}Transfer-Encoding: chunked\r\n\r\nzz\r\n{{}}\r\n0\r\n\r\n": 400,
            f"{post}Transfer-Encoding: chunked\r\n\r\n-2\r\n{{}}\r\n0\r\n\r\n": 400,
            f"{post}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}": 400,
        }
        wrong = []
        for request, status in list(asked.items()) * 20:
            with contextlib.closing(self._connect(request.encode("latin-1"))) as raw:
                found = raw.recv(4096).split(b" ", 2)[1:2]
                wrong += [f"{found} for {status}"] if found != [b"%d" % status] else []
        return self._expect(not wrong, f"{len(asked)} of a kind: {wrong[:3] or 'each told'}")

    def half_closed(self) -> str:
        """Readers who close their sending half at once get what there is, and its end."""
        job = self.server.api.submit("plain", {"words": ["a", "b", "c"]})
        self.server.api.finish(job)
        lacking = 0
        for _ in range(50):
            with contextlib.closing(self._connect(get(f"/v1/jobs/{job}/events"))) as raw:
                raw.shutdown(socket.SHUT_WR)
                answer = b""
                while data := raw.recv(1 << 16):
                    answer += data
                lacking += b"job.completed" not in answer
        return self._expect(not lacking, f"{lacking} of 50 lacked the end")

    def unread_streams(self) -> str:
        """Streams of much text that nobody reads; then they are dropped."""
        job = self.server.api.submit("plain", {"words": ["x" * 900] * 1000})
        connections = [
            self._connect(get(f"/v1/jobs/{job}/events")) for _ in range(self._connections)
        ]
        self.server.api.finish(job, timeout_s=120)
        for raw in connections:
            raw.close()
        return f"{len(connections)} streams"

    def end(self) -> None:
        self.server.api.cancel(self._job)

    def _drip(self, head: bytes, piece: bytes) -> str:
        """Many connections that send a piece each second, until all have been ended."""
        waiting = [self._connect(head) for _ in range(self._connections)]
        began, until = time.monotonic(), time.monotonic() + 30
        while waiting and time.monotonic() < until:
            time.sleep(1)
            waiting = [raw for raw in waiting if self._goes_on(raw, piece)]
        for raw in waiting:
            raw.close()
        took_s = time.monotonic() - began
        return self._expect(not waiting, f"{self._connections} ended after {took_s:.0f} s")

    def _goes_on(self, raw: socket.socket, piece: bytes) -> bool:
        try:
            raw.setblocking(False)
            raw.send(piece)
            with contextlib.suppress(BlockingIOError):
                if raw.recv(4096) == b"" or raw.recv(4096) == b"":
                    raise ConnectionError
        except OSError:
            raw.close()
            return False
        return True

    def _connect(self, head: bytes) -> socket.socket:
        raw = socket.create_connection(self._address, timeout=20)
        raw.sendall(head)
        return raw

    @staticmethod
    def _expect(good: bool, text: str) -> str:
        return text if good else f"NOT AS IT SHOULD BE: {text}"


def frame(opcode: int, said: bytes) -> bytes:
    """A client's frame, masked with zeros."""
    return bytes([0x80 | opcode, 0x80 | len(said), 0, 0, 0, 0]) + said


def state(server: Server) -> Held:
    [worker] = server.workers()
    return held(worker, server.url)


def kept(before: Held, now: Held) -> list[str]:
    """What it holds more of than before, memory aside."""
    return [
        f"{name} {getattr(before, name)} -> {getattr(now, name)}"
        for name in ("slots", "threads", "descriptors")
        if getattr(now, name) > getattr(before, name)
    ]


def settled(server: Server, before: Held) -> Held:
    """The state when it is as before, or when there was time enough for that."""
    until = time.monotonic() + REST_S
    while True:
        now = state(server)
        if not kept(before, now) or time.monotonic() > until:
            return now
        time.sleep(0.2)


def attacks_of(attacks: Attacks) -> Iterator[tuple[str, Callable[[], str]]]:
    for name in (
        "slow_heads",
        "slow_bodies",
        "large_and_deep",
        "opens_and_closes",
        "flooding_sockets",
        "sockets_that_go_on",
        "bad_handshakes",
        "half_closed",
        "unread_streams",
    ):
        yield name.replace("_", " "), getattr(attacks, name)


def run(server: Server, *, opens: int, connections: int) -> tuple[Table, list[str]]:
    """All attacks; the figures, and what is not as it should be."""
    table = Table("", "came of it", "slots", "threads", "descriptors", "memory, MB", title="abuse")
    faults: list[str] = []
    attacks = Attacks(server, opens=opens, connections=connections)
    # So that what is loaded once is there, and each of gthread's threads, which stay.
    small = Attacks(server, opens=100, connections=FILLING)
    for _, attack in attacks_of(small):
        attack()
    small.end()
    before = settled(server, state(server))

    def show(name: str, result: str, now: Held) -> None:
        table.add_row(
            name, result, *map(str, (now.slots, now.threads, now.descriptors, now.memory >> 20))
        )

    show("before", "", before)
    with Watch(server) as watch:
        for name, attack in attacks_of(attacks):
            result = attack()
            now = settled(server, before)
            show(name, result, now)
            faults += [f"{name}: {result}"] if "NOT" in result else []
            faults += [f"{name}: {what}" for what in kept(before, now)]
    attacks.end()
    if now.memory - before.memory > GROWTH:
        faults.append(f"memory grew by {(now.memory - before.memory) >> 20} MB")
    if watch.failures:
        faults.append(f"{watch.failures} of {watch.looks} looks at /healthz had no answer")
    table.caption = f"{watch.looks} looks at /healthz, the slowest {watch.slowest_s * 1000:.0f} ms"
    return table, faults


def make_server(folder: Path, worker_class: str) -> Server:
    return Server(
        folder,
        worker_class,
        STREAMING_TASKS="tests.e2e.e2e_tasks",
        STREAMING_BODY_S=BODY_S,
        STREAMING_MAX_STREAMS=2000 if worker_class == "gevent" else 100,
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench abuse", description=__doc__)
    parser.add_argument("--opens", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=500, help="slow ones at once")
    parser.add_argument("--worker-class", choices=("gevent", "gthread"), default="gevent")
    chosen = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        make_server(Path(folder), chosen.worker_class) as server,
    ):
        table, faults = run(server.start(), opens=chosen.opens, connections=chosen.connections)
        errors = server.log_text().count("Traceback")
    Console(width=120).print(table)
    if errors:
        faults.append(f"{errors} tracebacks in the server's log")
    for fault in faults:
        print(fault)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
