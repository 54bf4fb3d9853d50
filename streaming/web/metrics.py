"""`Metrics`: counted for Prometheus where its client is installed, else not counted."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from streaming.errors import Unavailable, missing_extra
from streaming.events.event import Event
from streaming.web.figures import FOLDER, Figures

__all__ = ["FOLDER", "Figures", "Metrics"]


class Uncounted:
    """Counts nothing, and says so when it is asked."""

    def __init__(self, _figures: Callable[[], Figures]) -> None: ...

    def start(self) -> None:
        """There are no siblings to tell."""

    def delayed(self, transport: str, event: Event, since: float) -> None:
        """An event is written."""

    def refused(self, reason: str) -> None:
        """Somebody was turned away."""

    def ended(self, task: str, status: str, seconds: float) -> None:
        """A job has ended."""

    def exposition(self, *_collectors: Any) -> bytes:
        """`Unavailable` that names the extra."""
        raise Unavailable(missing_extra("prometheus_client", "metrics"), code="not_installed")


if TYPE_CHECKING or find_spec("prometheus_client") is not None:
    from streaming.web.prometheus import Metrics
else:
    Metrics = Uncounted
