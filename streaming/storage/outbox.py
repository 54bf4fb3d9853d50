"""Calls of webhooks that are still to be made: written with the events that they tell of.

`calls_of` is what every storage asks in an append's own transaction, so that an event is in the log
and its call in the outbox, or neither. The outbox knows nothing of HTTP, and nothing of the job: a
call is made also when its job has been removed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from streaming.events.event import Event, dumps
from streaming.events.vocabulary import STATUS_AFTER, JsonMapping, JsonObject
from streaming.storage.rows import JobRow

#: The events that a webhook may tell of, and does where it names none.
CALLING = ("job.completed", "job.failed", "job.cancelled", "input.requested")
#: Bytes of JSON of each member of what is told: receivers take some tens of KiB.
MEMBER_BYTES = 16 << 10


@dataclass(frozen=True, slots=True)
class Call:
    """One event for one receiver, until it has taken it."""

    #: The same at every try: by it a receiver knows what it has had before.
    id: str
    job: str
    url: str
    body: bytes
    #: Epoch seconds of the event.
    made_at: float
    #: How often it was tried in vain.
    tries: int = 0


class Outbox(ABC):
    """Calls in the order of their time, over restarts and past the retention of their jobs."""

    @abstractmethod
    def due(self, now: float, *, limit: int) -> Sequence[Call]:
        """Calls whose time has come (epoch seconds), the earliest first."""

    @abstractmethod
    def put_off(self, call: Call, until: float) -> None:
        """It is due again at `until` (epoch seconds), with the tries that `call` says.

        Nothing happens when it is not there any more.
        """

    @abstractmethod
    def drop(self, call: Call) -> None:
        """It was made, or given up. Again it does nothing."""

    @abstractmethod
    def refuse(self, call: Call) -> None:
        """Its receiver wants no more of this job: drop all of the job's calls, and take no more."""


def calls_of(row: JobRow, events: Sequence[Event]) -> list[Call]:
    """The calls that an append asks for; `row` is the job's after it."""
    asked: JsonMapping | None = row.options.get("webhook")
    if not asked:  # of most jobs
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
    """A call's name: of its event alone, so that an event that is appended again has no second."""
    return f"msg_{event.job}_{event.seq}"


def payload_for(row: JobRow, event: Event) -> JsonObject | None:
    """What a receiver is told of an event, in the form of the protocol that the job came by.

    None where that protocol has no word for it.
    """
    form = (row.options.get("webhook") or {}).get("form", "job")
    return _FORMS.get(form, _of_job)(row, event)


def _of_job(row: JobRow, event: Event) -> JsonObject:
    """A job's facts and the event's data in one object; what is large is left out, and named."""
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
    """What OpenAI's webhooks say of a response."""
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
