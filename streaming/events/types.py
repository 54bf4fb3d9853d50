"""What each type of event carries: the one description of it, in code.

The client's typed events, the AsyncAPI document and the page `/docs` are made from these classes.
A docstring below a member is its description there. No I/O, and nothing of the server.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Literal, NotRequired, TypeVar

from streaming.events.vocabulary import Json, JsonObject

if sys.version_info >= (3, 12):
    from typing import TypedDict
else:  # pydantic cannot read those of older versions
    from typing_extensions import TypedDict

T = TypeVar("T")

Status = Literal[
    "queued", "running", "waiting_for_input", "cancelling", "completed", "failed", "cancelled"
]
StepStatus = Literal["pending", "running", "completed", "failed", "skipped"]


def _described(shape: type[T]) -> type[T]:
    """Have the docstrings of its members in its schema, and members of later versions allowed."""
    config = {"use_attribute_docstrings": True, "extra": "allow"}
    shape.__pydantic_config__ = config  # type: ignore[attr-defined]
    return shape


@_described
class QueuedData(TypedDict):
    """The job was accepted. All that was asked for is here."""

    task: str
    input: Json
    position: NotRequired[int | None]
    """Its place in the queue; 1 is next."""
    title: NotRequired[str | None]
    metadata: NotRequired[JsonObject | None]
    webhook: NotRequired[Json]
    on_disconnect: NotRequired[str]
    on_break: NotRequired[str]
    disconnect_grace_s: NotRequired[float]
    timeout_s: NotRequired[float]
    ttl_s: NotRequired[float | None]


@_described
class StartedData(TypedDict):
    """An attempt at the job has begun."""

    attempt: int
    """From 1."""
    worker: NotRequired[str | None]
    """The process that runs it."""
    basic: NotRequired[bool]
    """The task's basic variant runs, because the server is under load."""


@_described
class ProgressData(TypedDict):
    """How far the job is."""

    percent: float
    """0 to 100. Within an attempt it never falls."""
    eta_s: NotRequired[float | None]
    """Seconds that are probably left."""
    basis: Literal["measured", "estimated"]
    message: NotRequired[str | None]


@_described
class StepData(TypedDict):
    """A step of the checklist has a new state."""

    id: str
    index: int | None
    """From 1."""
    total: int | None
    title: str | None
    status: StepStatus
    duration_s: NotRequired[float | None]
    detail: NotRequired[str | None]


@_described
class DeltaData(TypedDict):
    """A piece of text: append it to what its item has so far."""

    item: str
    text: str


@_described
class ResetData(TypedDict):
    """The text of this item starts over, because its step runs again."""

    item: str


@_described
class ToolCallData(TypedDict):
    """A tool is called."""

    id: str
    name: str
    arguments: Json


@_described
class ToolResultData(TypedDict):
    """A tool has answered, with an output or an error."""

    id: str
    output: NotRequired[Json]
    error: NotRequired[Json]
    duration_s: NotRequired[float | None]


@_described
class MetricData(TypedDict):
    """A figure. The latest of a name and labels counts."""

    name: str
    value: float
    unit: NotRequired[str | None]
    labels: NotRequired[JsonObject | None]


@_described
class AlertData(TypedDict):
    """A rule fires, or no longer does."""

    rule: str
    severity: str
    message: str
    state: Literal["firing", "resolved"]
    value: NotRequired[Json]


@_described
class ArtifactData(TypedDict):
    """A file that the job has made. Made again under the same name, the newest wins."""

    name: str
    media_type: str
    size: int
    """Bytes."""
    href: str
    """Where to fetch it."""


@_described
class LogData(TypedDict):
    """A line for whoever debugs the job."""

    level: str
    message: str
    degraded: NotRequired[bool]
    """The result is less than what was asked for."""
    leases: NotRequired[list[Json]]
    """What the job holds or waits for now."""


@_described
class InputRequestedData(TypedDict):
    """The job asks, and waits for the answer."""

    request: str
    """Names the question in the answer."""
    prompt: str
    schema: NotRequired[Json]
    """JSON Schema that the answer must satisfy; null: anything."""


@_described
class InputReceivedData(TypedDict):
    """The answer to a question, or input that a running task takes."""

    request: NotRequired[str | None]
    """The question; null when nothing was asked."""
    data: NotRequired[Json]
    timed_out: NotRequired[bool]
    """Nobody answered in time."""


@_described
class CancelRequestedData(TypedDict):
    """Somebody, or a rule, has cancelled the job; it is about to stop."""

    reason: str | None


@_described
class CompletedData(TypedDict):
    """The job has completed. Nothing follows."""

    output: Json
    usage: NotRequired[JsonObject | None]


@_described
class FailedData(TypedDict):
    """The job has failed. Nothing follows."""

    error: JsonObject
    """A problem object (RFC 9457)."""
    usage: NotRequired[JsonObject | None]
    partial: NotRequired[Json]
    """What there was of the result."""


@_described
class CancelledData(TypedDict):
    """The job was cancelled. Nothing follows."""

    reason: NotRequired[str | None]
    usage: NotRequired[JsonObject | None]
    partial: NotRequired[Json]


@_described
class SnapshotData(TypedDict):
    """The job's state: take it as yours. Events behind `seq` follow."""

    seq: int
    job: JsonObject


GapData = TypedDict("GapData", {"from": int, "to": int})
GapData.__doc__ = "The events from `from` to `to` are gone. A `stream.snapshot` follows."


@_described
class DegradedData(TypedDict):
    """By how much less the server gives, and why."""

    level: int
    """0: all is well again; 3: the most."""
    why: str


@_described
class ClosingData(TypedDict):
    """The server closes this stream; the job goes on. Come back with your position."""

    reason: str
    retry_s: float
    """Seconds to wait first."""


#: The data of each type: of the stored events, then of those about the stream itself.
DATA: Mapping[str, type[object]] = {
    "job.queued": QueuedData,
    "job.started": StartedData,
    "job.progress": ProgressData,
    "step.updated": StepData,
    "text.delta": DeltaData,
    "text.reset": ResetData,
    "reasoning.delta": DeltaData,
    "tool.call": ToolCallData,
    "tool.result": ToolResultData,
    "metric": MetricData,
    "alert": AlertData,
    "artifact": ArtifactData,
    "log": LogData,
    "input.requested": InputRequestedData,
    "input.received": InputReceivedData,
    "job.cancel_requested": CancelRequestedData,
    "job.completed": CompletedData,
    "job.failed": FailedData,
    "job.cancelled": CancelledData,
    "stream.snapshot": SnapshotData,
    "stream.gap": GapData,
    "stream.degraded": DegradedData,
    "stream.closing": ClosingData,
}
