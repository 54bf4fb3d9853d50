"""Logs that storage has set back go on, in a way that no reader misses what was lost unaware."""

from __future__ import annotations

import logging

from streaming.concurrency import Thread, make_waker
from streaming.errors import NotFound, StreamingError
from streaming.snapshot import Snapshots
from streaming.storage.base import Storage

logger = logging.getLogger(__name__)

#: Seconds between two looks.
LOOK_S = 0.5


class Mending:
    """Owns one thread, where storage may lose what it has acknowledged."""

    def __init__(self, storage: Storage, snapshots: Snapshots) -> None:
        self._storage = storage
        self._snapshots = snapshots
        self._thread = Thread(self._work, name="mending")

    def start(self) -> None:
        if self._storage.mender is not None:
            self._thread.start()

    def mend(self) -> None:
        """One look at every torn log."""
        mender = self._storage.mender
        if mender is None:
            return
        for job, seen in mender.torn().items():
            self._snapshots.drop(job)  # it has what is lost
            try:
                state = self._snapshots.state(job)
            except NotFound:
                mender.mend(job, b"", at=0, seq=0)  # it is removed: that is noticed
                continue
            at, state.seq = state.seq, max(seen, state.seq) + 1
            mender.mend(job, state.dump(), at=at, seq=state.seq)

    def _work(self) -> None:
        waker = make_waker()
        while True:
            waker.wait(LOOK_S)
            try:
                self.mend()
            except StreamingError as error:
                if error.code == "draining":
                    return
                logger.warning("mending logs has to wait: %s", error.detail)
            except Exception:  # whatever it was, the next look must come
                logger.exception("mending logs failed")
