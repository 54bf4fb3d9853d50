"""Logs that Redis has set back, as a failover to a replica that lagged does."""

from __future__ import annotations

from collections.abc import Mapping

from streaming.storage.base import Mender
from streaming.storage.redis.follower import Follower
from streaming.storage.redis.keys import Keys
from streaming.storage.redis.link import Link, call
from streaming.storage.redis.memberships import Memberships
from streaming.storage.redis.rows import Rows, new_rev
from streaming.storage.redis.scripts import MEND


class RedisMender(Mender):
    """What the follower and the writer have found torn, until it is mended."""

    def __init__(
        self, link: Link, rows: Rows, keys: Keys, *, follower: Follower, memberships: Memberships
    ) -> None:
        self._link = link
        self._rows = rows
        self._keys = keys
        self._follower = follower
        self._memberships = memberships

    def torn(self) -> Mapping[str, int]:
        return dict(self._follower.torn)

    def mend(self, job: str, base: bytes, *, at: int, seq: int) -> None:
        stored = self._rows.get(job)
        if stored is not None and not stored.row.expired and stored.row.base <= at:
            if stored.row.seq != at:
                return
            keys = [self._keys.row(job), self._keys.events(job), self._keys.base(job)]
            script = call(MEND, keys, self._keys.channel(job), stored.rev, new_rev(), seq, base)
            [mended] = self._link.call(script)
            if not mended:
                return
            self._memberships.grow(-stored.row.size)
            tail = self._follower.tails.find(job)
            after = self._rows.get(job)
            if tail is not None and after is not None:
                tail.restart(after.row)
        # Gone, mended by another process, or by us.
        self._follower.torn.pop(job, None)
