"""Inputs to a job's questions, and input for one that takes it while it runs."""

from __future__ import annotations

import jsonschema

from streaming.errors import Conflict, InvalidInput, LogRefusal, TooLarge
from streaming.events import make
from streaming.events.event import Draft
from streaming.events.vocabulary import Json, JsonMapping
from streaming.running.task import TaskRegistry
from streaming.storage.base import EventLog
from streaming.storage.rows import JobRow
from streaming.storage.snapshots import Snapshots


class Inputs:
    """Takes what clients send to jobs."""

    def __init__(
        self, log: EventLog, snapshots: Snapshots, tasks: TaskRegistry, *, max_event_bytes: int
    ) -> None:
        self._log = log
        self._snapshots = snapshots
        self._tasks = tasks
        self._max_event_bytes = max_event_bytes

    def give(self, row: JobRow, request: str | None, data: Json) -> JobRow:
        """Give a job the input that it asked for, or feed one that takes input while it runs.

        The same answer again is taken; `Conflict` for another one and when nothing is asked,
        `InvalidInput` when the data do not fit what was asked.
        """
        asked = row.summary.input_request
        if asked is not None and request in (None, asked["request"]):
            _check_answer(asked["schema"], data)
            return self._take(row, asked["request"], data)
        if request is not None:
            return self._answered_before(row, request, data)
        task = self._tasks.find(row.task)
        if task is None or not task.takes_input:
            return self._answered_before(row, None, data)
        if row.closed or row.status == "cancelling":
            raise _nothing_asked(row)
        task.check_fed(data)
        received = fitting(make.input_received(None, data), self._max_event_bytes)
        return self._log.append(row.id, [received], patient=False)

    def _take(self, row: JobRow, request: str, data: Json) -> JobRow:
        received = fitting(make.input_received(request, data), self._max_event_bytes)
        try:
            expect = {"input_request.request": (request,)}
            return self._log.append(row.id, [received], expect=expect, patient=False)
        except LogRefusal:
            return self._answered_before(row, request, data)

    def _answered_before(self, row: JobRow, request: str | None, data: Json) -> JobRow:
        """The same answer again, to `request` or to the last one that was answered."""
        answers = self._snapshots.look(row.id, lambda state: dict(state.recovery.answers))
        request = request or next(reversed(answers), None)
        if request is None or request not in answers:
            raise _nothing_asked(row)
        if answers[request] != data:
            raise Conflict(
                f"request {request!r} has another answer already", code="already_answered"
            )
        return row


def fitting(draft: Draft, max_event_bytes: int) -> Draft:
    """What a client has sent, as an event; `TooLarge` when it does not fit."""
    if len(draft.encoded) > max_event_bytes:
        raise TooLarge(
            f"this makes an event of {len(draft.encoded)} bytes; the limit is "
            f"{max_event_bytes} (STREAMING_MAX_EVENT_BYTES). Upload it as a file."
        )
    return draft


def _check_answer(schema: JsonMapping | None, data: Json) -> None:
    if schema is None:
        return
    validator = jsonschema.Draft202012Validator(schema)
    errors = [
        (".".join(["data", *map(str, error.absolute_path)]), error.message)
        for error in validator.iter_errors(data)
    ]
    if errors:
        raise InvalidInput.of(errors)


def _nothing_asked(row: JobRow) -> Conflict:
    return Conflict(f"job {row.id} ({row.status}) asks for no input", code="input_not_requested")
