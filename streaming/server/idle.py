"""How long a gevent worker keeps connections that wait for their next request, and how many.

A proxy keeps its connections to us for a minute or more and must be the one who ends them: a
request on one that we are just ending is lost. gunicorn knows one time for all waits, be it for a
connection's first request or while the worker leaves.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol
from weakref import WeakSet

from gevent import Timeout, get_hub, getcurrent, sleep, spawn

from streaming.server.gunicorn_parts import Worker
from streaming.server.heads import HEAD_S

#: Seconds after which a worker that leaves ends those that are idle: who sends at that moment is
#: still answered, and told that it was the last time.
LEAVE_S = 0.5
#: Idle connections at most, and at most this share of all: streams and new clients find a place.
MOST, SHARE = 500, 0.25
#: Seconds between looks whether the worker was told to leave.
LOOK_S = 0.1


class _Greenlet(Protocol):
    def throw(self, error: BaseException) -> object: ...


class IdleConnections:
    """Those that have been served and may be again. For the event loop's thread alone."""

    def __init__(self, *, keep_s: float, most: int) -> None:
        """Each is kept for `keep_s`, or until there are more than `most`."""
        self._keep_s = keep_s
        self._most = most
        #: Connections that have had a request; each is served by a greenlet of its own.
        self._served: WeakSet[_Greenlet] = WeakSet()
        #: What ends the wait of each that is idle; the longest idle one is first.
        self._waits: dict[Timeout, _Greenlet] = {}

    def __len__(self) -> int:
        """How many are idle."""
        return len(self._waits)

    @contextmanager
    def wait(self) -> Iterator[None]:
        """Around reading the head of a request: ends it, and the connection, when it is time."""
        connection = getcurrent()
        if connection not in self._served:
            self._served.add(connection)
            with _over_after(HEAD_S):
                yield
            return
        timeout = _over_after(self._keep_s)
        self._waits[timeout] = connection
        self._trim_soon()
        try:
            with timeout:
                yield
        finally:
            self._waits.pop(timeout, None)

    def end_all(self) -> None:
        """Keep none any more."""
        self._most = 0
        self._trim_soon()

    def _trim_soon(self) -> None:
        if len(self._waits) > self._most:
            get_hub().loop.run_callback(self._trim)  # there it switches to them without harm

    def _trim(self) -> None:
        while len(self._waits) > self._most:
            timeout = next(iter(self._waits))
            self._waits.pop(timeout).throw(timeout)


def _over_after(seconds: float) -> Timeout:
    """Ends a block after so long, without a word."""
    return Timeout(seconds, False)  # type: ignore[arg-type]


def keep_idle_connections(worker: Worker) -> None:
    """Have a gevent worker keep connections as it is said here, and tell of them as gthread's."""
    most = min(MOST, int(worker.cfg.worker_connections * SHARE))
    idle = IdleConnections(keep_s=worker.cfg.keepalive, most=most)
    worker.timeout_ctx, worker.keepalived_conns = idle.wait, idle

    def leave_with_it() -> None:
        while worker.alive:
            sleep(LOOK_S)
        sleep(LEAVE_S)
        idle.end_all()

    spawn(leave_with_it)
