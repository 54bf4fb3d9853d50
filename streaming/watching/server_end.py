"""The server's end of every stream: what all streams of a process get from their server."""

from __future__ import annotations

import time
from collections.abc import Callable

from streaming.events.observer import Observer
from streaming.storage.base import Storage
from streaming.watching.channels import Channels
from streaming.watching.hangups import Hangups
from streaming.watching.pressure import TOP, Pressure
from streaming.watching.traffic import Traffic


class ServerEnd:
    """Where the streams' server is: its storage and load, its habits, and whether it leaves."""

    def __init__(
        self,
        storage: Storage,
        *,
        heartbeat_s: float,
        rotate_s: float,
        pressure: Pressure | None = None,
        traffic: Traffic,
        channels: Channels | None = None,
        observer: Observer | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.storage = storage
        self.heartbeat_s = heartbeat_s
        self.rotate_s = rotate_s
        self.pressure = pressure or Pressure(clock=clock)
        self.traffic = traffic
        #: Where those who have caught up are sent to; None where each stream sends by itself.
        self.channels = channels
        #: Hears of streams that are refused, and of those that have been closed.
        self.observer = observer or Observer()
        self.clock = clock
        self.hangups = Hangups()
        #: Every stream is to close.
        self.draining = False

    def degraded(self) -> tuple[int, str]:
        """The level by which all readers get less, and why; ("" at 0)."""
        if self.storage.fault() is not None:
            return TOP, "storage_away"
        return self.pressure.level, self.pressure.why
