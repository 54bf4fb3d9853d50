"""Thin out, never tear: fewer events for a reader who is behind, and the same text.

Adjacent deltas of one item are merged; progress, metrics and steps that a later event of the same
batch replaces are skipped. What is given says which range of the log it covers. No I/O.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from streaming.events.event import Event
from streaming.events.vocabulary import DELTAS, Json

#: The pressure level from which superseded events are skipped.
SKIP_LEVEL = 2

#: Types of which a later event may replace an earlier one.
REPLACEABLE = frozenset({"job.progress", "metric", "step.updated"})
#: Maximum bytes of events that are merged into one.
MERGED_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Thinned:
    """An event; `since` is its `from` where events before it were merged into it or skipped."""

    event: Event
    since: int | None = None


def thin(events: Sequence[Event], after: int, *, skip: bool) -> list[Thinned]:
    """What a reader at `after` is given for these events of one log, in order.

    With `skip` superseded events are left out, else only deltas are merged. The ranges tile: each
    begins behind the event before it, and the last one ends with the last event.
    """
    left_out = _superseded(events) if skip else frozenset()
    thinned: list[Thinned] = []
    for run, absorbed in _runs(events, left_out):
        event = run[0] if len(run) == 1 else _merged(run)
        thinned.append(Thinned(event, after + 1 if absorbed else None))
        after = event.seq
    return thinned


def _runs(events: Sequence[Event], left_out: frozenset[int]) -> Iterator[tuple[list[Event], bool]]:
    """Adjacent deltas of one item together, all else alone; whether it stands for others, too."""
    run: list[Event] = []
    size, skipped, absorbed = 0, False, False
    for event in events:
        if event.seq in left_out:
            skipped = True
            continue
        if run and _joins(run[-1], event) and size + len(event.json) <= MERGED_BYTES:
            absorbed = True
        else:
            if run:
                yield run, absorbed
            run, size, absorbed = [], 0, skipped
        skipped = False
        run.append(event)
        size += len(event.json)
    if run:
        yield run, absorbed


def _superseded(events: Sequence[Event]) -> frozenset[int]:
    """The seqs of events that a later one of the batch replaces."""
    found: set[int] = set()
    seen: set[str] = set()
    for event in reversed(events):
        if event.type in REPLACEABLE:
            key = _key(event)
            if key in seen:
                found.add(event.seq)
            seen.add(key)
    return frozenset(found)


def _key(event: Event) -> str:
    """A later event of the same key replaces this one."""
    if event.type == "job.progress":
        return event.type
    data = event.data
    if event.type == "metric":
        labels = sorted((data.get("labels") or {}).items())
        return json.dumps([event.type, data["name"], labels])
    return json.dumps([event.type, data["id"]])


def _joins(last: Event, event: Event) -> bool:
    return event.type in DELTAS and event.type == last.type and _item(event) == _item(last)


def _item(event: Event) -> Json:
    return event.data["item"]


def _merged(run: Sequence[Event]) -> Event:
    """One delta for several: the last one's envelope with the text of all."""
    data = [event.data for event in run]
    return run[-1].with_data({**data[-1], "text": "".join(each["text"] for each in data)})
