"""Made-up logs: what any job may do, in an order that a storage accepts."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st

from streaming.events.event import Draft, Event
from streaming.events.snapshot import Snapshot
from streaming.events.summary import blank
from tests.jobs import (
    answered,
    artifact,
    asked_for,
    cancelled,
    completed,
    delta,
    failed,
    metric,
    progress,
    queued,
    reset,
    said,
    started,
    step,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
NAME = st.sampled_from(["a", "b", "c"])
STATUS = st.sampled_from(["pending", "running", "completed", "failed", "skipped"])


def handed_over() -> Draft:
    return Draft(
        "log", {"level": "info", "message": "a later attempt goes on", "handed_over": True}
    )


def cancel_requested(reason: str | None = None) -> Draft:
    return Draft("job.cancel_requested", {"reason": reason})


def alert(rule: str, state: str) -> Draft:
    data = {"severity": "warning", "rule": rule, "message": "so it is", "value": 1}
    return Draft("alert", {**data, "state": state})


#: Any event but the first and the terminal one.
DRAFT: st.SearchStrategy[Draft] = st.one_of(
    st.builds(delta, TEXT, NAME),
    st.builds(delta, TEXT, NAME),
    st.builds(reset, NAME),
    st.builds(step, NAME, STATUS, st.integers(1, 3), st.just(3)),
    st.builds(started, st.integers(1, 4)),
    st.builds(progress, st.integers(0, 100)),
    st.builds(metric, NAME, st.integers()),
    st.builds(lambda name, value, city: metric(name, value, city=city), NAME, st.integers(), NAME),
    st.builds(alert, NAME, st.sampled_from(["firing", "resolved"])),
    st.builds(artifact, NAME, st.integers(0, 9)),
    st.builds(asked_for, NAME),
    st.builds(answered, TEXT, NAME),
    st.builds(answered, TEXT, st.none()),
    st.builds(cancel_requested, st.none() | TEXT),
    st.builds(said, TEXT),
    st.builds(handed_over),
)
END = st.sampled_from([completed({"text": "done"}), failed(), cancelled()])


@st.composite
def drafts(draw: st.DrawFn, max_size: int = 30) -> list[Draft]:
    """What follows job.queued, perhaps up to the end of the job."""
    found = draw(st.lists(DRAFT, max_size=max_size))
    return [*found, draw(END)] if draw(st.booleans()) else found


def events(*following: Draft, job: str = "job_a", **asked: Any) -> list[Event]:
    """A log: job.queued and what follows it."""
    log = [queued(**asked), *following]
    return [Event.of(job, seq, draft) for seq, draft in enumerate(log, start=1)]


def empty(job: str = "job_a") -> Snapshot:
    """The fold of no event."""
    return Snapshot(job, blank("write", "2026-01-01T00:00:00.000Z"))


def fold(log: list[Event], onto: Snapshot | None = None) -> Snapshot:
    """The fold of a log, or of the rest of one."""
    state = onto or empty()
    for event in log:
        state.apply(event)
    return state
