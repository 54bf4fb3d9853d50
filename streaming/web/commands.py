"""What clients say about jobs, over HTTP and WebSocket alike: checked by pydantic models."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Literal, TypeVar

from flask import request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticSerializationError, to_jsonable_python

from streaming.errors import BadRequest, Forbidden, InvalidInput
from streaming.events.event import dumps
from streaming.events.vocabulary import Json, JsonMapping, JsonObject
from streaming.jobs.receivers import URL_LENGTH
from streaming.jobs.request import Request, digest_of
from streaming.running.task import Task, invalid_input
from streaming.storage.rows import JobRow
from streaming.web.auth import principal
from streaming.web.origins import present_origin
from streaming.web.services import services

M = TypeVar("M", bound=BaseModel)

#: What a webhook may tell of.
CallingEvent = Literal["job.completed", "job.failed", "job.cancelled", "input.requested"]

#: Characters of an idempotency key.
KEY_LENGTH = 255


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class WebhookBody(_Body):
    """Who is told when a job ends, or asks."""

    url: str = Field(description="where to POST", max_length=URL_LENGTH)
    events: list[CallingEvent] = Field(
        default=["job.completed", "job.failed", "job.cancelled", "input.requested"],
        min_length=1,
        max_length=8,
        description="of what to tell",
    )


class SubmitBody(_Body):
    """A new job."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [{"task": "generate", "input": {"prompt": "Why do logs help?"}}]
        },
    )

    task: str = Field(description="a task's name, see /v1/tasks", max_length=64)
    input: JsonObject = Field(default={}, description="what its input_schema says")
    metadata: JsonObject = Field(default={}, description="yours; given back with the job")
    webhook: WebhookBody | None = Field(
        default=None, description="signed POSTs when it ends, or asks; see docs/webhooks.md"
    )
    title: str = Field(
        default="", max_length=200, description="what people call the job; else the task's title"
    )
    on_break: Literal["restart", "continue", "fail"] = Field(
        "restart",
        description="a model's answer that breaks off, or is handed over, starts over, goes on "
        "where it was (if the model's server can), or fails the job",
    )
    on_disconnect: Literal["continue", "cancel"] = Field(
        default="continue", description="what to do when nobody watches any more"
    )
    disconnect_grace_s: float = Field(
        default=30.0, ge=0, le=86400, description="seconds without a viewer before it is cancelled"
    )
    timeout_s: float = Field(
        default=3600.0, gt=0, le=604800, description="seconds of running time over all attempts"
    )
    ttl_s: float | None = Field(
        default=None, ge=0, description="seconds to keep it after its end, at most the retention"
    )


class CancelBody(_Body):
    """A cancel."""

    reason: str | None = Field(default=None, max_length=1000, description="why, for the log")


class AnswerBody(_Body):
    """Input for a running job."""

    request: str | None = Field(
        default=None, max_length=200, description="the id in input.requested; missing: the open one"
    )
    data: Json = Field(description="the answer; what the request's schema says")


def validate(model: type[M], body: Json) -> M:
    """The body as the model has it; `InvalidInput` names each bad field."""
    if not isinstance(body, dict):
        raise InvalidInput.of([("body", "a JSON object")])
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise invalid_input(error) from None


def submit(body: SubmitBody, raw: Json, *, key: Json = None) -> tuple[JobRow, bool]:
    """Store a job of the asker's; `raw` is the body as it came, for comparing it by its key.

    `Forbidden` for a task that only the app's own views start.
    """
    check_open(services().tasks.get(body.task))
    if key is not None and (not isinstance(key, str) or not 1 <= len(key) <= KEY_LENGTH):
        raise BadRequest(f"an idempotency key is 1 to {KEY_LENGTH} characters")
    asker = principal()
    records = present_origin(asker.user, body.task).to_records()
    return services().registry.submit(
        asker.owner, request_of(body), key=key, digest=digest_of(raw), records=records
    )


def submit_body(
    task: Task | str, input: JsonMapping | BaseModel, options: Mapping[str, object]
) -> SubmitBody:
    """What code submits, checked as a request's body is.

    `TypeError` names the option that was meant, `InvalidInput` the field that is not valid.
    """
    known = [name for name in SubmitBody.model_fields if name not in ("task", "input")]
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            hint = f"; do you mean {near[0]}?" if near else ""
            others = ", ".join(["owner", "idempotency_key", *known])
            raise TypeError(f"submit() has no option {name!r}{hint} (there are {others})")
    called = _called(task)
    return validate(SubmitBody, {**options, "task": called, "input": _as_json(called, input)})


def _called(task: object) -> str:
    if isinstance(task, Task):
        return task.name
    if isinstance(task, str):
        return task
    raise TypeError(f"submit() takes a task or its name, not {task!r:.80}")


def _as_json(task: str, input: object) -> Json:
    """As it goes into the log: dates, ids and models in it as text and objects.

    `TypeError` for what is none of these, `InvalidInput` for text and figures that JSON has not.
    """
    if not isinstance(input, Mapping | BaseModel) and not is_dataclass(input):
        kind = type(input).__name__
        raise TypeError(f"the input of {task!r} is a dict, a model or a dataclass, not a {kind}")
    try:
        made: Json = to_jsonable_python(input)
        dumps(made)
    except PydanticSerializationError as error:
        raise TypeError(f"the input of {task!r} cannot be written as JSON: {error}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidInput.of([("input", f"cannot be written as JSON: {error}")]) from error
    return made


def request_of(body: SubmitBody) -> Request:
    """What is asked with a new job, as the registry takes it."""
    return Request(
        task=body.task,
        input=body.input,
        metadata=body.metadata,
        webhook=None if body.webhook is None else body.webhook.model_dump(),
        title=body.title.strip(),
        on_break=body.on_break,
        on_disconnect=body.on_disconnect,
        disconnect_grace_s=body.disconnect_grace_s,
        timeout_s=body.timeout_s,
        ttl_s=body.ttl_s,
    )


def check_open(task: Task) -> None:
    """`Forbidden` for a task that only the app's own views start."""
    if not (services().open_submit or task.open):
        raise Forbidden(
            f"task {task.name!r} is started by the app's own pages only; its developer opens it "
            "with @task(open=True), or all tasks with Streaming(app, open_submit=True)",
            code="submit_not_open",
        )


def cancel(row: JobRow, body: CancelBody) -> JobRow:
    """Cancel a job; its row afterwards."""
    return services().registry.cancel(row, body.reason)


def answer(row: JobRow, body: AnswerBody) -> JobRow:
    """Give a job its input; its row afterwards."""
    return services().registry.answer(row, body.request, body.data)


def preferred_wait_s(limit: float) -> float:
    """`Prefer: wait=N` (RFC 7240), `limit` at most; 0 without it."""
    for value in request.headers.getlist("Prefer"):
        for preference in value.split(","):
            name, _, seconds = preference.partition(";")[0].strip().partition("=")
            seconds = seconds.strip(' "')
            if name.strip().lower() == "wait" and seconds.isdecimal():
                return min(limit, float(seconds[:9]))
    return 0.0
