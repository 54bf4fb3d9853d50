"""The types of events, and what each does to a job's status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = Any


#: Terminal events and the status that they give; after one of them nothing can follow.
TERMINAL: Mapping[str, str] = {
    "job.completed": "completed",
    "job.failed": "failed",
    "job.cancelled": "cancelled",
}


#: Status after each type that changes it. `job.cancel_requested` outlasts the others: see summary.
STATUS_AFTER: Mapping[str, str] = {
    "job.queued": "queued",
    "job.started": "running",
    "input.requested": "waiting_for_input",
    "input.received": "running",
    "job.cancel_requested": "cancelling",
    **TERMINAL,
}


#: The statuses in which nothing can follow.
ENDED = frozenset(TERMINAL.values())


STATUSES = ("queued", "running", "waiting_for_input", "cancelling", *TERMINAL.values())


#: The vocabulary of stored events.
TYPES = frozenset(
    {
        *STATUS_AFTER,
        "job.progress",
        "step.updated",
        "text.delta",
        "text.reset",
        "reasoning.delta",
        "tool.call",
        "tool.result",
        "metric",
        "alert",
        "artifact",
        "log",
    }
)


#: The types whose data are an `item` and its `text`, and no more.
DELTAS = frozenset({"text.delta", "reasoning.delta"})


#: Control events of a stream: never stored, without a seq.
CONTROL = frozenset({"stream.snapshot", "stream.gap", "stream.degraded", "stream.closing"})
