"""Rows of the index, pages of a log, and what an append makes of a row."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from streaming.errors import Conflict, Fenced, LogClosed, Unexpected
from streaming.events.event import Draft, Event
from streaming.events.summary import Summary, advance, blank
from streaming.events.vocabulary import ENDED, Json, JsonMapping

#: Maximum bytes of events in one page, besides its first event: bounds what a reader costs.
PAGE_BYTES = 1 << 20


#: Types that change nothing in a row but seq and size.
_PLAIN = frozenset({"text.delta", "text.reset", "reasoning.delta"})

#: For each field of a job's summary (dotted for members), the values that an append accepts.
Expect = Mapping[str, Collection[Json]]


class JobRow(NamedTuple):
    """A job as the index has it: always as new as its log."""

    id: str
    owner: str
    summary: Summary
    #: The last event's number; 0 before the first.
    seq: int = 0
    #: Events up to here were trimmed; 0 when the log is whole.
    base: int = 0
    #: Bytes of its events and artifacts.
    size: int = 0
    #: Epoch seconds after which retention removes it; None while it is not terminal.
    expires_at: float | None = None
    #: Retention has removed it; only this row is left, for 410.
    expired: bool = False

    @property
    def status(self) -> str:
        return self.summary.status

    @property
    def attempt(self) -> int:
        return self.summary.attempt

    @property
    def task(self) -> str:
        return self.summary.task

    @property
    def options(self) -> JsonMapping:
        return self.summary.options

    @property
    def closed(self) -> bool:
        return self.summary.status in ENDED


class Page(NamedTuple):
    """The result of a read: events in order, without holes, after the position or after `base`."""

    events: Sequence[Event]
    base: int
    last: int
    closed: bool


@dataclass(frozen=True, slots=True)
class Submission:
    """A new job: its row and `job.queued` are committed together with its idempotency key."""

    id: str
    owner: str
    task: str
    queued: Draft
    key: str | None = None
    #: A digest of the request; the same key with another digest is a conflict.
    digest: str = ""
    #: Private records of the job, committed with it; the log's `records` gives them.
    records: Mapping[str, bytes] = field(default_factory=dict)


def first_row(submission: Submission) -> JobRow:
    """The row of a job before its first event."""
    summary = blank(submission.task, submission.queued.at)
    return JobRow(submission.id, submission.owner, summary)


def check_digest(known: str, submission: Submission) -> None:
    """`Conflict` when an idempotency key is used again for another request."""
    if known != submission.digest:
        raise Conflict(
            f"Idempotency-Key {submission.key!r} belongs to a different request; use a new key",
            code="idempotency_conflict",
        )


def extend(
    row: JobRow,
    drafts: Sequence[Draft],
    *,
    attempt: int | None = None,
    expect: Expect | None = None,
) -> tuple[JobRow, list[Event]]:
    """The row and the events after an append; raises a `LogRefusal` where it is not allowed."""
    summary = row.summary
    if summary.status in ENDED:
        raise LogClosed(f"job {row.id} has ended as {row.status}")
    if attempt is not None and attempt < summary.attempt:
        raise Fenced(f"attempt {attempt} of job {row.id} was followed by attempt {row.attempt}")
    if expect:
        _check(row, expect)

    size, seq = row.size, row.seq
    events: list[Event] = []
    for draft in drafts:
        if events and events[-1].terminal:
            raise LogClosed(f"job {row.id} would go on after {events[-1].type}")
        seq += 1
        event = Event.of(row.id, seq, draft)
        events.append(event)
        if draft.type in _PLAIN:  # most events
            size += len(event.json)
            continue
        size += _weight(event, draft.data)
        summary = advance(summary, draft.type, draft.data, draft.at)

    expires_at = row.expires_at
    if events and events[-1].terminal:
        expires_at = time.time() + float(summary.options.get("ttl_s", 0))
    return JobRow(row.id, row.owner, summary, seq, row.base, size, expires_at), events


def _check(row: JobRow, expect: Expect) -> None:
    for path, allowed in expect.items():
        value = _member(row.summary, path)
        if value not in allowed:
            raise Unexpected(f"{path} of job {row.id} is {value!r}")


def follow(row: JobRow, events: Sequence[Event]) -> JobRow:
    """The row after events that another process has appended, as `extend` made it there.

    Except for `expires_at`, which is not in the log.
    """
    summary, size = row.summary, row.size
    for event in events:
        if event.type in _PLAIN:  # most events: no need to parse them
            size += len(event.json)
            continue
        envelope = event.envelope
        size += _weight(event, envelope["data"])
        summary = advance(summary, event.type, envelope["data"], envelope["at"])
    return row._replace(summary=summary, seq=events[-1].seq, size=size)


def _weight(event: Event, data: JsonMapping) -> int:
    """Bytes that an event adds to its job, blobs included."""
    return len(event.json) + (int(data["size"]) if event.type == "artifact" else 0)


def _member(summary: Summary, path: str) -> Json:
    first, *rest = path.split(".")
    value = getattr(summary, first, None)
    for key in rest:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def cut_page(events: Sequence[Event], limit: int) -> Sequence[Event]:
    """The first events: `limit` at most, `PAGE_BYTES` at most, one at least."""
    if len(events) < 2:  # most pages of a running job
        return events
    size = 0
    for count, event in enumerate(events[:limit]):
        size += len(event.json)
        if size > PAGE_BYTES and count:
            return events[:count]
    return events[:limit]
