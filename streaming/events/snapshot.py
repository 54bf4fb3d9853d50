"""The fold: events to a job's present state."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar

from streaming.events.event import Event, dumps
from streaming.events.summary import Summary, advance, blank
from streaming.events.vocabulary import Json

#: Attempts lost in a row that make a job suspicious of having killed its worker.
SUSPICIOUS = 2


class Snapshot:
    """The state of a job after the events that it was given, in order."""

    def __init__(self, job: str, summary: Summary) -> None:
        self.job = job
        self.seq = 0
        self.summary = summary
        self.steps: dict[str, dict[str, Json]] = {}
        #: Each item's text in pieces, in order of the items' first appearance.
        self._texts: dict[str, list[str]] = {}
        #: The step in which an item was written; an item of no step is never finished.
        self._step_of: dict[str, str | None] = {}
        #: Steps that run, the inner ones last.
        self._running_steps: list[str] = []
        #: What was asked: the data of job.queued.
        self.asked: dict[str, Json] = {}
        self.output: Json = None
        self.cancel_reason: str | None = None
        self.answers: dict[str, Json] = {}
        #: Whether it runs as the task's basic variant.
        self.basic = False
        #: Requests whose time ran out.
        self.unanswered: list[str] = []
        self.text_size = 0
        #: Attempts in a row that ended without a word and completed no step.
        self.lost_attempts = 0
        #: Of these, the ones on trial, or alone in their process.
        self.lost_trials = 0
        #: Seconds that the attempts before the present one have run, waiting for people left out.
        self.running_s = 0.0
        self._clock_from: str | None = None
        self._last_at = ""

    def apply(self, event: Event) -> None:
        """Fold the next event."""
        envelope = event.envelope
        data, at = envelope["data"], envelope["at"]
        self.seq = event.seq
        self.summary = advance(self.summary, event.type, data, at)
        fold = self._FOLDS.get(event.type)
        if fold is not None:
            fold(self, data, at)
        self._last_at = at

    def text_of(self, item: str) -> str:
        """An item's text so far."""
        pieces = self._texts.get(item, [])
        if len(pieces) > 1:
            pieces[:] = ["".join(pieces)]
        return pieces[0] if pieces else ""

    @property
    def texts(self) -> dict[str, str]:
        """All items' texts, in order of first appearance."""
        return {item: self.text_of(item) for item in self._texts}

    @property
    def text(self) -> str:
        """The items' texts, one behind the other."""
        return "".join(self.texts.values())

    def unfinished_items(self) -> list[str]:
        """Items with text whose step has not completed: a later attempt starts them over."""
        return [
            item
            for item, step in self._step_of.items()
            if self.text_of(item) and self.steps.get(step or "", {}).get("status") != "completed"
        ]

    def ran_s(self, now: float) -> float:
        """Seconds that the job has run by `now` (epoch seconds), waiting for people left out."""
        if self._clock_from is None:
            return self.running_s
        began = datetime.fromisoformat(self._clock_from).timestamp()
        return self.running_s + max(0.0, now - began)

    def public(self) -> dict[str, Json]:
        """The snapshot as clients get it, without `links` and `queue_position`."""
        texts = self.texts
        return {
            "id": self.job,
            **public_summary(self.summary),
            "steps": list(self.steps.values()),
            "texts": [{"item": item, "text": text} for item, text in texts.items()],
            "text": self.text,
            "output": self.output,
            "seq": self.seq,
        }

    def dump(self) -> bytes:
        """As the base of a log whose head is trimmed."""
        members = {name: value for name, value in vars(self).items() if name != "_texts"}
        return dumps({**members, "_texts": {item: [text] for item, text in self.texts.items()}})

    @classmethod
    def load(cls, state: bytes) -> Snapshot:
        """What `dump` wrote."""
        members = json.loads(state)
        snapshot = cls(members["job"], members["summary"])
        vars(snapshot).update(members)
        return snapshot

    def copy(self) -> Snapshot:
        """One that goes its own way. Texts, which may be long, are not copied."""
        made = copy.copy(self)
        vars(made).update(
            _texts={item: [self.text_of(item)] for item in self._texts},
            _step_of=dict(self._step_of),
            _running_steps=list(self._running_steps),
        )
        made.steps = {id: dict(step) for id, step in self.steps.items()}
        made.unanswered = list(self.unanswered)
        # People's code gets these, and may change them.
        made.asked, made.answers, made.output = json.loads(
            dumps([self.asked, self.answers, self.output])
        )
        return made

    # -- one for each type that changes more than the summary

    def _queued(self, data: Mapping[str, Json], _at: str) -> None:
        self.asked = dict(data)

    def _started(self, data: Mapping[str, Json], at: str) -> None:
        self._running_steps = []
        self.lost_attempts += 1
        self.basic = bool(data.get("basic"))
        self.lost_trials += bool(data.get("on_trial"))
        self._stop_clock(self._last_at)
        self._clock_from = at

    def _cancel_requested(self, data: Mapping[str, Json], _at: str) -> None:
        self.cancel_reason = data.get("reason")

    def _log(self, data: Mapping[str, Json], at: str) -> None:
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
                self._clock_from = self._clock_from or at

    def _append_text(self, data: Mapping[str, Json], _at: str) -> None:
        self._texts.setdefault(data["item"], []).append(data["text"])
        self._step_of[data["item"]] = self._running_steps[-1] if self._running_steps else None
        self.text_size += len(data["text"])

    def _reset_text(self, data: Mapping[str, Json], _at: str) -> None:
        self.text_size -= len(self.text_of(data["item"]))
        self._texts[data["item"]] = []

    def _update_step(self, data: Mapping[str, Json], _at: str) -> None:
        known = ("id", "index", "total", "title", "status", "duration_s")
        self.steps[data["id"]] = {name: data.get(name) for name in known}
        if data["id"] in self._running_steps:
            self._running_steps.remove(data["id"])
        if data["status"] == "running":
            self._running_steps.append(data["id"])
        if data["status"] == "completed":
            self.lost_attempts = self.lost_trials = 0

    def _ask(self, _data: Mapping[str, Json], at: str) -> None:
        self._stop_clock(at)

    def _answered(self, data: Mapping[str, Json], at: str) -> None:
        if data.get("timed_out"):
            self.unanswered.append(data["request"])
            self._clock_from = at
        elif data.get("request"):
            self.answers[data["request"]] = data.get("data")
            self._clock_from = at

    def _completed(self, data: Mapping[str, Json], _at: str) -> None:
        self.output = data.get("output")

    def _stop_clock(self, at: str) -> None:
        if self._clock_from is not None:
            began, ended = map(datetime.fromisoformat, (self._clock_from, at))
            self.running_s += max(0.0, (ended - began).total_seconds())
            self._clock_from = None

    _FOLDS: ClassVar[Mapping[str, Callable[[Snapshot, Mapping[str, Json], str], None]]] = {
        "job.queued": _queued,
        "job.started": _started,
        "job.cancel_requested": _cancel_requested,
        "log": _log,
        "text.delta": _append_text,
        "text.reset": _reset_text,
        "step.updated": _update_step,
        "input.requested": _ask,
        "input.received": _answered,
        "job.completed": _completed,
    }


def public_summary(summary: Summary) -> dict[str, Any]:
    """The members of a snapshot that lists show, too; an older program's had fewer.

    Metrics are a list here, not an object: oddity 10.
    """
    shown = {**blank("", ""), **summary}
    del shown["options"]
    shown["title"] = shown["title"] or shown["task"]
    for name in ("metrics", "alerts", "artifacts"):
        shown[name] = list(summary[name].values())
    return shown
