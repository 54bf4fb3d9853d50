"""The rows of jobs as a process's writer last saw them."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from streaming.storage.redis.rows import StoredRow

#: Maximum rows remembered; others are fetched from Redis before an append.
MOST = 5000


@dataclass(slots=True)
class Known:
    """A job as this writer last saw it."""

    stored: StoredRow
    #: The number of our last append that Redis has confirmed.
    confirmed: int = 0
    #: Whether it was fetched in this round: a refusal need not be checked again.
    fresh: bool = True


class KnownRows:
    """Used by the writer's thread alone."""

    def __init__(self) -> None:
        self._rows: OrderedDict[str, Known] = OrderedDict()

    def __contains__(self, job: str) -> bool:
        return job in self._rows

    def get(self, job: str) -> Known | None:
        return self._rows.get(job)

    def learn(self, job: str, stored: StoredRow | None, confirmed: bytes) -> None:
        """Remember what Redis has of a job, and the number of our last append in it."""
        if stored is None or stored.row.expired:
            self._rows.pop(job, None)
            return
        self._rows[job] = Known(stored, int(confirmed))
        # Never fewer than one batch needs: those were fetched just now.
        while len(self._rows) > MOST:
            self._rows.popitem(last=False)

    def forget(self, job: str) -> Known | None:
        """Forget a row, so that Redis is asked before the next append; what was known."""
        return self._rows.pop(job, None)
