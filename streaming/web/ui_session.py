"""A WebSocket of the AI SDK's chat transport: any number of answers over one connection."""

from __future__ import annotations

from dataclasses import dataclass

from streaming.errors import BadRequest, Expired, NotFound, StreamingError, TaskError
from streaming.events.event import dumps
from streaming.events.vocabulary import Json, JsonObject
from streaming.protocols.question import Question
from streaming.protocols.ui import UiSocketEncoder
from streaming.protocols.ui_request import chat_id, parse
from streaming.storage.rows import JobRow
from streaming.watching.lifetime import Closing
from streaming.watching.stream import Stream
from streaming.watching.websocket import Connection
from streaming.web import answer_errors, answers
from streaming.web.auth import count, find_job, owner, require
from streaming.web.bodies import parse_json
from streaming.web.commands import CancelBody, cancel
from streaming.web.response_session import ResponseSession
from streaming.web.services import services

#: Answers over one connection at the same time.
AT_ONCE = 32


def asked(question: Question, body: Json, stream: Stream) -> JobRow:
    """The job that answers, found by its chat from now on."""
    row = answers.ask(question, "ui", body, stream=stream)
    services().conversations.note("ui", owner(), str(question.origin["chat"]), row.id)
    return row


def active(chat: str) -> JobRow | None:
    """The job that runs in a chat of the asker's, or that has this id itself."""
    row = _last(chat) or _named(chat)
    return None if row is None or row.closed else row


def to_show(chat: str) -> JobRow | None:
    """What runs in a chat; or the job that has this id itself, also when it has ended.

    A page that asked in a chat keeps what it was answered. One that names a job of others has
    nothing yet.
    """
    return active(chat) if _last(chat) else _named(chat)


def _last(chat: str) -> JobRow | None:
    return services().conversations.find("ui", owner(), chat)


def _named(job: str) -> JobRow | None:
    try:
        return find_job(job)
    except (NotFound, Expired):
        return None


@dataclass(slots=True)
class _Shown:
    """An answer that is under way over the connection."""

    request: str
    encoder: UiSocketEncoder
    sequence: int = 0


class UiSession(ResponseSession):
    """One connection. Each answer's frames name the request that asked for it."""

    def __init__(self, connection: Connection, stream: Stream) -> None:
        super().__init__(connection, stream)
        #: The answers that are under way, by job.
        self._shown: dict[str, _Shown] = {}

    def _work(self) -> None:
        while self._waiting:
            self._begin(self._waiting.popleft())
        if self._shown:
            self._deliver_all()
        else:
            self._stream.waker.wait(self._patience())

    def _begin(self, message: str | bytes) -> None:
        """Do what a message says, as a request of its own."""
        request = ""
        with self._app.request_context(self._environ):
            try:
                self._meter.check()
                body = parse_json(message)
                request = _request_id(body)
                self._take(request, body)
            except StreamingError as error:
                self._refuse(error, request)

    def _take(self, request: str, body: JsonObject) -> None:
        kind = body.get("type")
        if kind == "send":
            self._answer(request, body)
        elif kind == "resume":
            self._resume(request, body)
        elif kind == "abort":
            self._abort(request)
        else:
            raise BadRequest("the type of a message is send, resume or abort")

    def _answer(self, request: str, body: JsonObject) -> None:
        require("submit")
        count("submit")
        if len(self._shown) >= AT_ONCE:
            raise BadRequest(f"{AT_ONCE} answers are under way over this connection")
        more = body.get("body")
        named = {name: body[name] for name in ("id", "messages", "trigger") if name in body}
        question = parse({**(more if isinstance(more, dict) else {}), **named})
        self._show(request, asked(question, body, self._stream))

    def _resume(self, request: str, body: JsonObject) -> None:
        require("read")
        count("read")
        row = to_show(chat_id(body.get("id")))
        if row is None:
            self._send({"type": "no-active", "requestId": request})
            return
        self._stream.cursor.follow(row.id, 0)
        self._stream.enter(row.id)
        self._show(request, row)

    def _abort(self, request: str) -> None:
        """Stop the answer to a request of this connection; its end comes as of any other."""
        require("cancel")
        for job in [job for job, shown in self._shown.items() if shown.request == request]:
            cancel(services().registry.find(job, owner()), CancelBody())

    def _show(self, request: str, row: JobRow) -> None:
        """Stream the answer from its start. One that was under way here goes on under this name."""
        before = self._shown.pop(row.id, None)
        if before is not None:
            told = "another request of this connection has taken over this answer"
            self._send({"type": "error", "requestId": before.request, "errorText": told})
        encoder = UiSocketEncoder(answers.about(row), restarts=answers.restarts(row))
        self._shown[row.id] = _Shown(request, encoder)
        self._send({"type": "start", "requestId": request})

    def _deliver_all(self) -> None:
        try:
            found = self._read()
        except TaskError as error:
            self._fail(str(error.extra.get("job")), error)
            return
        for event in found:
            if (shown := self._shown.get(event.job)) is not None:
                self._chunks(shown, shown.encoder.take(event))
        gone = [job for job in self._shown if job not in self._stream.cursor.open_jobs]
        for job in gone:
            if not self._shown[job].encoder.done:
                self._fail(job, answer_errors.gone(job))
        for job in [job for job, shown in self._shown.items() if shown.encoder.done]:
            self._send({"type": "end", "requestId": self._shown[job].request})
            self._forget(job)

    def _fail(self, job: str, error: StreamingError) -> None:
        if (shown := self._shown.get(job)) is not None:
            self._chunks(shown, shown.encoder.failure(error))

    def _forget(self, job: str) -> None:
        del self._shown[job]
        self._stream.cursor.unfollow(job)
        self._stream.leave(job)

    def _chunks(self, shown: _Shown, lines: bytes) -> None:
        """Chunks in frames that name their request."""
        frames = []
        for line in lines.splitlines():
            head = {"type": "chunk", "requestId": shown.request, "sequence": shown.sequence}
            frames.append(dumps(head)[:-1] + b',"chunk":' + line + b"}")
            shown.sequence += 1
        if frames:
            self._stream.count(self._connection.send(*frames), len(frames))

    def _tell_closing(self, closing: Closing) -> None:
        for shown in self._shown.values():
            error = answer_errors.closed(closing, shown.encoder)
            self._chunks(shown, shown.encoder.failure(error))
            self._send({"type": "error", "requestId": shown.request, "errorText": error.detail})

    def _refuse(self, error: StreamingError, request: str = "") -> None:
        self._send({"type": "error", "requestId": request, "errorText": error.detail})

    def _send(self, message: JsonObject) -> None:
        self._connection.send(dumps(message))


def _request_id(body: Json) -> str:
    if not isinstance(body, dict) or not isinstance(body.get("requestId"), str):
        raise BadRequest("a message is a JSON object with a requestId")
    return str(body["requestId"])
