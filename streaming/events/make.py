"""The events of a job, one constructor for each type: the one place that knows their members.

Each gives a `Draft` whose data are encoded already. What cannot be an event fails here, at its
author: `TypeError` names the member, `ValueError` says what JSON in UTF-8 cannot carry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import SupportsFloat

from streaming.events.event import Draft
from streaming.events.vocabulary import Json, JsonMapping, JsonObject

#: What an event says of a step, in this order.
STEP_MEMBERS = ("id", "index", "total", "title", "status", "duration_s", "detail")
#: What it says of one that has not begun.
PENDING: JsonMapping = {"status": "pending", "duration_s": None, "detail": None}


def job_queued(asked: JsonMapping) -> Draft:
    """All that was asked: what a later process needs to run the job."""
    return Draft("job.queued", asked)


def job_started(attempt: int, worker: str, *, on_trial: bool = False, basic: bool = False) -> Draft:
    """An attempt begins. `on_trial`: alone, suspected of killing its worker; `basic`: as the
    task's basic variant. Both are said only where they hold (oddity 9)."""
    data: JsonObject = {"attempt": attempt, "worker": worker}
    if on_trial:
        data["on_trial"] = True
    if basic:
        data["basic"] = True
    return Draft("job.started", data)


def job_progress(
    percent: float, eta_s: float | None, basis: str, message: str | None = None
) -> Draft:
    """`percent` 0-100; `eta_s` seconds that are left; `basis` `measured` or `estimated`."""
    _text_or_none("message", message)
    return Draft(
        "job.progress", {"percent": percent, "eta_s": eta_s, "basis": basis, "message": message}
    )


def step_updated(step: JsonMapping, *, total: int, **changed: Json) -> Draft:
    """A step (`id`, `index`, `title`, `status`, `duration_s`) among `total`, as it is now."""
    _text("id", step["id"])
    _text("title", step["title"])
    now = {"detail": None, **step, "total": total, **changed}
    data = {name: now.pop(name) for name in STEP_MEMBERS} | now
    _text_or_none("detail", data["detail"])
    return Draft("step.updated", data)


def text_delta(item: str, text: str) -> Draft:
    """More of an item's text."""
    _text("item", item)
    return Draft("text.delta", {"item": item, "text": text})


def text_reset(item: str) -> Draft:
    """An item's text starts over."""
    return Draft("text.reset", {"item": item})


def reasoning_delta(item: str, text: str) -> Draft:
    """More of the thinking beside an item."""
    _text("item", item)
    return Draft("reasoning.delta", {"item": item, "text": text})


def tool_call(id: str, name: str, arguments: Json) -> Draft:
    """A tool is called; its arguments are an object, or text that a model wrote in place of one."""
    _text("name", name)
    return Draft("tool.call", {"id": id, "name": name, "arguments": arguments})


def tool_result(
    id: str, duration_s: float, *, output: Json = None, error: str | None = None
) -> Draft:
    """What a tool gave, or the text of its error."""
    said = {"output": output} if error is None else {"error": error}
    return Draft("tool.result", {"id": id, **said, "duration_s": duration_s})


def metric(
    name: str, value: float, unit: str | None, labels: Mapping[str, str] | None = None
) -> Draft:
    """A figure; the newest of each name and labels counts."""
    _text("name", name)
    _text_or_none("unit", unit)
    for key, label in (labels or {}).items():
        _text("labels", key)
        _text(f"labels[{key!r}]", label)
    value = _number("value", value)
    data = {"name": name, "value": value, "unit": unit, "labels": dict(labels or {})}
    return Draft("metric", data)


def alert(rule: str, message: str, *, severity: str, value: Json, state: str) -> Draft:
    """An alert of a rule; `state` is `firing` or `resolved`."""
    for name, said in (("rule", rule), ("message", message), ("severity", severity)):
        _text(name, said)
    if state not in ("firing", "resolved"):
        raise TypeError(f"state is 'firing' or 'resolved', not {state!r:.40}")
    data = {"severity": severity, "rule": rule, "message": message, "value": value}
    return Draft("alert", {**data, "state": state})


def artifact(name: str, media_type: str, size: int, href: str) -> Draft:
    """A file of the job's; made again, the newest counts."""
    return Draft("artifact", {"name": name, "media_type": media_type, "size": size, "href": href})


def log(message: str, *, level: str = "info", **more: Json) -> Draft:
    """A line for whoever debugs the job. `more` is what recovery and lists read: `degraded`,
    `leases`, `handed_over`, `acquitted`, `lost_alone`, `joined` (oddities 9 and 15)."""
    _text("message", message)
    _text("level", level)
    return Draft("log", {"level": level, "message": message, **more})


def input_requested(request: str, prompt: str, schema: JsonMapping | None) -> Draft:
    """A question to a person; `schema` is the JSON Schema of its answer."""
    _text("prompt", prompt)
    return Draft("input.requested", {"request": request, "prompt": prompt, "schema": schema})


def input_received(request: str | None, data: Json, *, timed_out: bool = False) -> Draft:
    """An answer; with `timed_out` the end of a question that nobody answered (oddity 16)."""
    said: JsonObject = {"request": request, "data": data}
    if timed_out:
        said["timed_out"] = True
    return Draft("input.received", said)


def job_cancel_requested(reason: str | None) -> Draft:
    """Somebody wants the job to end."""
    return Draft("job.cancel_requested", {"reason": reason})


def job_completed(output: Json, usage: Json, told: JsonMapping | None = None) -> Draft:
    """The job went well. `told` is how the model's last answer ended, as in the other ends:
    `finish_reason`, `cut`, `simulated`."""
    return Draft("job.completed", {"output": output, "usage": usage, **(told or {})})


def job_failed(
    error: JsonMapping,
    partial: Json,
    usage: Json = None,
    told: JsonMapping | None = None,
) -> Draft:
    """The job failed; `error` is a problem object, `partial` the text so far."""
    return Draft("job.failed", {"error": error, "usage": usage, **(told or {}), "partial": partial})


def job_cancelled(
    reason: str | None,
    partial: Json,
    usage: Json = None,
    told: JsonMapping | None = None,
) -> Draft:
    """The job was cancelled; `partial` is the text so far."""
    data = {"reason": reason, "usage": usage, **(told or {}), "partial": partial}
    return Draft("job.cancelled", data)


def checklist(titles: Sequence[tuple[str, str]], skip: frozenset[str]) -> list[Draft]:
    """The declared steps (id, title) as pending, without those in `skip`."""
    return [
        step_updated({"id": id, "index": index, "title": title, **PENDING}, total=len(titles))
        for index, (id, title) in enumerate(titles, start=1)
        if id not in skip
    ]


def _number(name: str, value: object) -> int | float:
    """The number, also of those that numpy and others have of their own."""
    if isinstance(value, bool) or not isinstance(value, SupportsFloat):
        raise TypeError(f"{name} is a number, not {type(value).__name__}")
    return value if isinstance(value, int | float) else float(value)


def _text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} is a string, not {type(value).__name__}")


def _text_or_none(name: str, value: object) -> None:
    if value is not None:
        _text(name, value)
