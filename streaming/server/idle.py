"""How long a gevent worker keeps idle connections, and how many.

A proxy keeps its connections to us for a minute or more, and must be the one to close them: a
request on a connection that we are just closing is lost. gunicorn has only one time-out for all
waits, even for a connection's first request, and while the worker leaves.
"""

from __future__ import annotations

import time
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
#: Maximum idle connections, and their maximum share of all: streams and new clients need room.
MOST, SHARE = 500, 0.25
#: Seconds for which no idle connection is too many: long polls that an event has answered all at
#: once ask again, and their requests may be there already.
SETTLE_S = 1.0
#: Seconds between looks whether the worker was told to leave.
LOOK_S = 0.1


class _Greenlet(Protocol):
    def throw(self, error: BaseException) -> object: ...


class IdleConnections:
    """Connections that wait for their next request. For the event loop's thread only."""

    def __init__(self, *, keep_s: float, most: int, settle_s: float = SETTLE_S) -> None:
        """Each is kept for `keep_s`; the longest idle ones are ended where there are more than
        `most` that have been idle for `settle_s`."""
        self._keep_s = keep_s
        self._most = most
        self._settle_s = settle_s
        #: Connections that have had a request; each is served by a greenlet of its own.
        self._served: WeakSet[_Greenlet] = WeakSet()
        #: What ends the wait of each that is idle, and since when it is; the longest idle one is
        #: first.
        self._waits: dict[Timeout, tuple[_Greenlet, float]] = {}
        #: Whether a look at them is to come.
        self._looks = False

    def __len__(self) -> int:
        """How many are idle."""
        return len(self._waits)

    @contextmanager
    def wait(self) -> Iterator[None]:
        """Around reading the head of a request: ends the wait, and the connection, in time."""
        connection = getcurrent()
        if connection not in self._served:
            self._served.add(connection)
            with _over_after(HEAD_S):
                yield
            return
        timeout = _over_after(self._keep_s)
        self._waits[timeout] = connection, time.monotonic()
        if len(self._waits) > self._most and not self._looks:
            self._look_in(self._settle_s)
        try:
            with timeout:
                yield
        finally:
            self._waits.pop(timeout, None)

    def end_all(self) -> None:
        """Keep none any more."""
        self._most, self._settle_s = 0, 0.0
        self._look_in(0)

    def _look_in(self, seconds: float) -> None:
        self._looks = True
        loop = get_hub().loop
        timer = loop.timer(seconds)

        def look() -> None:
            timer.close()
            # A turn later, so that on a busy loop those go first whose requests are there by now;
            # and from the loop's own callback: there it switches to them without harm.
            loop.run_callback(self._trim)

        timer.start(look, update=True)

    def _trim(self) -> None:
        self._looks = False
        while len(self._waits) > self._most:
            timeout, (connection, since) = next(iter(self._waits.items()))
            left_s = since + self._settle_s - time.monotonic()
            if left_s > 0:
                self._look_in(left_s)
                return
            del self._waits[timeout]
            connection.throw(timeout)


def _over_after(seconds: float) -> Timeout:
    """Ends a block silently after so many seconds."""
    return Timeout(seconds, False)  # type: ignore[arg-type]


def keep_idle_connections(worker: Worker) -> None:
    """Have a gevent worker keep idle connections by these rules, and count them like gthread's."""
    most = min(MOST, int(worker.cfg.worker_connections * SHARE))
    idle = IdleConnections(keep_s=worker.cfg.keepalive, most=most)
    worker.timeout_ctx, worker.keepalived_conns = idle.wait, idle

    def leave_with_it() -> None:
        while worker.alive:
            sleep(LOOK_S)
        sleep(LEAVE_S)
        idle.end_all()

    spawn(leave_with_it)
