"""One HTTP exchange with a server, which another thread can cut at any moment.

`requests` cannot be interrupted from outside. So each exchange has a connection of its own, and a
second handle of its socket: to shut that down wakes whoever waits in connect, send or receive.
"""

from __future__ import annotations

import functools
import os
import select
import socket
from collections.abc import Callable
from typing import Any, Self

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from streaming.concurrency import native_lock, original

#: Not gevent's: a shutdown by another thread must not touch this thread's event loop.
_Handle: Callable[..., Any] = original("socket", "socket")


class Line:
    """Used by one thread; `cut` may come from any other."""

    def __init__(self) -> None:
        self._lock = native_lock()
        self._handle: Any = None
        self._is_cut = False
        self._response: requests.Response | None = None
        self._session = requests.Session()
        adapter = _Adapter(self)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)
        #: The socket that is read, TLS and all.
        self.socket: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._response is not None:
            self._response.close()
        self._session.close()
        with self._lock:
            self._drop_handle()

    def cut(self) -> None:
        """End the exchange: what waits for the server fails at once, what comes later too."""
        with self._lock:
            self._is_cut = True
            if self._handle is not None:
                _shut(self._handle)

    def request(
        self, method: str, url: str, *, timeout: tuple[float, float], **options: Any
    ) -> requests.Response:
        """The head of the answer. Seconds to connect, and to wait for each byte of it.

        A redirect is not followed: it would take the key elsewhere.
        """
        self._response = self._session.request(
            method, url, timeout=timeout, stream=True, allow_redirects=False, **options
        )
        return self._response

    def read(self, timeout: float) -> bytes:
        """What comes next of the body, waited for so many seconds; empty at its end."""
        assert self._response is not None
        if self.socket is not None:
            self.socket.settimeout(max(0.001, timeout))
        data: bytes = self._response.raw.read1(1 << 16, decode_content=True)
        return data

    def dial(self, host: str, port: int, timeout: float | None) -> socket.socket:
        """A connected socket that `cut` knows."""
        failure: OSError = OSError("the name has no address")
        for family, kind, proto, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        ):
            sock = socket.socket(family, kind, proto)
            try:
                self._connect(sock, address, timeout)
            except OSError as error:
                sock.close()
                failure = error
            else:
                return sock
        raise failure

    def _connect(self, sock: socket.socket, address: Any, timeout: float | None) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        sock.connect_ex(address)
        # Only a socket that is connecting can be shut down, so `cut` learns of it here.
        self._keep_handle(sock)
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLOUT)
        if not poll.poll(None if timeout is None else timeout * 1000):
            raise TimeoutError("no connection in time")
        failed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failed:
            raise OSError(failed, os.strerror(failed))
        sock.settimeout(timeout)

    def _keep_handle(self, sock: socket.socket) -> None:
        with self._lock:
            if self._is_cut:
                raise ConnectionAbortedError("the exchange was cut")
            self._drop_handle()
            self._handle = _Handle(fileno=os.dup(sock.fileno()))

    def _drop_handle(self) -> None:
        if self._handle is not None:
            self._handle.close()
            self._handle = None


def _shut(handle: Any) -> None:
    try:
        handle.shutdown(socket.SHUT_RDWR)
    except OSError:  # the server was faster
        return


class _OnLine:
    """A connection that is dialled by a line."""

    def __init__(self, *args: Any, line: Line, **options: Any) -> None:
        super().__init__(*args, **options)
        self._line = line

    def _new_conn(self: Any) -> socket.socket:
        try:
            return self._line.dial(self._dns_host, self.port, self.timeout)  # type: ignore[no-any-return]
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"no connection to {self.host} in time") from error
        except OSError as error:
            raise NewConnectionError(self, f"no connection: {error.strerror or error}") from error

    def connect(self: Any) -> None:
        super().connect()  # type: ignore[misc]
        self._line.socket = self.sock


class _Connection(_OnLine, HTTPConnection):
    pass


class _SecureConnection(_OnLine, HTTPSConnection):
    pass


class _Adapter(HTTPAdapter):
    """Has every connection dialled by one line, those to a proxy as well."""

    def __init__(self, line: Line) -> None:
        self._pools = {
            "http": functools.partial(_pool, HTTPConnectionPool, _Connection, line),
            "https": functools.partial(_pool, HTTPSConnectionPool, _SecureConnection, line),
        }
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        manager = super().proxy_manager_for(*args, **options)
        manager.pool_classes_by_scheme = self._pools
        return manager


def _pool(kind: Any, connection: type[_OnLine], line: Line, *args: Any, **options: Any) -> Any:
    pool = kind(*args, **options)
    pool.ConnectionCls = functools.partial(connection, line=line)
    return pool
