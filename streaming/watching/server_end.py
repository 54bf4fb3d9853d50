"""The server's end of every stream: what all streams of a process share."""

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
    """What streams need of their server: its storage, load and settings, and whether it drains."""

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
        #: Sends to readers who have caught up; None where each stream does its own sending.
        self.channels = channels
        #: Notified of streams that are refused, and of those that have closed.
        self.observer = observer or Observer()
        self.clock = clock
        self.hangups = Hangups()
        #: Whether every stream is to close.
        self.draining = False

    def degraded(self) -> tuple[int, str]:
        """The level at which all readers get less, and why ("" at level 0)."""
        if self.storage.fault() is not None:
            return TOP, "storage_away"
        return self.pressure.level, self.pressure.why
