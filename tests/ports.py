"""Ports for servers that tests start.

From below those that the system hands out by itself, or a client's connection could take one
between its choice and the server's start. Each worker process of pytest has a part of its own.
"""

from __future__ import annotations

import itertools
import os
import random
import socket

LOWEST, EACH = 10_000, 2_500

_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_first = LOWEST + EACH * (_worker % 8)
_offsets = itertools.count(random.randrange(EACH))


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses, and that was not given for long."""
    for offset in itertools.islice(_offsets, EACH):
        port = _first + offset % EACH
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:  # taken
                continue
            return port
    raise AssertionError(f"no port is free from {_first} to {_first + EACH}")
