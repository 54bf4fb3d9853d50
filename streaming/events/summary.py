"""The part of a job's state that lists show, and what each event changes of it.

Kept beside the log by the append's own transaction, so that lists fold nothing. It holds
no text, no steps and no output: those are folded from the log (see snapshot).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime

from streaming.events.event import dumps
from streaming.events.vocabulary import STATUS_AFTER, TERMINAL, Json, JsonMapping, JsonObject

#: What a job may ask for at its submission besides its task and input.
OPTIONS = ("on_disconnect", "disconnect_grace_s", "timeout_s", "ttl_s", "origin", "webhook")

#: Bytes of JSON of each member of an input that are shown, and of all of them: lists hold many.
SHOWN_MEMBER = 4 << 10
SHOWN_INPUT = 16 << 10

#: Progress before the first event of it, and after the end of a job that completed.
_AT_START: JsonMapping = {"percent": 0, "eta_s": None, "basis": "estimated"}
_AT_END: JsonMapping = {"percent": 100, "eta_s": 0, "basis": "measured"}
#: Without these it is no summary; the others came with later versions.
_NEEDED = frozenset({"task", "status", "attempt", "options"})

#: New values of a summary's members.
Changes = JsonObject


@dataclass(frozen=True)
class Summary:
    """What lists show of a job. An event that changes something makes another one."""

    task: str
    title: str = ""
    input: JsonMapping = field(default_factory=dict)
    status: str = "queued"
    created_at: str = ""
    started_at: str | None = None
    finished_at: str | None = None
    attempt: int = 0
    progress: JsonMapping = field(default_factory=lambda: _AT_START)
    #: The newest of each name (and labels), as in their events.
    metrics: Mapping[str, JsonMapping] = field(default_factory=dict)
    alerts: Mapping[str, JsonMapping] = field(default_factory=dict)
    leases: Sequence[JsonMapping] = field(default_factory=list)
    #: The question that waits for its answer: the data of input.requested.
    input_request: JsonMapping | None = None
    error: JsonMapping | None = None
    usage: JsonMapping | None = None
    finish_reason: str | None = None
    cut: bool = False
    simulated: bool = False
    artifacts: Mapping[str, JsonMapping] = field(default_factory=dict)
    metadata: JsonMapping = field(default_factory=dict)
    degraded: bool = False
    #: Those of `OPTIONS` that were asked for; clients are not shown them.
    options: JsonMapping = field(default_factory=dict)
    #: What a newer program has kept besides: it gets it back.
    newer: JsonMapping = field(default_factory=dict)

    @property
    def ran_s(self) -> float:
        """Seconds from the job's first start to its end; 0 when it was never started."""
        if self.started_at is None or self.finished_at is None:
            return 0.0
        began, ended = map(datetime.fromisoformat, (self.started_at, self.finished_at))
        return (ended - began).total_seconds()

    def changed(self, members: Changes) -> Summary:
        """One with other members: `dataclasses.replace`, in an eighth of its time."""
        made = object.__new__(Summary)
        made.__dict__.update(self.__dict__)
        made.__dict__.update(members)
        return made

    def to_json(self) -> JsonObject:
        """As it is kept."""
        return {**{name: getattr(self, name) for name in _KEPT}, **self.newer}

    @classmethod
    def from_json(cls, members: JsonMapping) -> Summary:
        """What `to_json` gave, or an older program, with fewer members; else `ValueError`."""
        newer = dict(members)
        if not newer.keys() >= _NEEDED:
            raise ValueError("no summary of a job")
        known = {name: newer.pop(name) for name in _KEPT if name in newer}
        return cls(**known, newer=newer)


#: The members that are kept under their own names.
_KEPT = tuple(each.name for each in fields(Summary) if each.name != "newer")


def blank(task: str, created_at: str) -> Summary:
    """The summary of a job before its first event."""
    return Summary(task, created_at=created_at)


def advance(summary: Summary, kind: str, data: JsonMapping, at: str) -> Summary:
    """The summary after an event: `summary` itself where nothing changes."""
    if kind not in _CHANGING:  # text, most of all
        return summary
    if kind == "input.received" and data.get("request") is None:
        return summary  # fed, not asked for: what the job waits for stays
    changed: Changes = {}
    if kind in STATUS_AFTER and (summary.status != "cancelling" or kind in TERMINAL):
        changed["status"] = STATUS_AFTER[kind]
    if kind in TERMINAL:
        changed |= {"finished_at": at, "input_request": None, "leases": []}
        changed["usage"] = data.get("usage")
        changed |= _answered(data)
    if kind in _SETS:
        changed |= _SETS[kind](summary, data, at)
    return summary.changed(changed) if changed else summary


def _queued(_: Summary, data: JsonMapping, _at: str) -> Changes:
    return {
        "title": data.get("title") or data.get("task") or "",
        "input": shown_input(data.get("input") or {}),
        "metadata": data.get("metadata") or {},
        "options": {name: data[name] for name in OPTIONS if name in data},
    }


def _started(summary: Summary, data: JsonMapping, at: str) -> Changes:
    return {
        "attempt": data["attempt"],
        "started_at": summary.started_at or at,
        "finish_reason": None,
        "cut": False,
        "input_request": None,
        "leases": [],
        **({"degraded": True} if data.get("basic") else {}),
    }


def shown_input(given: JsonMapping) -> JsonObject:
    """What was asked, as snapshots and lists show it: small members whole, large ones cut.

    A member whose JSON is over `SHOWN_MEMBER` bytes becomes text: its beginning (of a value that
    is no text, of its JSON), and how many bytes there are in all. Where all together are over
    `SHOWN_INPUT`, the members behind that are cut to nothing but that note.
    """
    shown: JsonObject = {}
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


def _metric_key(data: JsonMapping) -> str:
    labels: Iterable[tuple[str, Json]] = sorted((data.get("labels") or {}).items())
    return str(data["name"]) + "".join(f",{key}={value}" for key, value in labels)


def _answered(data: JsonMapping) -> Changes:
    """How the model's last answer ended, as ends and log lines tell."""
    known = ("finish_reason", "cut", "simulated")
    return {name: data[name] for name in known if data.get(name)}


def _logged(summary: Summary, data: JsonMapping, _at: str) -> Changes:
    """What a smaller model answered, or a basic variant made; what is leased or waited for."""
    changed: Changes = {"degraded": True} if data.get("degraded") else {}
    changed |= _answered(data)
    if "leases" in data:
        changed["leases"] = data["leases"]
    if "joined" in data:
        changed["options"] = {**summary.options, "joined": data["joined"]}
    return changed


#: The types that set more than the status.
_SETS: Mapping[str, Callable[[Summary, JsonMapping, str], Changes]] = {
    "job.queued": _queued,
    "job.started": _started,
    "job.progress": lambda _, data, __: {
        "progress": {name: data.get(name) for name in ("percent", "eta_s", "basis")}
    },
    "metric": lambda summary, data, _: {
        "metrics": {**summary.metrics, _metric_key(data): dict(data)}
    },
    "log": _logged,
    "alert": lambda summary, data, _: {"alerts": {**summary.alerts, data["rule"]: dict(data)}},
    "artifact": lambda summary, data, _: {
        "artifacts": {**summary.artifacts, data["name"]: dict(data)}
    },
    "input.requested": lambda _, data, __: {"input_request": dict(data)},
    "input.received": lambda *_: {"input_request": None},
    "job.completed": lambda *_: {"progress": _AT_END},
    "job.failed": lambda _, data, __: {"error": data["error"]},
}

#: The types that may change a summary at all.
_CHANGING = frozenset({*STATUS_AFTER, *_SETS})
