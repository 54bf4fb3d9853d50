"""Repair of logs that storage has torn: the interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from streaming.events.event import Draft


class Mender(ABC):
    """For storages that may lose acknowledged events: no reader misses them unknowingly.

    A torn log goes on after the last event that anyone saw, and every reader is told of the gap.
    """

    @abstractmethod
    def torn(self) -> Mapping[str, int]:
        """Jobs whose log has lost events, with the last seq that readers may have seen."""

    @abstractmethod
    def mend(self, job: str, base: bytes, *, at: int, seq: int, end: Draft | None) -> None:
        """Let the log begin after `seq`; `base` is the fold of what is left.

        `end` is the terminal event of a closed log, and follows the base. `at` is the log's
        present end; if that has moved, nothing happens and the log stays torn.
        """
