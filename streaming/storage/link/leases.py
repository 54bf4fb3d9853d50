"""Leases that the other end keeps; what this process holds ends with the link."""

from __future__ import annotations

from collections.abc import Mapping

from streaming.concurrency.pending import Pending
from streaming.concurrency.waking import Waker
from streaming.storage.leases import Leases, Pool
from streaming.storage.link.peer import Peer


class LinkLeases(Leases):
    """Each statement is a call."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def request(self, job: str, needs: Mapping[str, int]) -> None:
        self._peer.call("request", job, dict(needs))

    def position(self, job: str) -> int:
        return int(self._peer.call("position_of", job))

    def wait(self, job: str, position: int, timeout: float, waker: Waker) -> None:
        asked: Pending[None] = self._peer.begin("queue", job, position, timeout)
        asked.waker = waker
        if not asked.done:
            waker.wait(timeout)
        if asked.done:
            asked.result()

    def release(self, job: str) -> None:
        if not self._peer.over.is_open:
            self._peer.call("release", job)

    def pools(self) -> Mapping[str, Pool]:
        return {name: Pool(*pool) for name, pool in self._peer.call("pools").items()}
