"""The fold: events to a job's state, as the server's snapshot has it. No I/O."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TypeVar, cast

from streaming.client.types import Event, Job
from streaming.events.summary import shown_input
from streaming.events.vocabulary import STATUS_AFTER, TERMINAL, JsonMapping, JsonObject

E = TypeVar("E")

State = JsonObject
Data = JsonMapping


def fold(job: Job | None, event: Event) -> Job:
    """The job's state after an event; begin with None, or with a snapshot.

    A `stream.snapshot` replaces what there was. Events that the state has already change
    nothing, nor do other `stream.*` events. The argument is left as it is. Begun with None, the
    result is as the server's snapshot at that event, but that `links` have no prefix.
    """
    given = cast("JsonMapping", event)
    if given["type"] == "stream.snapshot":
        return cast("Job", _whole(given["data"]["job"]))
    state = cast("State | None", job) or _blank(given)
    seq = given.get("seq")
    if seq is None or seq <= state["seq"]:
        return cast("Job", state)
    data, at = given["data"], given.get("at", "")
    change = _CHANGES.get(given["type"])
    changed = {**state, **(change(state, data, at) if change else {}), "seq": seq}
    return cast("Job", changed | _status_after(state, given["type"], data))


class Fold:
    """A job's state that grows event by event: as `fold`, in time that its text does not square."""

    def __init__(self) -> None:
        self._job: Job | None = None
        #: Pieces of text that `_job` does not have yet.
        self._pending: dict[str, list[str]] = {}

    def apply(self, event: Event) -> None:
        """Fold the next event."""
        given = cast("JsonMapping", event)
        if given["type"] == "text.delta" and self._job is not None:
            if given["seq"] > self._job["seq"]:
                self._pending.setdefault(given["data"]["item"], []).append(given["data"]["text"])
                self._job["seq"] = given["seq"]
            return
        if given["type"] in ("text.reset", "stream.snapshot"):
            self._settle()
        self._job = cast("Job", dict(fold(self._job, event)))

    @property
    def job(self) -> Job | None:
        """The state now; None before the first event."""
        self._settle()
        return self._job

    def _settle(self) -> None:
        state = cast("State", self._job)
        for item, pieces in self._pending.items():
            more = "".join(pieces)
            state.update(_with_text(state, item, lambda text, more=more: text + more))  # type: ignore[misc]
        self._pending.clear()


def _whole(state: JsonMapping) -> State:
    """With `text`, which a snapshot over WebSocket leaves to `texts`."""
    return {**state, "text": "".join([each["text"] for each in state["texts"]])}


def _blank(event: JsonMapping) -> State:
    job = event.get("job", "")
    itself = f"/v1/jobs/{job}"
    return {
        "id": job,
        "task": "",
        "title": "",
        "input": {},
        "status": "queued",
        "created_at": event.get("at", ""),
        "started_at": None,
        "finished_at": None,
        "attempt": 0,
        "queue_position": None,
        "progress": {"percent": 0, "eta_s": None, "basis": "estimated"},
        "steps": [],
        "texts": [],
        "text": "",
        "metrics": [],
        "alerts": [],
        "leases": [],
        "input_request": None,
        "output": None,
        "error": None,
        "usage": None,
        "artifacts": [],
        "metadata": {},
        "seq": 0,
        "degraded": False,
        "finish_reason": None,
        "cut": False,
        "simulated": False,
        "links": {
            "self": itself,
            **{name: f"{itself}/{name}" for name in ("events", "poll", "ws", "cancel")},
        },
    }


def _status_after(state: State, kind: str, data: Data) -> State:
    if kind == "input.received" and data.get("request") is None:
        return {}  # fed, not asked for
    if kind not in STATUS_AFTER or (state["status"] == "cancelling" and kind not in TERMINAL):
        return {}
    return {"status": STATUS_AFTER[kind]}


def _started(state: State, data: Data, at: str) -> State:
    return {
        "attempt": data["attempt"],
        "started_at": state["started_at"] or at,
        "queue_position": None,
        "input_request": None,
        "leases": [],
        "degraded": state["degraded"] or bool(data.get("basic")),
        "finish_reason": None,
        "cut": False,
    }


def _answered(data: Data) -> State:
    """How the model's last answer ended, as ends and log lines tell."""
    return {name: data[name] for name in ("finish_reason", "cut", "simulated") if data.get(name)}


def _step(state: State, data: Data, _at: str) -> State:
    known = ("id", "index", "total", "title", "status", "duration_s")
    step = {name: data.get(name) for name in known}
    return {"steps": _put(state["steps"], step, lambda each: each["id"])}


def _with_text(state: State, item: str, change: Callable[[str], str]) -> State:
    texts = list(state["texts"])
    for at, each in enumerate(texts):
        if each["item"] == item:
            texts[at] = {"item": item, "text": change(each["text"])}
            break
    else:
        texts.append({"item": item, "text": change("")})
    return {"texts": texts, "text": "".join([each["text"] for each in texts])}


def _ended(data: Data, at: str) -> State:
    return {
        "finished_at": at,
        "usage": data.get("usage"),
        "input_request": None,
        "leases": [],
        "queue_position": None,
        **_answered(data),
    }


def _metric_key(metric: Data) -> str:
    return json.dumps([metric["name"], sorted((metric.get("labels") or {}).items())])


def _put(entries: list[E], entry: E, key: Callable[[E], object]) -> list[E]:
    """The list with the entry in the place of the one with the same key, or at the end."""
    wanted = key(entry)
    if any(key(each) == wanted for each in entries):
        return [entry if key(each) == wanted else each for each in entries]
    return [*entries, entry]


_CHANGES: Mapping[str, Callable[[State, Data, str], State]] = {
    "job.queued": lambda _, data, __: {
        "task": data["task"],
        "title": data.get("title") or data["task"],
        "input": shown_input(data.get("input") or {}),
        "queue_position": data.get("position"),
        "metadata": data.get("metadata") or {},
    },
    "job.started": _started,
    "job.progress": lambda _, data, __: {
        "progress": {name: data.get(name) for name in ("percent", "eta_s", "basis")}
    },
    "step.updated": _step,
    "text.delta": lambda state, data, _: _with_text(
        state, data["item"], lambda text: text + str(data["text"])
    ),
    "text.reset": lambda state, data, _: _with_text(state, data["item"], lambda _: ""),
    "metric": lambda state, data, _: {"metrics": _put(state["metrics"], dict(data), _metric_key)},
    "alert": lambda state, data, _: {
        "alerts": _put(state["alerts"], dict(data), lambda each: each["rule"])
    },
    "artifact": lambda state, data, _: {
        "artifacts": _put(state["artifacts"], dict(data), lambda each: each["name"])
    },
    "log": lambda state, data, _: {
        "degraded": state["degraded"] or bool(data.get("degraded")),
        "leases": data.get("leases", state["leases"]),
        **_answered(data),
    },
    "input.requested": lambda _, data, __: {"input_request": dict(data)},
    "input.received": lambda state, data, _: {
        "input_request": state["input_request"] if data.get("request") is None else None
    },
    "job.completed": lambda _, data, at: {
        **_ended(data, at),
        "output": data.get("output"),
        "progress": {"percent": 100, "eta_s": 0, "basis": "measured"},
    },
    "job.failed": lambda _, data, at: {**_ended(data, at), "error": data["error"]},
    "job.cancelled": lambda _, data, at: _ended(data, at),
}
