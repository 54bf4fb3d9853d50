"""What a process counts elsewhere, for `/metrics`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from streaming.watching.streams import Streams

#: Names the folder that processes share; the library reads it when it is imported.
FOLDER = "PROMETHEUS_MULTIPROC_DIR"


@dataclass(frozen=True, slots=True)
class Figures:
    """What a process counts elsewhere, at one moment."""

    #: Open streams by transport.
    streams: Mapping[str, int]
    #: Transport, way, bytes and events of all that was sent.
    sent: Iterable[tuple[str, str, int, int]]
    #: Events that the slowest reader has still to get.
    lag: int
    loop_lag_s: float
    pressure: int
    draining: bool

    @classmethod
    def of(cls, streams: Streams) -> Figures:
        """As they are now."""
        signals = streams.server.pressure.signals
        return cls(
            streams=streams.count(),
            sent=streams.server.traffic.sent(),
            lag=signals.lag,
            loop_lag_s=signals.loop_lag_s,
            pressure=streams.server.pressure.level,
            draining=streams.server.draining,
        )
