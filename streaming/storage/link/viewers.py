"""Who watches which job, as the other end knows; viewers of this process are told there."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from streaming.storage.link.peer import Peer
from streaming.storage.link.wire import unpack_viewers
from streaming.storage.viewers import Viewer, Viewers


class LinkViewers(Viewers):
    """The other end asks for a viewer's position when somebody there wants to know."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._ids = itertools.count(1)
        #: The position of each viewer, and the number under which it is asked for.
        self._positions: dict[int, Callable[[], int]] = {}
        self._numbers: dict[str, int] = {}
        peer.add(methods={"position": lambda number: self._positions[number]()})

    def enter(self, job: str, transport: str, position: Callable[[], int]) -> str:
        number = next(self._ids)
        self._positions[number] = position
        viewer: str = self._peer.call("enter", number, job, transport)
        self._numbers[viewer] = number
        return viewer

    def leave(self, job: str, viewer: str, *, sent_away: bool = False) -> None:
        self._peer.call("leave", job, viewer, sent_away)
        self._positions.pop(self._numbers.pop(viewer, 0), None)

    def of(self, job: str) -> list[Viewer]:
        return unpack_viewers(self._peer.call("viewers", job))

    def absent_s(self, job: str) -> float:
        return float(self._peer.call("absent", job))
