"""A WebSocket of OpenAI's Responses: one response after the other over one connection."""

from __future__ import annotations

import logging
import time
from collections import deque

from streaming.errors import BadRequest, StreamingError, TaskError, Unavailable
from streaming.events.event import Event, dumps
from streaming.events.vocabulary import Json
from streaming.protocols.refusals import openai_error
from streaming.protocols.responses import SocketEncoder
from streaming.storage.rows import JobRow
from streaming.watching.lifetime import Closing
from streaming.watching.stream import AWAY_S, Stream
from streaming.watching.websocket import Connection
from streaming.web import answer_errors, answers
from streaming.web.auth import count, require
from streaming.web.bodies import parse_json
from streaming.web.response_requests import parse_body
from streaming.web.socket_session import GOING_AWAY, NORMAL, RESTART, SocketSession

logger = logging.getLogger(__name__)

#: Requests that wait for the one before them, at most.
WAITING = 16


class ResponseSession(SocketSession):
    """One connection. Built in its request, served after it."""

    def __init__(self, connection: Connection, stream: Stream) -> None:
        super().__init__(connection, stream)
        #: Requests that have come and were not begun.
        self._waiting: deque[str | bytes] = deque()
        #: The response that is under way.
        self._encoder: SocketEncoder | None = None
        stream.lifetime.stay_open()

    def _run(self) -> tuple[int, str]:
        while not self._stream.hung_up():
            if (closing := self._stream.lifetime.closing()) is not None:
                self._tell_closing(closing)
                return RESTART, closing.reason
            self._stream.watch()
            self._receive()
            self._work()
            if not self._ping():
                return GOING_AWAY, "no sign of life"
        return NORMAL, ""

    def _work(self) -> None:
        """Begin what has come, deliver what is there, or wait for either."""
        if self._encoder is None and self._waiting:
            self._begin(self._waiting.popleft())
        elif self._encoder is not None:
            self._deliver(self._encoder)
        else:
            self._stream.waker.wait(self._patience())

    def _receive(self) -> None:
        for message in self._connection.receive():
            self._meter.count()
            if len(self._waiting) >= WAITING:
                self._refuse(
                    BadRequest(f"{WAITING} requests wait already", code="too_many_waiting")
                )
            else:
                self._waiting.append(message)

    def _begin(self, message: str | bytes) -> None:
        """Ask what a message says, as a request of its own."""
        with self._app.request_context(self._environ):
            try:
                self._meter.check()
                row = self._ask(parse_json(message))
            except StreamingError as error:
                self._refuse(error)
                return
            self._encoder = SocketEncoder(answers.about(row))

    def _ask(self, body: Json) -> JobRow:
        if not isinstance(body, dict) or body.get("type") != "response.create":
            raise BadRequest('a message is {"type": "response.create", "model", "input", …}')
        require("submit")
        count("submit")
        nested = body.get("response")
        asked = nested if isinstance(nested, dict) else body
        question = parse_body({k: v for k, v in asked.items() if k not in ("type", "event_id")})
        return answers.ask(question, "responses", body, stream=self._stream)

    def _deliver(self, encoder: SocketEncoder) -> None:
        job = encoder.about.job
        try:
            lines = b"".join(map(encoder.take, self._read())).splitlines()
        except TaskError as error:
            lines = [encoder.failure(error).rstrip()]
        if self._stream.cursor.ended and not encoder.done:
            lines.append(encoder.failure(answer_errors.gone(job)).rstrip())
        if lines:
            size = self._connection.send(*lines)
            self._stream.count(size, len(lines))
        if encoder.done:
            self._encoder = None
            self._stream.cursor.unfollow(job)
            self._stream.leave(job)

    def _read(self) -> list[Event]:
        try:
            found = self._stream.cursor.read(self._patience(), self._stream.waker)
        except Unavailable:  # storage is away: read on later
            self._stream.waker.wait(min(self._patience(), AWAY_S))
            return []
        events = [each.event for each in found if each.event is not None]
        if len(events) < len(found):
            raise answer_errors.gone(found[0].job)
        return events

    def _patience(self) -> float:
        return self._stream.patience(max(0.001, self._next_ping - time.monotonic()))

    def _tell_closing(self, closing: Closing) -> None:
        if self._encoder is not None:
            error = answer_errors.closed(closing, self._encoder)
            self._connection.send(self._encoder.failure(error).rstrip())

    def _refuse(self, error: StreamingError) -> None:
        told = {"type": "error", "code": error.code, "message": error.detail, "param": None}
        body = {**told, "sequence_number": 0, "status": error.status, "error": openai_error(error)}
        self._connection.send(dumps(body))
