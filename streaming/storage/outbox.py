"""Webhook calls that are still to be made, stored together with their events.

Every storage asks `calls_of` within an append's transaction, so that an event is in the log and its
call in the outbox, or neither. The outbox knows nothing of HTTP, and nothing of the job: a call is
made even if its job has been removed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from streaming.events.event import Event, dumps
from streaming.events.vocabulary import STATUS_AFTER, JsonMapping, JsonObject
from streaming.storage.rows import JobRow

#: The events that a webhook may be called for; all of them, unless it names some.
CALLING = ("job.completed", "job.failed", "job.cancelled", "input.requested")
#: Maximum bytes of JSON for each member of a body: receivers accept some tens of KiB.
MEMBER_BYTES = 16 << 10


@dataclass(frozen=True, slots=True)
class Call:
    """One event for one receiver, until it has taken it."""

    #: The same at every try, so that a receiver recognises repeats.
    id: str
    job: str
    url: str
    body: bytes
    #: Epoch seconds of the event.
    made_at: float
    #: Failed tries so far.
    tries: int = 0


class Outbox(ABC):
    """Calls in order of their due time. They outlast restarts, and the retention of their jobs."""

    @abstractmethod
    def due(self, now: float, *, limit: int) -> Sequence[Call]:
        """Calls that are due at `now` (epoch seconds), the earliest first."""

    @abstractmethod
    def put_off(self, call: Call, until: float) -> None:
        """Make it due again at `until` (epoch seconds), with the tries that `call` says.

        Does nothing when the call is gone.
        """

    @abstractmethod
    def drop(self, call: Call) -> None:
        """Remove a call that was made or given up; a repeat does nothing."""

    @abstractmethod
    def refuse(self, call: Call) -> None:
        """Drop all calls of a job whose receiver wants no more, and accept no further ones."""


def calls_of(row: JobRow, events: Sequence[Event]) -> list[Call]:
    """The calls that an append asks for; `row` is the job's after it."""
    asked: JsonMapping | None = row.options.get("webhook")
    if not asked:  # most jobs
        return []
    wanted = asked.get("events") or CALLING
    calls = []
    for event in events:
        if event.type not in CALLING or event.type not in wanted:
            continue
        body = payload_for(row, event)
        if body is not None:
            at = datetime.fromisoformat(event.at).timestamp()
            calls.append(Call(call_id(event), row.id, str(asked["url"]), dumps(body), at))
    return calls


def call_id(event: Event) -> str:
    """A call's id, derived from its event: an event appended again does not get a second call."""
    return f"msg_{event.job}_{event.seq}"


def payload_for(row: JobRow, event: Event) -> JsonObject | None:
    """The body for a receiver, in the form of the protocol through which the job was submitted.

    None if that protocol does not know the event.
    """
    form = (row.options.get("webhook") or {}).get("form", "job")
    return _FORMS.get(form, _of_job)(row, event)


def _of_job(row: JobRow, event: Event) -> JsonObject:
    """Facts of the job and the event's data in one object; large members are left out and named."""
    facts = {"id": row.id, "seq": event.seq, "task": row.task, "title": row.summary.title}
    facts |= {"status": STATUS_AFTER[event.type], "metadata": row.summary.metadata}
    told = {**event.data, **facts}
    large = sorted(name for name, value in told.items() if len(dumps(value)) > MEMBER_BYTES)
    data = {name: value for name, value in told.items() if name not in large}
    if large:
        data["left_out"] = large
    return {
        "id": call_id(event),
        "type": event.type,
        "timestamp": event.at,
        "data": data,
    }


def _of_response(row: JobRow, event: Event) -> JsonObject | None:
    """The body of OpenAI's webhooks for a response."""
    names = {
        "job.completed": "incomplete" if event.data.get("cut") else "completed",
        "job.failed": "failed",
        "job.cancelled": "cancelled",
    }
    if event.type not in names:
        return None
    return {
        "id": call_id(event),
        "object": "event",
        "type": f"response.{names[event.type]}",
        "created_at": int(datetime.fromisoformat(event.at).timestamp()),
        "data": {"id": f"resp_{row.id}"},
    }


_FORMS: Mapping[str, Callable[[JobRow, Event], JsonObject | None]] = {
    "job": _of_job,
    "response": _of_response,
}
