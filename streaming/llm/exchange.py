"""One HTTP exchange with a server, which another thread can cut at any moment.

The head and the body are taken apart by httptools, in C. Whoever waits in connect, send or receive
is woken by shutting the socket down: by a stop, through a second handle of it, from whatever
thread; and by one timer per exchange when the server has been silent for too long.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Self

import httptools
from urllib3.response import DeflateDecoder, GzipDecoder

from streaming.concurrency.platform import native_lock, original, patched
from streaming.llm.dialing import Dialer, connect
from streaming.llm.silence import Arrival, Silence, is_bare

#: Bytes that are read at once, and of a head at most.
READ, MAX_HEAD = 1 << 14, 1 << 18

#: Family, kind, protocol, name and address, as `getaddrinfo` has them.
_Place = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
_Address = tuple[int, int, int, str, _Place]

#: Not gevent's: a shutdown by another thread must not touch this thread's event loop.
_Handle: type[socket.socket] = original("socket", "socket")
#: Not gevent's, which has a thread look up names: for what is an address already.
_native_addresses: Callable[..., Sequence[_Address]] = original("socket", "getaddrinfo")


class BadAnswer(OSError):
    """Raised when what a server sends is no HTTP, or ends before it is whole."""


class Exchange:
    """Used by one thread; `cut` may come from any other."""

    def __init__(self, dialer: Dialer, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._dialer = dialer
        self._lock = native_lock()
        self._handle: socket.socket | None = None
        self._is_cut = False
        self._sock: socket.socket | None = None
        self._silence: Silence | None = None
        #: Waits for the first byte of the next read, where that is cheaper than to try.
        self._arrival: Arrival | None = None
        self._clock = clock
        self._reader = _Reader()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._silence is not None:
            self._silence.stop()
        if self._arrival is not None:
            self._arrival.close()
        if self._sock is not None:
            with contextlib.suppress(OSError):
                self._sock.close()
        with self._lock:
            self._drop_handle()

    def cut(self) -> None:
        """End the exchange: what waits for the server fails at once, what comes later too."""
        with self._lock:
            self._is_cut = True
            self._shut()

    def connect(self, timeout: float) -> None:
        """A connection and nothing more, in so many seconds."""
        self._sock = self._dialer.open(self._dial, timeout).sock

    def ask(
        self, body: bytes, headers: Mapping[str, str], *, connect_s: float, silence_s: float
    ) -> None:
        """POST `body`, and wait for the head of the answer; see `status` and `headers`.

        A redirect is not followed: it would take the key elsewhere.
        """
        way = self._dialer.open(self._dial, connect_s)
        self._sock = way.sock
        self._silence = Silence(way.sock, self._give_up, self._clock)
        if patched() and is_bare(way.sock):
            self._arrival = Arrival(way.sock)
        self.wait_for(silence_s)
        sent = {
            "Host": way.host,
            "User-Agent": "streaming",
            "Accept": "text/event-stream, application/json",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
            **way.headers,
            **headers,
        }
        lines = [f"POST {way.target} HTTP/1.1", *(f"{n}: {v}" for n, v in sent.items()), "", ""]
        failed: OSError | None = None
        try:
            way.sock.sendall("\r\n".join(lines).encode("latin-1") + body)
        except OSError as error:  # it may have answered already, and hung up
            failed = error
        try:
            while not self._reader.has_head:
                self._read_more()
        except OSError as error:
            raise failed or error from error

    @property
    def status(self) -> int:
        """Of the answer."""
        return self._reader.status

    @property
    def headers(self) -> Mapping[str, str]:
        """Of the answer, their names in small letters."""
        return self._reader.headers

    def wait_for(self, silence_s: float) -> None:
        """From now on, so many seconds without a byte end the exchange with a `TimeoutError`."""
        assert self._silence is not None
        self._silence.limit(silence_s)

    @property
    def heard(self) -> float:
        """On the clock: when the last bytes came."""
        return self._silence.heard if self._silence is not None else 0.0

    def read(self) -> bytes:
        """What comes next of the body; empty at its end. `BadAnswer` when it is cut off."""
        while True:
            data = self._reader.take()
            if data or self._reader.is_over:
                return data
            self._read_more()

    def _read_more(self) -> None:
        assert self._sock is not None
        assert self._silence is not None
        try:
            if self._arrival is not None:
                self._arrival.wait()
            data = self._sock.recv(READ)
        except OSError as error:
            if self._silence.is_over:
                raise TimeoutError("silent for too long") from error
            raise
        self._silence.heard = self._clock()
        if data:
            self._reader.feed(data)
        elif self._silence.is_over:
            raise TimeoutError("silent for too long")
        else:
            self._reader.end()

    def _dial(self, host: str, port: int, timeout: float | None) -> socket.socket:
        """A connected socket that `cut` knows."""
        failure: OSError = OSError("the name has no address")
        try:
            found = _addresses(host, port)
        except UnicodeError as error:
            raise socket.gaierror(f"{host[:80]} is no name of a host") from error
        for family, kind, proto, _, address in found:
            sock = socket.socket(family, kind, proto)
            try:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.setblocking(False)
                sock.connect_ex(address)
                # Only a socket that is connecting can be shut down, so `cut` learns of it here.
                self._keep_handle(sock)
                connect(sock, timeout)
                sock.settimeout(timeout)
            except OSError as error:
                sock.close()
                failure = error
            else:
                return sock
        raise failure

    def _keep_handle(self, sock: socket.socket) -> None:
        with self._lock:
            if self._is_cut:
                raise ConnectionAbortedError("the exchange was cut")
            self._drop_handle()
            self._handle = _Handle(fileno=os.dup(sock.fileno()))

    def _give_up(self) -> None:
        with self._lock:
            self._shut()

    def _shut(self) -> None:
        if self._handle is not None:
            with contextlib.suppress(OSError):  # the server was faster
                self._handle.shutdown(socket.SHUT_RDWR)

    def _drop_handle(self) -> None:
        if self._handle is not None:
            self._handle.close()
            self._handle = None


class _Reader:
    """Bytes of an HTTP answer to its head and its body."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.has_head = False
        self.is_over = False
        self._size = 0
        self._body: list[bytes] = []
        self._coding = ""
        self._decoder: GzipDecoder | DeflateDecoder | None = None
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        if not self.has_head:
            self._size += len(data)
            if self._size > MAX_HEAD and not self.has_head:
                raise BadAnswer("the head of the answer is too large")
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if not self.has_head and data[:2] == b"\x15\x03":
                raise BadAnswer("it speaks TLS, so its address begins with https") from error
            if not self.is_over:  # what stands behind an answer is none of it
                raise BadAnswer(f"what it sends is no HTTP ({error})") from error

    def end(self) -> None:
        """The server has hung up: the end of a body without a length, else too early."""
        framed = "content-length" in self.headers or "chunked" in self.headers.get(
            "transfer-encoding", ""
        )
        if not self.is_over and (framed or not self.has_head):
            raise BadAnswer("it hung up in the middle" if self.has_head else "it hung up")
        self.is_over = True

    def take(self) -> bytes:
        """The body that has come."""
        if not self._body:
            return b""
        body, self._body = self._body, []
        data = body[0] if len(body) == 1 else b"".join(body)
        if self._decoder is None:
            if self._coding not in ("", "identity"):
                raise BadAnswer(f"its body is encoded as {self._coding}, which was not asked for")
            return data
        try:
            return self._decoder.decompress(data)
        except zlib.error as error:
            raise BadAnswer(f"its compressed body is broken ({error})") from error

    # -- called by the parser

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200 and status != 101:  # 100 Continue and the like: the answer comes yet
            self.headers.clear()
            return
        self.status, self.has_head = status, True
        self._coding = self.headers.get("content-encoding", "").strip().lower()
        if self._coding in ("gzip", "x-gzip"):
            self._decoder = GzipDecoder()
        elif self._coding == "deflate":
            self._decoder = DeflateDecoder()

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        self.is_over = self.has_head


def _addresses(host: str, port: int) -> Sequence[_Address]:
    """Where a host is; what is an address already is nobody's to be asked for."""
    with contextlib.suppress(socket.gaierror):  # it is a name
        flags = socket.AI_NUMERICHOST
        return _native_addresses(host, port, type=socket.SOCK_STREAM, flags=flags)
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
