"""How a server leaves: streams are told, jobs end or are handed over, the log is closed last."""

from __future__ import annotations

import time

from streaming.concurrency.waking import make_waker
from streaming.server.parts import Parts
from streaming.server.process import ServingProcess

#: Of the time to leave: how much of it jobs may use to finish, and to be unwound.
FINISH_SHARE, UNWIND_SHARE = 0.5, 0.2
#: Maximum seconds in which clients take the end of their streams, and in which the streams
#: of the others then end.
CLOSE_S, CUT_S = 1.5, 0.5
#: Maximum seconds for which a worker that leaves may still be given requests, and that the
#: last of them has to be answered.
LISTENER_S, LAST_REQUEST_S = 5.0, 0.2
#: Seconds between looks whether requests still come.
LOOK_S = 0.05


def drain(parts: Parts, process: ServingProcess, *, total_s: float, successors: bool) -> None:
    """End everything within about `total_s` seconds; returns when it is done.

    `successors`: other processes serve the same log.
    """
    began = time.monotonic()
    # 1. Streams are told first, so that their clients are on their way to another process.
    parts.streams.drain()
    # 2. Jobs finish, or are handed over to their next attempt: they still need the log.
    parts.registry.drain(finish_s=total_s * FINISH_SHARE, unwind_s=total_s * UNWIND_SHARE)
    # 3. What streams have still to send; whoever does not take it, or goes on sending, is cut.
    if not parts.streams.wait_until_closed(min(total_s * UNWIND_SHARE, CLOSE_S)):
        parts.streams.cut()
        parts.streams.wait_until_closed(CUT_S)
    # 4. Requests that the worker still accepts: jobs that they store are the successor's.
    if successors or process.succeeded():
        _outlast_listener(process, until=began + LISTENER_S)
    # Only now: the body of a request that it has just been given is on its way.
    parts.deadlines.end_all()
    # 5. The threads, the log's own last: a successor may open it then.
    parts.stop()


def _outlast_listener(process: ServingProcess, *, until: float) -> None:
    """gunicorn's gevent worker accepts for a second, or more, after it is told to leave."""
    waker, listened = make_waker(), False
    while process.listening() and time.monotonic() < until:
        listened = True
        waker.wait(LOOK_S)
    if listened:
        waker.wait(LAST_REQUEST_S)
