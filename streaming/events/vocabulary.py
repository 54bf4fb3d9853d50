"""What JSON is called everywhere, the types of events, and what each does to a job's status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

#: Any JSON value, as `json.loads` gives it: null, a boolean, a number, a text, a `list` of such or
#: a `JsonObject`. Whoever is given one may encode it, and must not change it unless it is theirs.
#:
#: For a checker it is `Any`, here and nowhere else. The recursive union would be truer, but whoever
#: reads JSON here knows its shape from what has checked it (a task's schema, a protocol's parser,
#: this project's own encoder): each look into it, `usage["total_tokens"]`, would need a cast that
#: checks nothing. Of foreign values that nothing has checked yet, `object` is said instead.
Json: TypeAlias = Any

#: A JSON object that is the receiver's own: it may be changed.
JsonObject: TypeAlias = dict[str, Json]

#: A JSON object to read: an event's data, an input, a request, somebody else's state.
JsonMapping: TypeAlias = Mapping[str, Json]


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
