"""Repair of logs that Redis has set back, as a failover to a lagging replica does."""

from __future__ import annotations

from collections.abc import Mapping

from streaming.events.event import Draft, Event
from streaming.storage.mender import Mender
from streaming.storage.redis.follower import Follower
from streaming.storage.redis.keys import Keys
from streaming.storage.redis.link import Link, call
from streaming.storage.redis.memberships import Memberships
from streaming.storage.redis.rows import Rows, new_rev
from streaming.storage.redis.scripts import MEND


class RedisMender(Mender):
    """The logs that follower and writer have found torn, until they are mended."""

    def __init__(
        self, link: Link, rows: Rows, keys: Keys, *, follower: Follower, memberships: Memberships
    ) -> None:
        self._link = link
        self._rows = rows
        self._keys = keys
        self._follower = follower
        self._memberships = memberships

    def torn(self) -> Mapping[str, int]:
        torn = dict(self._follower.torn)
        for job, stored in zip(torn, self._rows.get_all(torn), strict=True):
            if stored is None or stored.row.expired or stored.row.base > torn[job]:
                # Gone, or restarted after all that we have seen: another process was first.
                self._follower.torn.pop(job, None)
        return dict(self._follower.torn)

    def mend(self, job: str, base: bytes, *, at: int, seq: int, end: Draft | None) -> None:
        stored = self._rows.get(job)
        if stored is None or stored.row.seq != at:
            return
        last = b"" if end is None else Event.of(job, seq + 1, end).json
        keys = [self._keys.row(job), self._keys.events(job), self._keys.base(job)]
        args = (stored.rev, new_rev(), seq, base, len(last), last)
        [mended] = self._link.call(call(MEND, keys, self._keys.channel(job), *args))
        if not mended:
            return
        self._memberships.grow(len(last) - stored.row.size)
        tail, after = self._follower.tails.find(job), self._rows.get(job)
        if tail is not None and after is not None:
            self._follower.restart(tail, after.row)
        self._follower.torn.pop(job, None)
