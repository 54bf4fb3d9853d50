"""How a server shuts down: streams end, jobs finish or are handed over, the log closes last."""

from __future__ import annotations

import time

from streaming.concurrency.waking import make_waker
from streaming.server.parts import Parts
from streaming.server.process import ServingProcess

#: Shares of the shutdown time in which jobs may finish, and may be unwound.
FINISH_SHARE, UNWIND_SHARE = 0.5, 0.2
#: Maximum seconds for clients to take the end of their streams, and for the streams of the others
#: to end after they were cut.
CLOSE_S, CUT_S = 1.5, 0.5
#: Maximum seconds for which a leaving worker may still be given requests, and for answering the
#: last of them.
LISTENER_S, LAST_REQUEST_S = 5.0, 0.2
#: Seconds between checks whether requests still arrive.
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
    # 3. Streams send what they still have; clients that do not take it, or go on sending, are cut.
    if not parts.streams.wait_until_closed(min(total_s * UNWIND_SHARE, CLOSE_S)):
        parts.streams.cut()
        parts.streams.wait_until_closed(CUT_S)
    # 4. Requests that the worker still accepts; the jobs that they store are the successor's.
    if successors or process.succeeded():
        _outlast_listener(process, until=began + LISTENER_S)
    # Only now: the body of a request that was just accepted may still be arriving.
    parts.deadlines.end_all()
    # 5. The threads, the log's last: a successor may open it then.
    parts.stop()


def _outlast_listener(process: ServingProcess, *, until: float) -> None:
    """gunicorn's gevent worker accepts requests for a second or more after it is told to leave."""
    waker, listened = make_waker(), False
    while process.listening() and time.monotonic() < until:
        listened = True
        waker.wait(LOOK_S)
    if listened:
        waker.wait(LAST_REQUEST_S)
