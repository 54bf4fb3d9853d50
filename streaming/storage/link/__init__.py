"""A storage at the other end of a socket pair: for processes that run a server's jobs."""

from __future__ import annotations

from streaming.storage.link.client import LinkSnapshots, LinkStorage
from streaming.storage.link.peer import Peer
from streaming.storage.link.server import LinkServer

__all__ = ["LinkServer", "LinkSnapshots", "LinkStorage", "Peer"]
