"""What a client that follows jobs is to do next, and the figures that it goes by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from streaming.events.vocabulary import JsonMapping

Transport = Literal["sse", "poll"]
#: In the order in which they are tried.
TRANSPORTS: tuple[Transport, ...] = ("sse", "poll")
#: Seconds until a stream's head must be there; without a byte after which a stream is looked into:
#: more than two heartbeats.
FIRST_S, QUIET_S = 5.0, 40.0
#: Seconds before another try: the first, doubled with each that fails, up to the longest.
SOON_S, LONGEST_S = 0.1, 10.0
#: Connections in a row that gave nothing, where the server has something, until the next transport.
FRUITLESS = 2
#: Seconds that a poll waits, and in which each of many jobs has its turn.
WAIT_S, ROUND_S = 25.0, 5.0
#: Events in a page; and at first where a connection was lost before: a large one might never pass.
PAGE, SMALL_PAGE = 500, 8
#: Seconds for an answer to come, beyond those that it waits for by itself.
ANSWER_S = 10.0


@dataclass(frozen=True, slots=True)
class Open:
    """Open this SSE stream; without a head in `first_s` or a byte in `quiet_s` it is dead."""

    path: str
    params: JsonMapping
    first_s: float
    quiet_s: float


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask for this page of a long poll."""

    path: str
    params: JsonMapping
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for so many seconds."""

    seconds: float


@dataclass(slots=True)
class Stats:
    """What it took. `lost` counts events that nothing covers, gaps included."""

    events: int = 0
    requests: int = 0
    lost: int = 0
    #: Events that came again, and were left out.
    repeated: int = 0
    #: Connections and pages that broke, or were refused.
    failures: int = 0
