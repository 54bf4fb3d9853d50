"""A model server and the readers of what it writes, in one loop, so that both ends have one clock.

Each token is the time at which it was made. The model server speaks Chat Completions.
"""

from __future__ import annotations

import heapq
import json
import re
import selectors
import socket
import statistics
import time
from collections import deque
from collections.abc import Callable

#: A token on the reader's side, whatever it is wrapped in.
_TOKEN = re.compile(rb"(?<![0-9.])([0-9]{10}\.[0-9]{6}) ")
#: Bytes that the longest token may have with another read's beginning.
_LEFT = 32
#: One token in so many has its delay measured.
SAMPLE = 5

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_MODELS = json.dumps({"object": "list", "data": [{"id": "m", "object": "model"}]}).encode()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _piece(delta: str, finish: str = "null") -> bytes:
    return _chunk(
        b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,'
        b'"model":"m","choices":[{"index":0,"delta":%b,"finish_reason":%b}]}\n\n'
        % (delta.encode(), finish.encode())
    )


class Answer:
    """One answer that the model server writes."""

    def __init__(self, sock: socket.socket, tokens: int) -> None:
        self._socket = sock
        self.left = tokens
        self._tokens = tokens
        sock.send(_HEAD + _piece('{"role":"assistant","content":""}'))

    def write(self) -> None:
        """One token more; behind the last one, the end."""
        self.left -= 1
        self._send(_piece(f'{{"content":"{time.time():.6f} "}}'))

    def end(self) -> None:
        usage = {"prompt_tokens": 5, "completion_tokens": self._tokens}
        counted = json.dumps({"object": "chat.completion.chunk", "choices": [], "usage": usage})
        data = _piece("{}", '"stop"') + _chunk(f"data: {counted}\n\n".encode())
        self._send(data + _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")

    def _send(self, data: bytes) -> None:
        try:
            self._socket.send(data)
        except OSError:  # whoever asked has gone: its reader misses the tokens
            self.left = 0


class Reader:
    """One reader of an answer, through the server that is measured."""

    def __init__(self, road: Road, address: tuple[str, int], asked: bytes) -> None:
        self._road = road
        self.asked_at = time.time()
        self.tokens = 0
        self.first_at = 0.0
        self.is_over = False
        self._last = 0.0
        self._rest = b""
        self._socket = socket.create_connection(address)
        self._socket.setblocking(False)
        self._socket.send(asked)
        road.watch(self._socket, self.read)

    def read(self) -> None:
        try:
            data = self._socket.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        now = time.time()
        text = self._rest + data
        for found in _TOKEN.findall(text):
            made = float(found)
            if made <= self._last:  # seen before: an end repeats the text
                continue
            self._last = made
            self.tokens += 1
            self._road.read += 1
            if self.tokens == 1:
                self.first_at = now
                self._road.first_s.append(now - made)
            elif not self.tokens % SAMPLE:
                self._road.delays.append(now - made)
        self._rest = text[-_LEFT:]
        if not data or self.tokens >= self._road.tokens:
            self.close()

    def close(self) -> None:
        if not self.is_over:
            self.is_over = True
            self._road.forget(self._socket)


class Road:
    """`tokens` for each answer, written at `rate` a second by `run`, a few at a time by `step`."""

    def __init__(self, *, tokens: int, rate: float) -> None:
        self.tokens = tokens
        self._rate = rate
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self._listener.setblocking(False)
        self.watch(self._listener, self._accept)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self._due: list[tuple[float, int, Answer]] = []
        self.answers: list[Answer] = []
        self.readers: list[Reader] = []
        self.clear()

    def clear(self) -> None:
        """Forget what was measured, and who was there."""
        for reader in self.readers:
            reader.close()
        self.readers, self.answers, self._due = [], [], []
        #: Tokens that have reached readers, and how long they took, in seconds.
        self.read = 0
        self.delays: list[float] = []
        self.first_s: list[float] = []

    def close(self) -> None:
        self.clear()
        self._selector.close()
        self._listener.close()

    def run(self, address: tuple[str, int], asked: bytes, *, readers: int, per_s: float) -> float:
        """Open so many readers, and wait for all tokens; how many seconds late the last one is."""
        began = time.monotonic()
        takes_s = (readers - 1) / per_s + self.tokens / self._rate
        for number in range(readers):
            while time.monotonic() < began + number / per_s:
                self._turn(0.001)
            self.readers.append(Reader(self, address, asked))
        self._until(self._all_over, 3 * takes_s + 15)
        return time.monotonic() - began - takes_s

    def open(self, address: tuple[str, int], asked: bytes, *, readers: int, at_once: int) -> None:
        """Open so many readers, a few at a time, and have the model write nothing yet."""
        for start in range(0, readers, at_once):
            for _ in range(min(at_once, readers - start)):
                self.readers.append(Reader(self, address, asked))
            self._until(lambda: len(self.answers) == len(self.readers), 30)

    def step(self, at_once: int) -> None:
        """Have all tokens written, so many at once; more when those have reached their readers.

        No clock has a say in it: what is together in one commit does not hang on how busy the
        machine is.
        """
        waiting = deque(self.answers)
        written = 0
        while waiting:
            for answer in [waiting.popleft() for _ in range(min(at_once, len(waiting)))]:
                answer.write()
                written += 1
                if answer.left:
                    waiting.append(answer)
            goal = written
            self._until(lambda goal=goal: self.read >= goal, 30)  # type: ignore[misc]

    def end(self) -> None:
        """The ends of all answers."""
        for answer in self.answers:
            answer.end()

    def settle(self, cpu_s: Callable[[], float]) -> None:
        """Read until nothing is done any more: so long a server costs nothing more."""
        before = -1.0
        while (now := cpu_s()) > before:
            before, until = now, time.monotonic() + 0.3
            while time.monotonic() < until:
                self._turn(0.05)

    def missing(self) -> int:
        return len(self.readers) * self.tokens - self.read

    def watch(self, sock: socket.socket, call: Callable[[], object]) -> None:
        self._selector.register(sock, selectors.EVENT_READ, call)

    def forget(self, sock: socket.socket) -> None:
        self._selector.unregister(sock)
        sock.close()

    def _all_over(self) -> bool:
        return all(reader.is_over for reader in self.readers)

    def _until(self, done: Callable[[], bool], seconds: float) -> None:
        until = time.monotonic() + seconds
        while not done() and time.monotonic() < until:
            self._turn(0.05)

    def _turn(self, timeout: float) -> None:
        if self._due:
            timeout = min(timeout, max(0.0, self._due[0][0] - time.monotonic()))
        for key, _ in self._selector.select(timeout):
            key.data()
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            due, number, answer = heapq.heappop(self._due)
            answer.write()
            if answer.left > 0:
                heapq.heappush(self._due, (due + 1 / self._rate, number, answer))
            else:
                answer.end()

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except BlockingIOError:
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        self.watch(sock, lambda: self._serve(sock))

    def _serve(self, sock: socket.socket) -> None:
        """A request comes in one piece, or in head and body: the body is JSON and no answer."""
        try:
            data = sock.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            self.forget(sock)
        elif data.startswith(b"GET"):
            head = (
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            )
            sock.send(head % len(_MODELS) + _MODELS)
        elif data.rstrip().endswith(b"}"):
            answer = Answer(sock, self.tokens)
            self.answers.append(answer)
            if self._rate:
                due = time.monotonic() + 1 / self._rate
                heapq.heappush(self._due, (due, len(self.answers), answer))


def percentile(values: list[float], share: float) -> float:
    """In milliseconds."""
    if len(values) < 2:
        return 1000 * sum(values)
    return 1000 * statistics.quantiles(values, n=1000)[round(share * 1000) - 1]
