"""The part of a job's state that lists show, as assignments that each event makes.

Kept beside the log by the append's own transaction, so that lists fold nothing. It holds
no text, no steps and no output: those are folded from the log (see snapshot).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from streaming.events.event import dumps
from streaming.events.vocabulary import STATUS_AFTER, TERMINAL, Json

Summary = dict[str, Any]
Path = tuple[str, ...]
Assignments = dict[Path, Json]

#: What a job may ask for at its submission besides its task and input.
OPTIONS = ("on_disconnect", "disconnect_grace_s", "timeout_s", "ttl_s", "origin", "webhook")

#: Bytes of JSON of each member of an input that are shown, and of all of them: lists hold many.
SHOWN_MEMBER = 4 << 10
SHOWN_INPUT = 16 << 10


def blank(task: str, created_at: str) -> Summary:
    """The summary of a job before its first event."""
    return {
        "task": task,
        "title": "",
        "input": {},
        "status": "queued",
        "created_at": created_at,
        "started_at": None,
        "finished_at": None,
        "attempt": 0,
        "progress": {"percent": 0, "eta_s": None, "basis": "estimated"},
        "metrics": {},
        "alerts": {},
        "leases": [],
        "input_request": None,
        "error": None,
        "usage": None,
        "finish_reason": None,
        "cut": False,
        "simulated": False,
        "artifacts": {},
        "metadata": {},
        "degraded": False,
        "options": {},
    }


def advance(summary: Summary, kind: str, data: Mapping[str, Json], at: str) -> Summary:
    """The summary after an event: `summary` itself where nothing changes, else a changed copy."""
    if kind not in _CHANGING:  # text, most of all
        return summary
    changed = assignments(kind, data, at)
    if summary["started_at"] is not None:
        changed.pop(("started_at",), None)
    if summary["status"] == "cancelling" and kind not in TERMINAL:
        changed.pop(("status",), None)
    if not changed:
        return summary

    summary = {**summary}
    for path, value in changed.items():
        if len(path) == 2:
            summary[path[0]] = {**summary[path[0]], path[1]: value}
        else:
            summary[path[0]] = value
    return summary


def assignments(kind: str, data: Mapping[str, Json], at: str) -> Assignments:
    """What an event sets; `advance` leaves out what an earlier one has settled."""
    changed: Assignments = {}
    if kind == "input.received" and data.get("request") is None:
        return changed  # fed, not asked for: what the job waits for stays
    if kind in STATUS_AFTER:
        changed[("status",)] = STATUS_AFTER[kind]
    if kind in TERMINAL:
        changed |= {("finished_at",): at, ("input_request",): None, ("leases",): []}
        changed[("usage",)] = data.get("usage")
        changed |= _answered(data)
    if kind in _SETS:
        changed |= _SETS[kind](data, at)
    return changed


def _queued(data: Mapping[str, Json], _at: str) -> Assignments:
    return {
        ("title",): data.get("title") or data.get("task") or "",
        ("input",): shown_input(data.get("input") or {}),
        ("metadata",): data.get("metadata") or {},
        ("options",): {name: data[name] for name in OPTIONS if name in data},
    }


def shown_input(given: Mapping[str, Json]) -> dict[str, Json]:
    """What was asked, as snapshots and lists show it: small members whole, large ones cut.

    A member whose JSON is over `SHOWN_MEMBER` bytes becomes text: its beginning (of a value that
    is no text, of its JSON), and how many bytes there are in all. Where all together are over
    `SHOWN_INPUT`, the members behind that are cut to nothing but that note.
    """
    shown: dict[str, Json] = {}
    left = SHOWN_INPUT
    for name, value in given.items():
        encoded = dumps(value)
        room = SHOWN_MEMBER if left > 0 else 0
        shown[name] = value if len(encoded) <= room else _beginning(value, encoded, room)
        left -= len(name) + min(len(encoded), SHOWN_MEMBER)
    return shown


def _beginning(value: Json, encoded: bytes, room: int) -> str:
    """The first `room` bytes, of whole characters, and a note of the size."""
    whole = value.encode() if isinstance(value, str) else encoded
    begins = whole[:room].decode(errors="ignore")
    return f"{begins}… [cut: {len(whole)} bytes in all]"


def _metric_key(data: Mapping[str, Json]) -> str:
    labels: Iterable[tuple[str, Json]] = sorted((data.get("labels") or {}).items())
    return str(data["name"]) + "".join(f",{key}={value}" for key, value in labels)


def _answered(data: Mapping[str, Json]) -> Assignments:
    """How the model's last answer ended, as ends and log lines tell."""
    known = ("finish_reason", "cut", "simulated")
    return {(name,): data[name] for name in known if data.get(name)}


def _logged(data: Mapping[str, Json]) -> Assignments:
    """What a smaller model answered, or a basic variant made; what is leased or waited for."""
    changed: Assignments = {("degraded",): True} if data.get("degraded") else {}
    changed |= _answered(data)
    if "leases" in data:
        changed[("leases",)] = data["leases"]
    if "joined" in data:
        changed[("options", "joined")] = data["joined"]
    return changed


#: The types that set more than the status.
_SETS: Mapping[str, Callable[[Mapping[str, Json], str], Assignments]] = {
    "job.queued": _queued,
    "job.started": lambda data, at: {
        ("attempt",): data["attempt"],
        ("started_at",): at,
        ("finish_reason",): None,
        ("cut",): False,
        ("input_request",): None,
        ("leases",): [],
        **({("degraded",): True} if data.get("basic") else {}),
    },
    "job.progress": lambda data, _: {
        ("progress",): {name: data.get(name) for name in ("percent", "eta_s", "basis")}
    },
    "metric": lambda data, _: {("metrics", _metric_key(data)): dict(data)},
    "log": lambda data, _: _logged(data),
    "alert": lambda data, _: {("alerts", data["rule"]): dict(data)},
    "artifact": lambda data, _: {("artifacts", data["name"]): dict(data)},
    "input.requested": lambda data, _: {("input_request",): dict(data)},
    "input.received": lambda *_: {("input_request",): None},
    "job.completed": lambda *_: {("progress",): {"percent": 100, "eta_s": 0, "basis": "measured"}},
    "job.failed": lambda data, _: {("error",): data["error"]},
}

#: The types that may change a summary at all.
_CHANGING = frozenset({*STATUS_AFTER, *_SETS})
