"""The parts of gunicorn's objects that are used: the library has no types."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence, Sized
from contextlib import AbstractContextManager
from types import FrameType
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class Config(Protocol):
    """The settings, as gunicorn has read them."""

    worker_class_str: str
    workers: int
    threads: int
    worker_connections: int
    #: Seconds that an idle connection is kept.
    keepalive: int
    reuse_port: bool
    #: Host and port, the path of a Unix socket, or a descriptor.
    address: Sequence[object]


class Log(Protocol):
    """Its logger; ours, where gunicorn.conf.py says so."""

    def error(self, message: str, *args: object) -> None: ...


class Arbiter(Protocol):
    """The master."""

    WORKER_BOOT_ERROR: int
    APP_LOAD_ERROR: int
    cfg: Config
    log: Log
    #: How many workers it has made, and those that there are, by their process.
    worker_age: int
    WORKERS: Mapping[int, Worker]
    #: Tells workers to leave that are too many, the oldest first.
    manage_workers: Callable[[], None]

    def reap_workers(self) -> None: ...

    def wait_for_signals(self, timeout: float) -> list[int]: ...

    def signal(self, sig: int, frame: FrameType | None) -> None: ...


class Accepted(Protocol):
    """A connection that a gthread worker serves."""

    sock: socket.socket
    close: Callable[..., None]
    #: When its wait is over, on `monotonic`.
    timeout: float


class Worker(Protocol):
    """A process that serves."""

    pid: int
    #: Its number in the order in which the master made them.
    age: int
    cfg: Config
    log: Log
    #: How gunicorn finds the app.
    app: object
    #: What is served, once it is loaded.
    wsgi: WSGIApplication
    sockets: Sequence[socket.socket]
    booted: bool
    #: False from when it is told to leave.
    alive: bool
    load_wsgi: Callable[[], None]
    #: gthread's: serves a connection until the next request is awaited; whether one is.
    handle: Callable[[Accepted], object]
    #: Called by it with what has come: a request, or the beginning of a connection of many.
    handle_request: Callable[[object, Accepted], object]
    handle_http2: Callable[[Accepted], object]
    #: Ends the waits that are over, each second, or all: gthread's.
    murder_keepalived: Callable[..., None]
    #: Connections on which nothing has come yet, the latest is last: gthread's.
    pending_conns: Sequence[Accepted]
    #: Ends a connection's wait for its next request: gevent's.
    timeout_ctx: Callable[[], AbstractContextManager[None]]
    #: Connections that wait for their next request.
    keepalived_conns: Sized

    def handle_exit(self, signal: int, frame: FrameType | None) -> None: ...
