"""One POST to a receiver: signed (`signing.py`), to a checked address, cut in time."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import certifi
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.ssl_ import create_urllib3_context

from streaming.concurrency.platform import native_lock, original
from streaming.jobs.receivers import Receiver
from streaming.jobs.signing import signature_headers
from streaming.storage.outbox import Call

#: With every call.
HEADERS = {
    "Content-Type": "application/json",
    "User-Agent": "streaming",
    "Accept-Encoding": "identity",
    "Connection": "close",
}
#: Not gevent's: a shutdown by another thread must not touch this thread's event loop.
_Handle: type[socket.socket] = original("socket", "socket")
#: A connected socket to one of the addresses, at a port, in so many seconds.
Dial = Callable[[Sequence[str], int, float | None], socket.socket]


class Posting:
    """Used by one thread; `cut` may come from any other."""

    def __init__(self, call: Call, *, timeout_s: float) -> None:
        """`timeout_s`: for the connection, and for each silence; in all, whoever waits cuts."""
        self._call = call
        self._timeout_s = timeout_s
        self._lock = native_lock()
        self._handle: socket.socket | None = None
        self._is_cut = False

    def send(self, receiver: Receiver, keys: Sequence[bytes], now: float) -> tuple[int, float]:
        """The status of the answer, and the seconds that it asks to be left alone for, or 0.

        A redirect is an answer like any other: it could lead anywhere. Raises what urllib3,
        http.client, ssl and sockets raise.
        """
        place = receiver.place
        more: Mapping[str, Any] = {"ssl_context": trusted()} if place.secure else {}
        connection = (_Secure if place.secure else _Dialled)(
            place.host,
            place.port,
            addresses=receiver.addresses,
            dial=self._dial,
            timeout=self._timeout_s,
            **more,
        )
        try:
            connection.request(
                "POST",
                place.target,
                body=self._call.body,
                headers={**HEADERS, **signature_headers(self._call, keys, now)},
                preload_content=False,
            )
            answer = connection.getresponse()
            if self._is_cut:  # http.client takes the end of a head for its last line
                raise TimeoutError("it did not answer in time")
            return answer.status, _retry_after(answer.headers.get("Retry-After"))
        finally:
            connection.close()
            with self._lock:
                self._drop_handle()

    def cut(self) -> None:
        """End it: what waits for the receiver fails at once, what comes later too."""
        with self._lock:
            self._is_cut = True
            if self._handle is not None:
                with contextlib.suppress(OSError):  # the receiver was faster
                    self._handle.shutdown(socket.SHUT_RDWR)

    def _dial(self, addresses: Sequence[str], port: int, timeout: float | None) -> socket.socket:
        failure = OSError("no address")
        for address in addresses:
            try:
                sock = socket.create_connection((address, port), timeout)
            except OSError as error:
                failure = error
                continue
            with self._lock:
                if self._is_cut:
                    sock.close()
                    raise TimeoutError("it did not answer in time")
                self._drop_handle()
                self._handle = _Handle(fileno=os.dup(sock.fileno()))
            return sock
        raise failure

    def _drop_handle(self) -> None:
        if self._handle is not None:
            self._handle.close()
            self._handle = None


class _Dialled(HTTPConnection):
    """A connection to one of the given addresses, whatever its host's name means."""

    def __init__(
        self, host: str, port: int, *, dial: Dial, addresses: Sequence[str], **options: Any
    ) -> None:
        super().__init__(host, port, **options)
        self._dial = dial
        self._addresses = addresses

    def _new_conn(self) -> socket.socket:
        return self._dial(self._addresses, self.port, self.timeout)


class _Secure(_Dialled, HTTPSConnection):
    pass


@cache
def trusted() -> ssl.SSLContext:
    """For TLS to receivers: certifi's authorities, and those that SSL_CERT_FILE, _DIR name."""
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
    context.load_verify_locations(cafile=certifi.where())
    context.load_default_certs()
    return context


def _retry_after(value: str | None) -> float:
    """Seconds; a date there is left to the next try."""
    return float(value) if value and re.fullmatch(r"\d{1,6}", value.strip()) else 0.0
