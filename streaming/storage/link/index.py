"""The job index at the other end."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from streaming.storage.base import JobIndex
from streaming.storage.link.peer import Peer
from streaming.storage.link.wire import pack_submission, unpack_row
from streaming.storage.rows import JobRow, Submission


class LinkIndex(JobIndex):
    """Each look is a call."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def submit(self, submission: Submission, *, only_known: bool = False) -> tuple[JobRow, bool]:
        row, new = self._peer.call("submit", pack_submission(submission), only_known)
        return unpack_row(row), new

    def get(self, job: str) -> JobRow | None:
        row = self._peer.call("get", job)
        return None if row is None else unpack_row(row)

    def list(
        self,
        *,
        owner: str | None = None,
        statuses: Collection[str] = (),
        task: str | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> list[JobRow]:
        options = {
            "owner": owner,
            "statuses": [*statuses],
            "task": task,
            "before": before,
            "limit": limit,
        }
        return [unpack_row(row) for row in self._peer.call("list", options)]

    def remove(self, job: str, *, tombstone: bool) -> None:
        self._peer.call("remove", job, tombstone)

    def due(self, now: float) -> Iterable[str]:
        due: Iterable[str] = self._peer.call("due", now)
        return due

    def long(self, events: int) -> Iterable[JobRow]:
        return [unpack_row(row) for row in self._peer.call("long", events)]
