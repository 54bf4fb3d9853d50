"""The way to a model's server: proxies and certificates of the environment, by urllib3."""

from __future__ import annotations

import os
import select
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import certifi
import requests.utils
from urllib3 import ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
)
from urllib3.util import Url, make_headers, parse_url
from urllib3.util.ssl_ import create_urllib3_context

from streaming.concurrency.platform import native_lock, original
from streaming.errors import TaskError

#: Where the environment names files or folders of certificates; all that are set count.
_CA_NAMES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")

#: Where it names proxies, and hosts that are reached without one.
_PROXY_NAMES = [
    spelled
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
    for spelled in (name, name.lower())
]

#: Not gevent's, for a look that does not wait.
_NativePoll: type[select.poll] = original("select", "poll")

#: A connected socket for host and port, in so many seconds.
Dial = Callable[[str, int, float | None], socket.socket]


@dataclass(frozen=True, slots=True)
class Way:
    """A socket to the server, or to a proxy that passes everything on."""

    sock: socket.socket
    #: Of the request: a path, or where a proxy passes on requests, the whole URL.
    target: str
    host: str
    headers: dict[str, str]


class Dialer:
    """Makes connections to one server. Shared by all threads."""

    def __init__(self, url: str) -> None:
        """`TaskError` for an address that is none."""
        self._url = url
        try:
            self._parts = parse_url(url)
        except LocationParseError as error:
            message = f"STREAMING_LLM_BASE_URL is no address: {error}"
            raise TaskError(message, code="model_unavailable") from error
        self._lock = native_lock()
        self._context: tuple[tuple[str | None, ...], ssl.SSLContext] | None = None
        self._proxy: tuple[list[str | None], str | None] | None = None

    @property
    def where(self) -> str:
        """The server, for messages."""
        return self._parts.netloc or ""

    def open(self, dial: Dial, timeout: float) -> Way:
        """A connection, TLS and all; raises what urllib3, ssl and sockets raise."""
        proxy = self._proxy_of_environment()
        headers: dict[str, str] = {}
        target = self._parts.request_uri
        secure = self._parts.scheme == "https"
        if proxy:
            connection, headers = self._by_proxy(_as_url(proxy), dial, timeout, secure=secure)
            target = target if secure else self._url
        else:
            connection = self._direct(dial, timeout, secure=secure)
        connection.connect()
        host = self.where
        return Way(connection.sock, target, host, {} if secure else headers)

    def _proxy_of_environment(self) -> str | None:
        """Looked for once, and anew when the environment has changed: each answer is a look."""
        named = [os.environ.get(name) for name in _PROXY_NAMES]
        if self._proxy is None or self._proxy[0] != named:
            proxies = requests.utils.get_environ_proxies(self._url)
            self._proxy = named, requests.utils.select_proxy(self._url, proxies)
        return self._proxy[1]

    def _direct(self, dial: Dial, timeout: float, *, secure: bool) -> HTTPConnection:
        host, port = str(self._parts.host), self._parts.port
        if secure:
            return _Secure(
                _bare(host), port or 443, dial=dial, timeout=timeout, ssl_context=self._tls()
            )
        return _Dialled(_bare(host), port or 80, dial=dial, timeout=timeout)

    def _by_proxy(
        self, proxy: Url, dial: Dial, timeout: float, *, secure: bool
    ) -> tuple[HTTPConnection, dict[str, str]]:
        if proxy.scheme not in ("http", "https"):
            message = f"a {proxy.scheme} proxy cannot be used for the model's server"
            raise TaskError(message, code="model_unavailable")
        headers = dict(make_headers(proxy_basic_auth=proxy.auth)) if proxy.auth else {}
        host, port = _bare(str(proxy.host)), proxy.port or (443 if proxy.scheme == "https" else 80)
        options: dict[str, Any] = {"dial": dial, "timeout": timeout}
        if not secure and proxy.scheme == "http":
            return _Dialled(host, port, **options), headers
        options["ssl_context"] = self._tls()
        if not secure:
            return _Secure(host, port, **options), headers
        config = ProxyManager(proxy.url, proxy_ssl_context=self._tls()).proxy_config
        made = _Secure(host, port, proxy=proxy, proxy_config=config, **options)
        made.set_tunnel(
            _bare(str(self._parts.host)), self._parts.port or 443, headers=headers, scheme="https"
        )
        return made, headers

    def _tls(self) -> ssl.SSLContext:
        """Made once, and anew when the environment names other certificates."""
        named = tuple(os.environ.get(name) for name in _CA_NAMES)
        with self._lock:
            if self._context is None or self._context[0] != named:
                self._context = named, _context(named)
            return self._context[1]


class _Dialled(HTTPConnection):
    """A connection whose socket comes from `dial`."""

    def __init__(self, host: str, port: int, *, dial: Dial, **options: Any) -> None:
        super().__init__(host, port, **options)
        self._dial = dial

    def _new_conn(self) -> socket.socket:
        try:
            return self._dial(self._dns_host, self.port, self.timeout)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"no connection to {self.host} in time") from error
        except OSError as error:
            raise NewConnectionError(self, f"no connection: {error.strerror or error}") from error


class _Secure(_Dialled, HTTPSConnection):
    pass


def connect(sock: socket.socket, timeout: float | None) -> None:
    """Wait until a socket is connected; its `shutdown` by another thread ends the wait."""
    # A server of this machine has answered by now: no need to set up what waits.
    if not _is_connected(sock, _NativePoll(), 0):
        within = None if timeout is None else timeout * 1000
        if not _is_connected(sock, select.poll(), within):
            raise TimeoutError("no connection in time")
    failed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if failed:
        raise OSError(failed, os.strerror(failed))


def _is_connected(sock: socket.socket, poll: select.poll, within_ms: float | None) -> bool:
    """Whether it is, or has failed to, within so many milliseconds."""
    poll.register(sock.fileno(), select.POLLOUT)
    return bool(poll.poll(within_ms))


def explain_tls(error: ssl.SSLError, where: str) -> str:
    """What went wrong with TLS, and what to do about it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message or error.reason or "not verified"
        message = f"the certificate of the model's server at {where} is not accepted ({why})"
        return f"{message}: SSL_CERT_FILE or REQUESTS_CA_BUNDLE can name one that it is signed with"
    reason = (error.reason or str(error)).replace("_", " ").lower()
    message = f"no TLS with the model's server at {where} ({reason})"
    if "wrong version" in reason or "record layer" in reason or "http request" in reason:
        message += ": does it speak http:// (STREAMING_LLM_BASE_URL)?"
    return message


def _context(named: tuple[str | None, ...]) -> ssl.SSLContext:
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
    given = [(name, Path(path)) for name, path in zip(_CA_NAMES, named, strict=True) if path]
    if not given:
        context.load_verify_locations(cafile=certifi.where())
    for name, path in given:
        try:
            if path.is_dir():
                context.load_verify_locations(capath=path)
            else:
                context.load_verify_locations(cafile=path)
        except (OSError, ssl.SSLError) as error:
            why = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
            message = f"{name}={path} cannot be read as certificates ({why})"
            raise TaskError(message, code="model_unavailable") from error
    return context


def _as_url(proxy: str) -> Url:
    return parse_url(proxy if "://" in proxy else f"http://{proxy}")


def _bare(host: str) -> str:
    """Without the brackets of IPv6."""
    return host.strip("[]")
