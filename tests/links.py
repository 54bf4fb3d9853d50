"""A storage and a link to it, both ends in the test's process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from streaming.concurrency.sockets import native_pair
from streaming.storage.base import Storage
from streaming.storage.link import LinkServer, LinkStorage, Peer
from streaming.storage.snapshots import Snapshots


class LinkedStorage(LinkStorage):
    """The end without a storage; the other one is opened and closed with it."""

    def __init__(self, served: Storage) -> None:
        ours, theirs = native_pair()
        self.served = served
        self.peer = Peer(ours, name="link", inline=True)
        self._other = Peer(theirs, name="served")
        self._server = LinkServer(self._other, served, Snapshots(served.log, served.index))
        self._other.when_over(self._server.release)
        super().__init__(self.peer)

    def open(self, *, timeout: float) -> None:
        self.served.open(timeout=timeout)
        self._other.start()
        super().open(timeout=timeout)

    def close(self) -> None:
        super().close()
        self._other.close()
        self.served.close()

    def add_served(self, methods: Mapping[str, Callable[..., Any]]) -> None:
        """More that the end with the storage answers; before `open`."""
        self._other.add(methods=methods)

    def break_off(self) -> None:
        """The process with the storage is gone, as this end sees it."""
        self._other.close()
