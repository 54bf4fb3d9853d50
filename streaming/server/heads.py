"""How long a gthread worker waits for the head of a request: gunicorn's threads wait for ever.

A connection on which nothing has come needs no thread: gunicorn's poller has it meanwhile.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress

from gunicorn.workers import gthread

from streaming.server.gunicorn_parts import Accepted, Worker

#: Seconds that a connection has for the head of its first request, and for that of each later one
#: from its first byte on.
HEAD_S = 2.0
#: Seconds that a thread waits for a connection's first byte, which most clients have sent by then,
#: and for the rest of a body that nobody wanted: gunicorn has 5.
BYTE_S = 0.02


def limit_heads(worker: Worker) -> None:
    """Have heads end in time; looked at in the thread that lets clients in, once a second."""
    gthread.DEFAULT_WORKER_DATA_TIMEOUT = BYTE_S
    handle, serve, serve_http2 = worker.handle, worker.handle_request, worker.handle_http2
    look_after_idle = worker.murder_keepalived
    #: Until when the heads that threads read must have come, on `monotonic`.
    due: dict[Accepted, float] = {}

    def handle_in_time(connection: Accepted) -> object:
        due[connection] = time.monotonic() + HEAD_S
        try:
            return handle(connection)
        finally:
            due.pop(connection, None)

    def serve_what_has_come(request: object, connection: Accepted) -> object:
        due.pop(connection, None)
        return serve(request, connection)

    def serve_http2_that_has_begun(connection: Accepted) -> object:
        due.pop(connection, None)
        return serve_http2(connection)

    def look(force: bool = False) -> None:
        now = time.monotonic()
        for connection, at in list(due.items()):
            if at <= now:
                with suppress(OSError):  # it has gone by itself
                    connection.sock.shutdown(socket.SHUT_RD)
        for connection in reversed(worker.pending_conns):  # the latest is first, as gunicorn has it
            if connection.timeout <= now + HEAD_S:
                break
            connection.timeout = now + HEAD_S
        look_after_idle(force)

    worker.handle, worker.handle_request = handle_in_time, serve_what_has_come
    worker.handle_http2, worker.murder_keepalived = serve_http2_that_has_begun, look
