"""Sockets that belong to real threads: gevent's own would touch the event loop of their maker."""

from __future__ import annotations

import _socket
from typing import TypeAlias

#: A socket as the system has it, whatever gevent has patched.
NativeSocket: TypeAlias = _socket.socket


def native_pair() -> tuple[NativeSocket, NativeSocket]:
    """Two connected stream sockets without a name; no program that is executed inherits them."""
    ours, theirs = _socket.socketpair()
    return ours, theirs


def native_socket(descriptor: int) -> NativeSocket:
    """The stream socket that a descriptor stands for; it owns the descriptor from now on."""
    return _socket.socket(fileno=descriptor)
