"""The end of a link that has no storage of its own: what it is asked for, the other end does."""

from __future__ import annotations

from streaming.events.snapshot import Snapshot
from streaming.storage.base import Storage
from streaming.storage.link.blobs import link_blobs
from streaming.storage.link.index import LinkIndex
from streaming.storage.link.leases import LinkLeases
from streaming.storage.link.log import LinkLog
from streaming.storage.link.peer import Peer
from streaming.storage.link.viewers import LinkViewers
from streaming.storage.link.wire import unpack_row
from streaming.storage.snapshots import Snapshots, Standing


class LinkStorage(Storage):
    """The storage of the process at the other end; `Unavailable` for ever when that is gone.

    Blobs in a folder are read and written there: both processes are on one machine.
    """

    log: LinkLog

    def __init__(self, peer: Peer) -> None:
        """`peer` is started by `open`, unless it has been before."""
        self._peer = peer
        self.log = LinkLog(peer)
        self.index = LinkIndex(peer)
        self.viewers = LinkViewers(peer)
        self.leases = LinkLeases(peer)

    @property
    def durable(self) -> bool:  # type: ignore[override]
        return bool(self._peer.call("durable"))

    def open(self, *, timeout: float) -> None:  # noqa: ARG002 - the other end has it open
        self._peer.start()
        self.blobs = link_blobs(self._peer)

    def close(self) -> None:
        self._peer.close()

    def size(self) -> int:
        return int(self._peer.call("size"))

    def turn(self, what: str) -> bool:
        return bool(self._peer.call("turn", what))

    def secret(self) -> bytes:
        return bytes(self._peer.call("secret"))

    def appended(self) -> int:
        return int(self._peer.call("appended"))

    def fault(self) -> str | None:
        fault: str | None = self._peer.call("fault")
        return fault


class LinkSnapshots(Snapshots):
    """Folds that the other end makes and keeps: each look is one call."""

    def __init__(self, storage: LinkStorage, peer: Peer) -> None:
        super().__init__(storage.log, storage.index)
        self._peer = peer

    def state(self, job: str) -> Snapshot:
        return Snapshot.load(self._peer.call("state", job))

    def standing(self, job: str) -> Standing | None:
        found = self._peer.call("standing", job)
        if found is None:
            return None
        row, state, records = found
        return Standing(unpack_row(row), Snapshot.load(state), records)

    def text(self, job: str, limit: int) -> str:
        return str(self._peer.call("text", job, limit))
