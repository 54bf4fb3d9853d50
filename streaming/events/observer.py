"""What happens in a server, told as it happens to whoever counts it or writes it down."""

from __future__ import annotations

from collections.abc import Mapping

from streaming.events.event import Event


class Observer:
    """Is told of everything; this one does nothing with it. Any thread may tell; none may wait."""

    def job_ended(self, task: str, status: str, seconds: float) -> None:
        """A job has ended, so long after its first start."""

    def refused(self, reason: str) -> None:
        """A request or a stream was turned away."""

    def delivered(self, transport: str, event: Event, since: float) -> None:
        """An event is written to those who are there; news if not older than `since`."""

    def stream_ended(
        self,
        transport: str,
        positions: Mapping[str, int],
        *,
        seconds: float,
        owner: str,
        request_id: str,
    ) -> None:
        """A stream has ended, so long after it was opened; in its own thread."""
