"""Mending of logs that storage has torn: the interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from streaming.events.event import Draft


class Mender(ABC):
    """For storages that may lose what they have acknowledged: so that nobody misses it unaware.

    A torn log goes on behind all that was ever seen of it: every reader is told of the gap.
    """

    @abstractmethod
    def torn(self) -> Mapping[str, int]:
        """Jobs whose log has lost events, with the last seq that readers may have seen."""

    @abstractmethod
    def mend(self, job: str, base: bytes, *, at: int, seq: int, end: Draft | None) -> None:
        """Have the log begin behind `seq`; `base` is the fold of what is left.

        `end` is the terminal event of a log that is closed: it comes behind the base. `at` is the
        log's present end; when it has moved, nothing happens and the log stays torn.
        """
