"""Observes what happens in a server, for the metrics and the log."""

from __future__ import annotations

from collections.abc import Mapping

from streaming.events.event import Event
from streaming.events.observer import Observer
from streaming.web.metrics import Metrics
from streaming.web.request_log import stream_ended


class ServerObserver(Observer):
    """Counts in the metrics; writes a line for each stream."""

    def __init__(self, metrics: Metrics, *, log_streams: bool) -> None:
        self._metrics = metrics
        self._log_streams = log_streams

    def job_ended(self, task: str, status: str, seconds: float) -> None:
        self._metrics.job_ended(task, status, seconds)

    def refused(self, reason: str) -> None:
        self._metrics.refused(reason)

    def delivered(self, transport: str, event: Event, since: float) -> None:
        self._metrics.delivered(transport, event, since)

    def stream_ended(
        self,
        transport: str,
        positions: Mapping[str, int],
        *,
        seconds: float,
        owner: str,
        request_id: str,
    ) -> None:
        if self._log_streams:
            stream_ended(transport, positions, seconds=seconds, owner=owner, request_id=request_id)
