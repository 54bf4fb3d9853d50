"""The shapes of answers and queries, for the OpenAPI document."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from streaming.events.vocabulary import CONTROL, TYPES, Json, JsonObject
from streaming.events.wire import MAX_POSITION

Status = Literal[
    "queued", "running", "waiting_for_input", "cancelling", "completed", "failed", "cancelled"
]


FinishReason = Literal["stop", "length", "tool_calls", "filtered", "refused", "error"]

_TYPE = "|".join(re.escape(kind) for kind in sorted(TYPES | CONTROL))
#: What `types` may be.
SOME_TYPES = f"^(({_TYPE})(,({_TYPE}))*)?$"


class PositionQuery(BaseModel):
    """Where to start, and what to leave out."""

    after: int | None = Field(
        default=None, ge=0, le=MAX_POSITION, description="seq of the last event seen; 0: all"
    )
    start: Literal["start", "snapshot", "latest"] = Field(
        default="start", alias="from", description="where to start without `after`"
    )
    types: str | None = Field(
        default=None, pattern=SOME_TYPES, description="event types to give, comma-separated"
    )


class SseQuery(PositionQuery):
    """The same for SSE."""

    named: str | None = Field(default=None, description="1 or true: with `event:` lines")


class FeedQuery(BaseModel):
    """Which jobs, from where."""

    job: list[str] = Field(description="a job's id; 1 to 100 times")
    after: str | None = Field(default=None, description="composite position, JOB:SEQ,JOB:SEQ")
    start: Literal["start", "snapshot", "latest"] = Field(
        default="start", alias="from", description="where to start without `after`"
    )
    types: str | None = Field(
        default=None, pattern=SOME_TYPES, description="event types to give, comma-separated"
    )


class ListQuery(BaseModel):
    """Which jobs to list."""

    status: Status | None = Field(default=None, description="only jobs of this status")
    task: str | None = Field(default=None, max_length=64, description="only jobs of this task")
    limit: int = Field(default=50, ge=1, le=500, description="jobs in a page")
    page_token: str | None = Field(
        default=None, pattern=r"^job_[0-9A-HJKMNP-TV-Z]{26}$", description="of the page before"
    )


class SubmitHeaders(BaseModel):
    """How to submit."""

    idempotency_key: str | None = Field(
        default=None,
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="the same key and body: the same job",
    )
    prefer: str | None = Field(
        default=None, alias="Prefer", description="wait=N: hold the answer up to N seconds"
    )


class Event(BaseModel):
    """An event's envelope; control events have no seq."""

    model_config = ConfigDict(extra="allow")

    type: str
    job: str | None = None
    seq: int | None = None
    first: int | None = Field(
        default=None,
        alias="from",
        description="it stands for the events from here to its seq: merged into it, or skipped",
    )
    at: str | None = None
    data: JsonObject


class EventPage(BaseModel):
    """A page of a long poll."""

    events: list[Event]
    next: int = Field(description="`after` of the next poll")
    status: Status
    closed: bool = Field(description="the log is closed and `next` is its last seq")


class Progress(BaseModel):
    """How far a job is."""

    percent: float
    eta_s: float | None
    basis: Literal["measured", "estimated"]


class Links(BaseModel):
    """Where a job's resources are."""

    self: str
    events: str
    poll: str
    ws: str
    cancel: str


class JobItem(BaseModel):
    """A job as lists show it."""

    id: str
    task: str
    title: str = Field(description="of the submission; without one, the task's")
    input: JsonObject = Field(description="what was asked; a member over 4 KiB is cut, and says so")
    status: Status
    created_at: str
    started_at: str | None
    finished_at: str | None
    attempt: int
    queue_position: int | None
    progress: Progress
    metrics: list[JsonObject]
    alerts: list[JsonObject]
    leases: list[Json]
    input_request: JsonObject | None
    error: JsonObject | None
    usage: JsonObject | None = Field(description="`estimated`: the server gave no count")
    finish_reason: FinishReason | None = Field(description="of the model's last answer")
    cut: bool = Field(description="the model's text is not whole")
    simulated: bool = Field(description="the simulated model wrote")
    artifacts: list[JsonObject]
    metadata: JsonObject
    seq: int
    degraded: bool
    links: Links


class StepState(BaseModel):
    """A step of the checklist."""

    id: str
    index: int
    total: int
    title: str
    status: Literal["pending", "running", "completed", "failed", "skipped"]
    duration_s: float | None


class ItemText(BaseModel):
    """One text that grows."""

    item: str
    text: str


class Snapshot(JobItem):
    """A job's present state."""

    steps: list[StepState]
    texts: list[ItemText]
    text: str
    output: Json


class JobList(BaseModel):
    """A page of jobs, the newest first."""

    jobs: list[JobItem]
    next_page_token: str | None


class TaskInfo(BaseModel):
    """A task."""

    name: str
    title: str
    description: str
    input_schema: JsonObject
    steps: list[dict[str, str]]


class TaskList(BaseModel):
    """The tasks."""

    tasks: list[TaskInfo]


class ViewerInfo(BaseModel):
    """Somebody who watches."""

    transport: str
    since: str
    position: int
    lag: int = Field(description="events that they have not been given yet")


class ViewerList(BaseModel):
    """Who watches a job."""

    count: int
    by_transport: dict[str, int]
    viewers: list[ViewerInfo]


class UploadForm(BaseModel):
    """The files to upload; any field names."""

    file: bytes = Field(description="a file", json_schema_extra={"format": "binary"})


class FileInfo(BaseModel):
    """An uploaded file."""

    id: str
    name: str
    media_type: str
    size: int


class FileList(BaseModel):
    """The files of one upload."""

    files: list[FileInfo]
