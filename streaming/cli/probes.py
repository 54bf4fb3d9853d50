"""What `doctor` measures: streams read byte by byte, a WebSocket handshake, what TLS offers."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit

import requests
import urllib3

from streaming.client.sse import SseParser

#: As a browser's: what is packed for it may be held back for it.
BROWSER = {"Accept": "text/event-stream", "Accept-Encoding": "gzip, deflate"}
CONNECT_S = 10.0
#: Seconds for a handshake.
HANDSHAKE_S = 10.0


@dataclass(slots=True)
class Reading:
    """A stream as it came in. Seconds are since it was asked for."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    first_byte_s: float | None = None
    #: Of each event: when the server says that it was made, and when it came.
    events: list[tuple[float, float]] = field(default_factory=list)
    #: When signs of life without an event came.
    beats_s: list[float] = field(default_factory=list)
    #: When it ended without our doing; None: it did not.
    ended_s: float | None = None

    @property
    def held_s(self) -> float:
        """By how much some events took longer than others: what sits in between held them."""
        delays = [came - made for made, came in self.events]
        return max(delays) - min(delays) if delays else 0.0


def read_stream(
    url: str, headers: Mapping[str, str], *, for_s: float, beats: int = 1 << 30
) -> Reading:
    """Read an SSE stream for some seconds, to its end, or until so many signs of life have come."""
    found, parser, began = Reading(), SseParser(), time.monotonic()
    try:
        asked = {**BROWSER, **headers}
        times = (CONNECT_S, for_s)
        with requests.get(url, headers=asked, stream=True, timeout=times) as response:
            found.status, found.headers = response.status_code, response.headers
            for chunk in _chunks(response):
                now = time.monotonic() - began
                found.first_byte_s = now if found.first_byte_s is None else found.first_byte_s
                if b"\n:" in b"\n" + chunk:
                    found.beats_s.append(now)
                for frame in parser.feed(chunk):
                    if frame.data is not None:
                        found.events.append((_made(frame.data), time.time()))
                if now > for_s or len(found.beats_s) >= beats:
                    return found
        found.ended_s = time.monotonic() - began
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError):
        waited = time.monotonic() - began
        found.ended_s = None if waited >= for_s else waited
    return found


def _chunks(response: requests.Response) -> Iterator[bytes]:
    raw: urllib3.HTTPResponse = response.raw
    while chunk := raw.read1(1 << 16, decode_content=True):
        yield chunk


def _made(event: str) -> float:
    """When an event was made, by the server's clock; now, where it does not say."""
    at = json.loads(event).get("at")
    return datetime.fromisoformat(at).timestamp() if at else time.time()


@dataclass(slots=True)
class Upgrade:
    """How a WebSocket handshake went, and how long the quiet connection lived after it."""

    status: int
    reason: str = ""
    #: Whether a frame came.
    frames: int = 0
    ended_s: float | None = None


def open_websocket(url: str, headers: Mapping[str, str], *, for_s: float) -> Upgrade:
    """Shake hands, then listen for some seconds or until the server says goodbye."""
    try:
        with contextlib.closing(_connect(url)) as sock:
            began = time.monotonic()
            sock.sendall(_handshake(url, headers))
            head, rest = _head(sock)
            status_line = head.split(b"\r\n", 1)[0].decode(errors="replace")
            parts = status_line.split(" ", 2)
            found = Upgrade(int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 0)
            found.reason = parts[2] if len(parts) > 2 else status_line
            if found.status == 101:
                _listen(sock, found, rest, began, for_s)
            return found
    except OSError as error:
        return Upgrade(0, str(error))


def _listen(sock: socket.socket, found: Upgrade, rest: bytes, began: float, for_s: float) -> None:
    """Count frames until time is up; note when the connection ends before, and not by a Close."""
    data = rest
    while (left := began + for_s - time.monotonic()) > 0:
        found.frames += bool(data)
        if data[:1] == b"\x88" or b"\x88\x02\x03\xe8" in data:  # a Close frame: the job has ended
            return
        sock.settimeout(left)
        try:
            data = sock.recv(1 << 16)
        except TimeoutError:
            return
        if not data:
            found.ended_s = time.monotonic() - began
            return


def _connect(url: str, protocols: list[str] | None = None) -> socket.socket:
    parts = urlsplit(url)
    secure = parts.scheme in ("https", "wss")
    address = (parts.hostname or "", parts.port or (443 if secure else 80))
    sock = socket.create_connection(address, timeout=HANDSHAKE_S)
    if not secure:
        return sock
    context = ssl.create_default_context()
    context.set_alpn_protocols(protocols or ["http/1.1"])
    return context.wrap_socket(sock, server_hostname=parts.hostname)


def _handshake(url: str, headers: Mapping[str, str]) -> bytes:
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    lines = {
        "Host": parts.netloc.rpartition("@")[2],
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        **headers,
    }
    said = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"GET {target} HTTP/1.1\r\n{said}\r\n".encode()


def _head(sock: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data and len(data) < 1 << 16:
        part = sock.recv(1 << 14)
        if not part:
            break
        data += part
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def offers_http2(url: str) -> bool | None:
    """Whether HTTP/2 is to be had; None where there is no TLS, without which browsers want none."""
    if urlsplit(url).scheme != "https":
        return None
    with contextlib.closing(_connect(url, ["h2", "http/1.1"])) as sock:
        return isinstance(sock, ssl.SSLSocket) and sock.selected_alpn_protocol() == "h2"
