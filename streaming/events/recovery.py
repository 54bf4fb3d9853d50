"""What a job's next attempt, and whoever decides on one, needs to know of the earlier ones.

A part of the fold (see snapshot) that clients are never shown. No I/O.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import ClassVar

from streaming.events.event import dumps
from streaming.events.vocabulary import JsonMapping, JsonObject

#: Attempts lost in a row that make a job suspicious of having killed its worker.
SUSPICIOUS = 2

#: The members that are kept under other names than here: those that the first versions wrote.
_KEPT_AS = {
    "step_of": "_step_of",
    "running_steps": "_running_steps",
    "clock_from": "_clock_from",
    "last_at": "_last_at",
}


@dataclass(slots=True)
class Recovery:
    """The private part of a job's state after some events."""

    #: What was asked: the data of job.queued.
    asked: JsonObject = field(default_factory=dict)
    cancel_reason: str | None = None
    #: The answers by request, and the requests whose time ran out.
    answers: JsonObject = field(default_factory=dict)
    unanswered: list[str] = field(default_factory=list)
    #: Whether it runs as the task's basic variant.
    basic: bool = False
    #: Attempts in a row that ended without a word and completed no step.
    lost_attempts: int = 0
    #: Of these, the ones on trial, or alone in their process.
    lost_trials: int = 0
    #: Seconds that the attempts before the present one have run, waiting for people left out.
    running_s: float = 0.0
    #: Since when the present one runs; None while it waits for people, or a lease.
    clock_from: str | None = None
    last_at: str = ""
    #: Steps that run, the inner ones last.
    running_steps: list[str] = field(default_factory=list)
    #: The step in which an item was written; an item of no step is never finished.
    step_of: dict[str, str | None] = field(default_factory=dict)

    def apply(self, kind: str, data: JsonMapping, at: str) -> None:
        """Fold the next event."""
        fold = self._FOLDS.get(kind)
        if fold is not None:
            fold(self, data, at)
        self.last_at = at

    def ran_s(self, now: float) -> float:
        """Seconds that the job has run by `now` (epoch seconds), waiting for people left out."""
        if self.clock_from is None:
            return self.running_s
        began = datetime.fromisoformat(self.clock_from).timestamp()
        return self.running_s + max(0.0, now - began)

    def copy(self) -> Recovery:
        """One that goes its own way."""
        # People's code gets these, and may change them.
        asked, answers = json.loads(dumps([self.asked, self.answers]))
        return replace(
            self,
            asked=asked,
            answers=answers,
            unanswered=list(self.unanswered),
            running_steps=list(self.running_steps),
            step_of=dict(self.step_of),
        )

    def to_json(self) -> JsonObject:
        """As it is kept."""
        return {kept: getattr(self, name) for name, kept in _kept_names()}

    @classmethod
    def from_json(cls, members: JsonObject) -> Recovery:
        """What `to_json` gave; takes its members out of `members`. Older versions wrote fewer."""
        return cls(**{name: members.pop(kept) for name, kept in _kept_names() if kept in members})

    # -- one for each type that changes something

    def _queued(self, data: JsonMapping, _at: str) -> None:
        self.asked = dict(data)

    def _started(self, data: JsonMapping, at: str) -> None:
        self.running_steps = []
        self.lost_attempts += 1
        self.basic = bool(data.get("basic"))
        self.lost_trials += bool(data.get("on_trial"))
        self._stop_clock(self.last_at)
        self.clock_from = at

    def _cancel_requested(self, data: JsonMapping, _at: str) -> None:
        self.cancel_reason = data.get("reason")

    def _log(self, data: JsonMapping, at: str) -> None:
        if data.get("handed_over"):
            self.lost_attempts = max(0, self.lost_attempts - 1)
        if data.get("acquitted"):
            self.lost_trials = 0
        if data.get("lost_alone"):
            self.lost_trials += 1
        if "leases" in data:  # to wait for a lease is no running time
            waits = any(lease["state"] == "waiting" for lease in data["leases"])
            if waits:
                self._stop_clock(at)
            else:
                self.clock_from = self.clock_from or at

    def _text(self, data: JsonMapping, _at: str) -> None:
        self.step_of[data["item"]] = self.running_steps[-1] if self.running_steps else None

    def _step(self, data: JsonMapping, _at: str) -> None:
        if data["id"] in self.running_steps:
            self.running_steps.remove(data["id"])
        if data["status"] == "running":
            self.running_steps.append(data["id"])
        if data["status"] == "completed":
            self.lost_attempts = self.lost_trials = 0

    def _asks(self, _data: JsonMapping, at: str) -> None:
        self._stop_clock(at)

    def _answered(self, data: JsonMapping, at: str) -> None:
        if data.get("timed_out"):
            self.unanswered.append(data["request"])
            self.clock_from = at
        elif data.get("request"):
            self.answers[data["request"]] = data.get("data")
            self.clock_from = at

    def _stop_clock(self, at: str) -> None:
        if self.clock_from is not None:
            began, ended = map(datetime.fromisoformat, (self.clock_from, at))
            self.running_s += max(0.0, (ended - began).total_seconds())
            self.clock_from = None

    _FOLDS: ClassVar[Mapping[str, Callable[[Recovery, JsonMapping, str], None]]] = {
        "job.queued": _queued,
        "job.started": _started,
        "job.cancel_requested": _cancel_requested,
        "log": _log,
        "text.delta": _text,
        "step.updated": _step,
        "input.requested": _asks,
        "input.received": _answered,
    }


def _kept_names() -> list[tuple[str, str]]:
    """Each member's name here, and the one under which it is kept."""
    return [(each.name, _KEPT_AS.get(each.name, each.name)) for each in fields(Recovery)]
