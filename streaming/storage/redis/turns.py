"""Turns: work that one process does for all. Its holder keeps a turn by asking again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from streaming.errors import StreamingError
from streaming.storage.redis.keys import Keys
from streaming.storage.redis.link import Link, call
from streaming.storage.redis.scripts import RELEASE, TURN

logger = logging.getLogger(__name__)

#: Seconds for which a turn outlasts its holder, and between two requests of it.
LASTS_S, ASK_S = 6.0, 1.5


class Turns:
    """The turns that this process holds, or has asked for."""

    def __init__(
        self,
        link: Link,
        keys: Keys,
        *,
        process: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._link = link
        self._keys = keys
        self._process = process
        self._clock = clock
        #: For each turn, when it was last asked for, and whether it was ours.
        self._asked: dict[str, tuple[float, bool]] = {}

    def mine(self, what: str) -> bool:
        now = self._clock()
        asked_at, was_mine = self._asked.get(what, (-ASK_S, False))
        if now - asked_at < ASK_S:
            return was_mine
        [mine] = self._link.call(
            call(TURN, [self._keys.turn(what)], self._process, int(LASTS_S * 1000))
        )
        self._asked[what] = (now, bool(mine))
        return bool(mine)

    def release(self) -> None:
        """Let others have their turn at once."""
        held = [what for what, (_, mine) in self._asked.items() if mine]
        try:
            self._link.call(
                *[call(RELEASE, [self._keys.turn(what)], self._process) for what in held]
            )
        except StreamingError as error:
            logger.debug("turns end by themselves: %s", error.detail)
