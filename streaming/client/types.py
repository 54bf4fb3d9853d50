"""Typed events and jobs: plain dictionaries, with types for editors and checkers.

Compare an event's `type` with a literal, and a checker knows its `data`:

    if event["type"] == "text.delta":
        print(event["data"]["text"])
"""

from __future__ import annotations

import sys
from typing import Literal, NotRequired

from streaming.events.types import (
    AlertData,
    ArtifactData,
    CancelledData,
    CancelRequestedData,
    CompletedData,
    DegradedData,
    DeltaData,
    FailedData,
    GapData,
    InputReceivedData,
    InputRequestedData,
    LogData,
    MetricData,
    ProgressData,
    QueuedData,
    ResetData,
    SnapshotData,
    StartedData,
    Status,
    StepData,
    StepStatus,
    ToolCallData,
    ToolResultData,
)
from streaming.events.vocabulary import Json, JsonMapping, JsonObject

if sys.version_info >= (3, 12):
    from typing import TypedDict
else:
    from typing_extensions import TypedDict

#: `from`: the event stands for those from there to its `seq`.
_Stored = TypedDict("_Stored", {"seq": int, "job": str, "at": str, "from": NotRequired[int]})


class _Control(TypedDict):
    job: NotRequired[str]


class JobQueued(_Stored):
    """`job.queued`."""

    type: Literal["job.queued"]
    data: QueuedData


class JobStarted(_Stored):
    """`job.started`."""

    type: Literal["job.started"]
    data: StartedData


class JobProgress(_Stored):
    """`job.progress`."""

    type: Literal["job.progress"]
    data: ProgressData


class StepUpdated(_Stored):
    """`step.updated`."""

    type: Literal["step.updated"]
    data: StepData


class TextDelta(_Stored):
    """`text.delta`."""

    type: Literal["text.delta"]
    data: DeltaData


class TextReset(_Stored):
    """`text.reset`."""

    type: Literal["text.reset"]
    data: ResetData


class ReasoningDelta(_Stored):
    """`reasoning.delta`."""

    type: Literal["reasoning.delta"]
    data: DeltaData


class ToolCall(_Stored):
    """`tool.call`."""

    type: Literal["tool.call"]
    data: ToolCallData


class ToolResult(_Stored):
    """`tool.result`."""

    type: Literal["tool.result"]
    data: ToolResultData


class Metric(_Stored):
    """`metric`."""

    type: Literal["metric"]
    data: MetricData


class Alert(_Stored):
    """`alert`."""

    type: Literal["alert"]
    data: AlertData


class Artifact(_Stored):
    """`artifact`."""

    type: Literal["artifact"]
    data: ArtifactData


class LogLine(_Stored):
    """`log`."""

    type: Literal["log"]
    data: LogData


class InputRequested(_Stored):
    """`input.requested`."""

    type: Literal["input.requested"]
    data: InputRequestedData


class InputReceived(_Stored):
    """`input.received`."""

    type: Literal["input.received"]
    data: InputReceivedData


class CancelRequested(_Stored):
    """`job.cancel_requested`."""

    type: Literal["job.cancel_requested"]
    data: CancelRequestedData


class JobCompleted(_Stored):
    """`job.completed`."""

    type: Literal["job.completed"]
    data: CompletedData


class JobFailedEvent(_Stored):
    """`job.failed`."""

    type: Literal["job.failed"]
    data: FailedData


class JobCancelledEvent(_Stored):
    """`job.cancelled`."""

    type: Literal["job.cancelled"]
    data: CancelledData


class StreamSnapshot(_Control):
    """`stream.snapshot`."""

    type: Literal["stream.snapshot"]
    data: SnapshotData


class StreamGap(_Control):
    """`stream.gap`."""

    type: Literal["stream.gap"]
    data: GapData


class StreamDegraded(_Control):
    """`stream.degraded`."""

    type: Literal["stream.degraded"]
    data: DegradedData


Event = (
    JobQueued
    | JobStarted
    | JobProgress
    | StepUpdated
    | TextDelta
    | TextReset
    | ReasoningDelta
    | ToolCall
    | ToolResult
    | Metric
    | Alert
    | Artifact
    | LogLine
    | InputRequested
    | InputReceived
    | CancelRequested
    | JobCompleted
    | JobFailedEvent
    | JobCancelledEvent
    | StreamSnapshot
    | StreamGap
    | StreamDegraded
)


class Step(TypedDict):
    """A step of the checklist."""

    id: str
    index: int | None
    total: int | None
    title: str | None
    status: StepStatus
    duration_s: float | None


class ItemText(TypedDict):
    """One text that grows."""

    item: str
    text: str


class Progress(TypedDict):
    """How far a job is; `percent` is 0 to 100."""

    percent: float
    eta_s: float | None
    basis: Literal["measured", "estimated"]


class JobOptions(TypedDict, total=False):
    """What may be asked of a job besides its task and input: the fields of `POST /v1/jobs`."""

    title: str
    metadata: JsonMapping
    webhook: JsonMapping | None
    on_break: Literal["restart", "continue", "fail"]
    on_disconnect: Literal["continue", "cancel"]
    disconnect_grace_s: float
    timeout_s: float
    ttl_s: float | None


class JobsQuery(TypedDict, total=False):
    """Which jobs to list: the query of `GET /v1/jobs`."""

    status: Status
    task: str
    limit: int
    page_token: str


class Job(TypedDict):
    """A job's state: what the server's snapshot has, and what `fold` makes of events.

    Lists leave out `steps`, `texts`, `text` and `output`.
    """

    id: str
    task: str
    title: str
    input: JsonObject
    status: Status
    created_at: str
    started_at: str | None
    finished_at: str | None
    attempt: int
    queue_position: int | None
    progress: Progress
    steps: list[Step]
    texts: list[ItemText]
    text: str
    metrics: list[MetricData]
    alerts: list[AlertData]
    leases: list[Json]
    input_request: InputRequestedData | None
    output: Json
    error: JsonObject | None
    usage: JsonObject | None
    artifacts: list[ArtifactData]
    metadata: JsonObject
    seq: int
    degraded: bool
    finish_reason: str | None
    cut: bool
    simulated: bool
    links: dict[str, str]
