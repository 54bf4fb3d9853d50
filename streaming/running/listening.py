"""Watches for what clients send to a running job while its task waits for something else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from streaming.events.event import Event
from streaming.events.vocabulary import Json
from streaming.storage.base import EventLog

#: Events read at a time.
PAGE = 500


class InputWatch:
    """Within the block, `heard` is called once, with the first input that `wanted` accepts.

    It is called by whoever publishes the event, at once and in any thread, so it must be quick.
    The inputs stay in the log: the task takes them afterwards, as it would have anyway.
    """

    def __init__(
        self,
        log: EventLog,
        job: str,
        after: int,
        wanted: Callable[[Json], bool],
        heard: Callable[[], object],
    ) -> None:
        self._live = log.live(job)
        self._log = log
        self._job = job
        self._after = after
        self._wanted = wanted
        self._heard = heard
        self._over = False

    def __enter__(self) -> Self:
        for event in self._log.page(self._job, self._after, PAGE).events:
            self._look(event)
        self.wake()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._live.unwatch(self)

    def wake(self) -> None:
        """The log has moved."""
        while not self._over:
            page = self._live.page(self._after, PAGE)
            if page is None:  # not in this process's memory
                page = self._log.page(self._job, self._after, PAGE)
            for event in page.events:
                self._look(event)
            if page.closed or (not page.events and self._live.watch(self._after, self)):
                break
        if self._over:  # it may have ended while this was about to watch on
            self._live.unwatch(self)

    def _look(self, event: Event) -> None:
        self._after = max(self._after, event.seq)
        if self._over or event.type != "input.received" or event.data.get("request") is not None:
            return
        if self._wanted(event.data["data"]):
            self._over = True
            self._heard()
