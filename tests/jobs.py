"""Jobs and events for tests, as short as they can be said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streaming.events.event import Draft, Event
from streaming.storage.base import Storage
from streaming.storage.ids import new_id
from streaming.storage.rows import Submission

OWNER = "somebody"


def queued(task: str = "write", **asked: Any) -> Draft:
    """The first event of a job."""
    data = {
        "position": 0,
        "task": task,
        "input": {},
        "metadata": {},
        "on_disconnect": "continue",
        "disconnect_grace_s": 30.0,
        "timeout_s": 3600.0,
        "ttl_s": 60.0,
    }
    return Draft("job.queued", {**data, **asked})


def submission(
    *,
    owner: str = OWNER,
    task: str = "write",
    key: str | None = None,
    digest: str = "",
    records: Mapping[str, bytes] | None = None,
    **asked: Any,
) -> Submission:
    first = queued(task, **asked)
    return Submission(new_id("job_"), owner, task, first, key, digest, records or {})


def new_job(storage: Storage, **given: Any) -> str:
    """The id of a job that has been submitted."""
    return storage.index.submit(submission(**given))[0].id


def ended_job(storage: Storage, **given: Any) -> str:
    """The id of a job that has completed."""
    job = new_job(storage, **given)
    storage.log.append(job, [completed()])
    return job


def started(attempt: int = 1) -> Draft:
    return Draft("job.started", {"attempt": attempt, "worker": "here"})


def completed(output: Any = None) -> Draft:
    return Draft("job.completed", {"output": output, "usage": None})


def failed() -> Draft:
    error = {"code": "task_failed", "detail": "it failed"}
    return Draft("job.failed", {"error": error, "usage": None, "partial": None})


def cancelled() -> Draft:
    return Draft("job.cancelled", {"reason": None, "usage": None, "partial": None})


def delta(text: str = "word ", item: str = "answer") -> Draft:
    return Draft("text.delta", {"item": item, "text": text})


def thought(text: str = "hm", item: str = "answer") -> Draft:
    return Draft("reasoning.delta", {"item": item, "text": text})


def reset(item: str = "answer") -> Draft:
    return Draft("text.reset", {"item": item})


def said(message: str = "hello") -> Draft:
    return Draft("log", {"level": "info", "message": message})


def step(id: str, status: str, index: int = 1, total: int = 1) -> Draft:
    data = {"id": id, "index": index, "total": total, "title": id, "status": status}
    return Draft("step.updated", {**data, "duration_s": None, "detail": None})


def progress(percent: float) -> Draft:
    data = {"percent": percent, "eta_s": None, "basis": "estimated", "message": None}
    return Draft("job.progress", data)


def metric(name: str, value: float, **labels: str) -> Draft:
    return Draft("metric", {"name": name, "value": value, "unit": None, "labels": labels})


def artifact(name: str, size: int = 0) -> Draft:
    data = {"name": name, "media_type": "text/plain", "size": size, "href": f"/{name}"}
    return Draft("artifact", data)


def asked_for(request: str = "job.1", schema: Any = None) -> Draft:
    return Draft("input.requested", {"request": request, "prompt": "Which?", "schema": schema})


def answered(data: Any, request: str | None = "job.1") -> Draft:
    return Draft("input.received", {"request": request, "data": data})


def events_of(storage: Storage, job: str, after: int = 0) -> list[Event]:
    """All events behind `after`, read page by page."""
    found: list[Event] = []
    while page := storage.log.page(job, after, 500).events:
        found += page
        after = page[-1].seq
    return found


def seqs(events: Any) -> list[int]:
    return [event.seq for event in events]


def types(events: Any) -> list[str]:
    return [event.type for event in events]
