"""A WebSocket session: deliveries out, commands in, pings between them."""

from __future__ import annotations

import logging
from collections.abc import Callable

from flask import request

from streaming.errors import BadRequest, StreamingError
from streaming.events import wire
from streaming.events.event import dumps
from streaming.events.problem import problem
from streaming.events.vocabulary import Json, JsonMapping, JsonObject
from streaming.events.wire import Form
from streaming.watching.lifetime import TICKET_EXPIRED, Closing
from streaming.watching.stream import Stream
from streaming.watching.websocket import Closed, Connection
from streaming.web.auth import count, find_job, require
from streaming.web.bodies import check_json, read_json
from streaming.web.commands import (
    AnswerBody,
    CancelBody,
    SubmitBody,
    answer,
    cancel,
    submit,
    validate,
)
from streaming.web.positions import check_types
from streaming.web.socket_session import GOING_AWAY, NORMAL, NOT_ALLOWED, RESTART, SocketSession

logger = logging.getLogger(__name__)

#: Maximum jobs that one socket follows.
SUBSCRIPTIONS = 100


class Session(SocketSession):
    """One connection of one job, or of any number. Built in its request, served after it."""

    def __init__(
        self, connection: Connection, stream: Stream, job: str | None, *, from_snapshot: bool
    ) -> None:
        super().__init__(connection, stream)
        self._job = job
        self._from_snapshot = from_snapshot
        stream.stays = job is None
        if job is not None:
            stream.lend(Form("websocket", types=stream.cursor.types(job)))
            stream.sent_as_it_is()  # frames go to the socket, past the server

    def _run(self) -> tuple[int, str]:
        if self._from_snapshot and self._job is not None:
            self._connection.send(self._stream.cursor.snapshot(self._job).json)
        for part in self._stream.parts():
            if isinstance(part, Closing):
                self._connection.send(wire.control_json("stream.closing", None, part.data))
                return (NOT_ALLOWED if part.reason == TICKET_EXPIRED else RESTART), part.reason
            if isinstance(part, list) and part:
                size = self._connection.send(*[delivery.json for delivery in part])
                self._stream.count(size, len(part))
            self._receive()
            if not self._ping():
                return GOING_AWAY, "no sign of life"
        return NORMAL, "the job has ended"

    def _receive(self) -> None:
        """Handle the messages that have arrived, each as a request of its own."""
        for message in self._connection.receive():
            self._meter.count()
            with self._app.request_context(self._environ):
                self._connection.send(dumps(self._answer(message)))
        if self._connection.ended:
            raise Closed

    def _answer(self, message: str | bytes) -> JsonMapping:
        ref: Json = None
        try:
            command = self._parse(message)
            given = command.pop("ref", None)
            check_json(given)
            ref = given  # from here on refusals have it too
            self._meter.check()
            check_json(command)
            reply = self._execute(command.pop("type", None), command)
        except StreamingError as error:
            return {"type": "error", "ref": ref, "error": problem(error, instance=request.path)}
        return {"type": "ack", "ref": ref, **reply}

    def _parse(self, message: str | bytes) -> JsonObject:
        command = read_json(message)
        if not isinstance(command, dict):
            raise BadRequest('a message is a JSON object: {"type": …}')
        return command

    def _execute(self, kind: Json, command: JsonObject) -> JsonMapping:
        commands: dict[str, Callable[[JsonObject], JsonMapping]] = {
            "ping": lambda _: {},
            "cancel": self._cancel,
            "input": self._input,
        }
        if self._job is None:
            commands |= {
                "subscribe": self._subscribe,
                "unsubscribe": self._unsubscribe,
                "submit": self._submit,
            }
        if not isinstance(kind, str) or kind not in commands:
            raise BadRequest(
                f"type is {str(kind)[:40]!r}; here it is one of {', '.join(commands)}",
                code="unknown_command",
            )
        return commands[kind](command)

    def _cancel(self, command: JsonObject) -> JsonMapping:
        require("cancel")
        row = find_job(self._named(command))
        return self._shown(cancel(row, validate(CancelBody, command)).id)

    def _input(self, command: JsonObject) -> JsonMapping:
        require("submit")
        count("submit")
        row = find_job(self._named(command))
        return self._shown(answer(row, validate(AnswerBody, command)).id)

    def _submit(self, command: JsonObject) -> JsonMapping:
        require("submit")
        count("submit")
        key = command.pop("idempotency_key", None)
        self._check_room()
        row, _ = submit(validate(SubmitBody, command), command, key=key)
        self._follow(row.id, 0)
        return self._shown(row.id)

    def _subscribe(self, command: JsonObject) -> JsonMapping:
        row = find_job(self._named(command))
        after = command.pop("after", 0)
        if type(after) is not int or not 0 <= after <= wire.MAX_POSITION:
            raise BadRequest(
                "after is the seq of the last event seen, 0 or more", code="bad_position"
            )
        types = command.pop("types", [])
        if not isinstance(types, list) or not all(isinstance(kind, str) for kind in types):
            raise BadRequest("types is a list of event types")
        self._check_room()
        self._stream.cursor.follow(row.id, after, check_types(types))
        self._stream.enter(row.id)
        return self._shown(row.id)

    def _unsubscribe(self, command: JsonObject) -> JsonMapping:
        job = self._named(command)
        self._stream.cursor.unfollow(job)
        self._stream.leave(job)
        return {}

    def _follow(self, job: str, after: int) -> None:
        self._stream.cursor.follow(job, after)
        self._stream.enter(job)

    def _check_room(self) -> None:
        if len(self._stream.cursor.positions) >= SUBSCRIPTIONS:
            raise BadRequest(f"one socket follows {SUBSCRIPTIONS} jobs; unsubscribe from some")

    def _named(self, command: JsonObject) -> str:
        job = command.pop("job", self._job)
        if not isinstance(job, str) or (self._job is not None and job != self._job):
            raise BadRequest("job is the id of the job that is meant")
        return job

    def _shown(self, job: str) -> JsonMapping:
        return {"job": self._services.slim_snapshot(job)}
