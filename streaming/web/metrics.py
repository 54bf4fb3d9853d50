"""What is counted for `/metrics`, where Prometheus' library is installed."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

from streaming.concurrency.loop import spawn_greenlet
from streaming.concurrency.periodic import Periodic
from streaming.errors import Unavailable, missing_extra
from streaming.events.observer import Observer
from streaming.watching.streams import Streams
from streaming.web.figures import FOLDER, Figures

__all__ = ["FOLDER", "Figures", "Metrics", "telling"]

#: Seconds between two tellings to the siblings.
TELL_S = 0.5


class Uncounted(Observer):
    """Counts nothing, and says so when it is asked."""

    def tell(self, figures: Figures) -> None:
        """There are no siblings to tell."""

    def exposition(self, _figures: Figures, *_collectors: object) -> bytes:
        """`Unavailable` that names the extra."""
        raise Unavailable(missing_extra("prometheus_client", "metrics"), code="not_installed")


if TYPE_CHECKING or find_spec("prometheus_client") is not None:
    from streaming.web.prometheus import Metrics
else:
    Metrics = Uncounted


def telling(metrics: Metrics, streams: Streams) -> list[Periodic]:
    """The loop that tells the siblings, where there are any."""
    if FOLDER not in os.environ:
        return []

    def tell() -> None:
        metrics.tell(Figures.of(streams))

    def look() -> None:
        if not spawn_greenlet(tell):
            tell()

    return [Periodic(look, every_s=TELL_S, name="metrics")]
