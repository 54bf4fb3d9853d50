"""The fold: events to a job's present state, and the form in which it is kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from streaming.errors import Damaged
from streaming.events.event import Event, dumps
from streaming.events.recovery import Recovery
from streaming.events.summary import Summary, advance
from streaming.events.vocabulary import Json, JsonMapping, JsonObject

#: The version of the form in which a fold is kept. Within it, members may only be added: programs
#: of several versions read the same Redis. Folds without one are of before there were versions,
#: and have the same members.
FORM = 1
#: What a snapshot says of a step.
STEP_MEMBERS = ("id", "index", "total", "title", "status", "duration_s")


@dataclass(slots=True)
class Snapshot:
    """The state of a job after the events that it was given, in order."""

    job: str
    summary: Summary
    seq: int = 0
    steps: dict[str, JsonObject] = field(default_factory=dict)
    output: Json = None
    #: What clients are not shown.
    recovery: Recovery = field(default_factory=Recovery)
    #: Characters of all texts.
    text_size: int = 0
    #: Each item's text in pieces, in order of the items' first appearance.
    _texts: dict[str, list[str]] = field(default_factory=dict)
    #: What a newer program has kept besides: it gets it back.
    _newer: JsonObject = field(default_factory=dict)

    def apply(self, event: Event) -> None:
        """Fold the next event."""
        envelope = event.envelope
        data, at = envelope["data"], envelope["at"]
        self.seq = event.seq
        self.summary = advance(self.summary, event.type, data, at)
        self.recovery.apply(event.type, data, at)
        fold = self._FOLDS.get(event.type)
        if fold is not None:
            fold(self, data)

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
            for item, step in self.recovery.step_of.items()
            if self.text_of(item) and self.steps.get(step or "", {}).get("status") != "completed"
        ]

    def public(self) -> JsonObject:
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
        """As it is kept: the base of a log whose head is trimmed. See `FORM`."""
        return dumps(
            {
                **self._newer,
                "form": FORM,
                "job": self.job,
                "seq": self.seq,
                "summary": self.summary.to_json(),
                "steps": self.steps,
                "output": self.output,
                "text_size": self.text_size,
                "_texts": {item: [text] for item, text in self.texts.items()},
                **self.recovery.to_json(),
            }
        )

    @classmethod
    def load(cls, state: bytes) -> Snapshot:
        """What `dump` gave, this version's or an older one's; `Damaged` when it cannot be read."""
        try:
            members = json.loads(state)
            form = members.pop("form", 0)
            if form > FORM:
                raise Damaged(f"a base is kept in form {form}; this program reads up to {FORM}")
            return cls(
                job=members.pop("job"),
                summary=Summary.from_json(members.pop("summary")),
                seq=members.pop("seq"),
                steps=members.pop("steps"),
                output=members.pop("output"),
                text_size=members.pop("text_size"),
                _texts=members.pop("_texts"),
                recovery=Recovery.from_json(members),
                _newer=members,
            )
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise Damaged("the base of a log cannot be read") from error

    def copy(self) -> Snapshot:
        """One that goes its own way. Texts, which may be long, are not copied."""
        return Snapshot(
            job=self.job,
            summary=self.summary,
            seq=self.seq,
            steps={id: dict(step) for id, step in self.steps.items()},
            output=json.loads(dumps(self.output)),  # people's code gets it, and may change it
            recovery=self.recovery.copy(),
            text_size=self.text_size,
            _texts={item: [self.text_of(item)] for item in self._texts},
            _newer=self._newer,
        )

    # -- one for each type that changes more than summary and recovery

    def _append_text(self, data: JsonMapping) -> None:
        self._texts.setdefault(data["item"], []).append(data["text"])
        self.text_size += len(data["text"])

    def _reset_text(self, data: JsonMapping) -> None:
        self.text_size -= len(self.text_of(data["item"]))
        self._texts[data["item"]] = []

    def _update_step(self, data: JsonMapping) -> None:
        self.steps[data["id"]] = {name: data.get(name) for name in STEP_MEMBERS}

    def _complete(self, data: JsonMapping) -> None:
        self.output = data.get("output")

    _FOLDS: ClassVar[Mapping[str, Callable[[Snapshot, JsonMapping], None]]] = {
        "text.delta": _append_text,
        "text.reset": _reset_text,
        "step.updated": _update_step,
        "job.completed": _complete,
    }


def public_summary(summary: Summary) -> JsonObject:
    """The members of a snapshot that lists show, too.

    Metrics are a list here, not an object: oddity 10.
    """
    shown = summary.to_json()
    del shown["options"]
    shown["title"] = shown["title"] or shown["task"]
    for name in ("metrics", "alerts", "artifacts"):
        shown[name] = list(shown[name].values())
    return shown
