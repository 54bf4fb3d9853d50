"""Writes down the fold that a version of this program keeps as a log's base.

Run in the tree of that version; the fixtures here were made so:

    git archive da201d8 | tar x -C older && cd older
    python ../tests/storage/formats/write_base.py >../da201d8.base
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path.cwd()))

from streaming.events.event import Draft, Event
from streaming.events.snapshot import Snapshot
from streaming.events.summary import blank

JOB = "job_01M8A000000000000000000000"


def step(id: str, status: str) -> tuple[str, dict[str, Any]]:
    data = {"id": id, "index": 1, "total": 2, "title": id, "status": status}
    return "step.updated", {**data, "duration_s": 1.5, "detail": None}


ASKED = {
    "task": "diary", "title": "Diary", "input": {"path": "/tmp/diary"}, "metadata": {"a": 1},
    "on_disconnect": "continue", "on_break": "continue", "timeout_s": 60.0, "ttl_s": 60.0,
}  # fmt: skip

#: A second apart. It ends with a question that is open, in an attempt after two that were lost.
EVENTS: list[tuple[str, dict[str, Any]]] = [
    ("job.queued", ASKED),
    ("job.started", {"attempt": 1, "worker": "host:1"}),
    step("one", "running"),
    ("text.delta", {"item": "one", "text": "grüß "}),
    ("text.delta", {"item": "one", "text": "Gott 🚀"}),
    step("one", "completed"),
    ("input.requested", {"request": "job.1", "prompt": "Which?", "schema": None}),
    ("input.received", {"request": "job.1", "data": {"a": [1]}}),
    ("input.requested", {"request": "job.2", "prompt": "And?", "schema": None}),
    ("input.received", {"request": "job.2", "data": None, "timed_out": True}),
    ("job.started", {"attempt": 2, "worker": "host:2", "on_trial": True}),
    ("job.started", {"attempt": 3, "worker": "host:3", "on_trial": True, "basic": True}),
    step("two", "running"),
    ("text.delta", {"item": "two", "text": "half a"}),
    ("metric", {"name": "loss", "value": 0.5, "unit": "1", "labels": {"of": "x"}}),
    ("artifact", {"name": "a.txt", "media_type": "text/plain", "size": 4, "href": "/a.txt"}),
    ("job.cancel_requested", {"reason": "enough"}),
]


def folded() -> Snapshot:
    state = Snapshot(JOB, blank("diary", "2026-01-01T00:00:00.000Z"))
    for seq, (kind, data) in enumerate(EVENTS, start=1):
        draft = Draft(kind, data, at=f"2026-01-01T00:00:{seq:02}.000Z")
        state.apply(Event.of(JOB, seq, draft))
    return state


if __name__ == "__main__":
    sys.stdout.write(folded().dump().decode() + "\n")
