"""A2A 1.0: a job's events as a task and its updates, for both bindings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from streaming.errors import StreamingError
from streaming.events.event import Event
from streaming.events.vocabulary import Json, JsonMapping, JsonObject
from streaming.protocols.answer import (
    Asked,
    Ended,
    Moment,
    Progress,
    Question,
    Restarted,
    Result,
    Started,
    Step,
    Text,
    Thought,
    Used,
)
from streaming.protocols.frames import About, Encoder, Frame, sse
from streaming.protocols.refusals import failure_of

VERSION = "1.0"
#: The artifact that a job's output is.
OUTPUT = "output"
#: By reason, the code of JSON-RPC, the HTTP status, and the status of google.rpc.
ERRORS: Mapping[str, tuple[int, int, str]] = {
    "TASK_NOT_FOUND": (-32001, 404, "NOT_FOUND"),
    "TASK_NOT_CANCELABLE": (-32002, 400, "FAILED_PRECONDITION"),
    "PUSH_NOTIFICATION_NOT_SUPPORTED": (-32003, 400, "FAILED_PRECONDITION"),
    "UNSUPPORTED_OPERATION": (-32004, 400, "FAILED_PRECONDITION"),
    "EXTENDED_AGENT_CARD_NOT_CONFIGURED": (-32007, 400, "FAILED_PRECONDITION"),
    "VERSION_NOT_SUPPORTED": (-32009, 400, "FAILED_PRECONDITION"),
    "INVALID_REQUEST": (-32600, 400, "INVALID_ARGUMENT"),
    "METHOD_NOT_FOUND": (-32601, 404, "NOT_FOUND"),
    "INVALID_PARAMS": (-32602, 400, "INVALID_ARGUMENT"),
}
#: What google.rpc calls a status that is none of these.
_STATUSES = {
    401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 409: "ABORTED",
    413: "OUT_OF_RANGE", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE",
}  # fmt: skip


class A2aError(Exception):
    """Raised where a request is refused for a reason that the protocol names (`ERRORS`)."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message

    @property
    def status(self) -> int:
        return ERRORS[self.reason][1]

    def rpc(self, id: Json) -> JsonObject:
        """As JSON-RPC has it."""
        return rpc_error(id, ERRORS[self.reason][0], self.message, self.reason)

    def rest(self) -> JsonObject:
        """As the HTTP binding has it."""
        return rest_error(self.status, self.message, self.reason, ERRORS[self.reason][2])


def rpc_error(id: Json, code: int, message: str, reason: str) -> JsonObject:
    error = {"code": code, "message": message, "data": [_info(reason)]}
    return {"jsonrpc": "2.0", "id": id, "error": error}


def rest_error(status: int, message: str, reason: str, name: str = "") -> JsonObject:
    name = name or _STATUSES.get(status, "INVALID_ARGUMENT" if status < 500 else "INTERNAL")
    shown = {"code": status, "status": name, "message": message, "details": [_info(reason)]}
    return {"error": shown}


def _info(reason: str) -> JsonObject:
    kind = "type.googleapis.com/google.rpc.ErrorInfo"
    return {"@type": kind, "reason": reason.upper(), "domain": "a2a-protocol.org"}


class A2aEncoder(Encoder):
    """The task as it is when the reader comes, then what is new; `task()` is it as far as read."""

    takes_restarts: ClassVar[bool] = True
    PIECES: ClassVar[tuple[type[Moment], ...]] = (Moment,)  # type: ignore[assignment]

    def __init__(
        self,
        about: About,
        *,
        rpc: bool = True,
        id: Json = None,
        after: int = 0,
        opens_at: int = 1,
        asks: str | None = None,
    ) -> None:
        """The task is the first frame, at event `opens_at`; behind `after` there are only updates.

        `asks`: of the questions up to there, the one that is open.
        """
        super().__init__(about, after=after)
        self._rpc, self._id = rpc, id
        self._opens_at, self._opened, self._asks = opens_at, after > 0, asks
        self._known = max(opens_at, after)
        context = about.origin.get("context")
        self._context = str(context or f"ctx_{about.job}")
        self._state, self._at = "TASK_STATE_SUBMITTED", about.created_at
        self._said: JsonObject | None = None
        self._question: str | None = None
        self._texts: dict[str, list[str]] = {}
        self._output: Json = None
        self._messages = 0
        self.has_content = True  # a failure is a state of the task

    def take(self, event: Event) -> bytes:
        self._at = event.at
        out = super().take(event)
        if self._opened or event.seq < self._opens_at:
            return out
        self._opened = self.begun = True
        if self._state == "TASK_STATE_INPUT_REQUIRED":
            if self._asks == self._question:
                self.done = True
            else:  # somebody has answered it
                self._state, self._said = "TASK_STATE_WORKING", None
        return self._frame({"task": self.task()}, event.seq).data + out

    def frames(self, moment: Moment, seq: int) -> list[Frame]:
        updates = self._updates(moment, seq)
        if seq <= self._opens_at and not self._opened:
            return []
        return [self._frame(update, seq) for update in updates]

    def failure(self, error: StreamingError) -> bytes:
        self.done = True
        if self._rpc:
            return sse(rpc_error(self._id, -32603, error.detail, error.code))
        return sse(rest_error(error.status, error.detail, error.code), name="error")

    def task(self) -> JsonObject:
        """The task object."""
        artifacts = [
            _artifact(item, [{"text": "".join(pieces)}]) for item, pieces in self._texts.items()
        ]
        if self._output is not None:
            artifacts.append(_artifact(OUTPUT, [{"data": self._output}]))
        return {
            "id": self.about.job,
            "contextId": self._context,
            "status": self._status(),
            "artifacts": artifacts,
            "metadata": {"model": self.about.model},
        }

    def _frame(self, body: JsonMapping, seq: int) -> Frame:
        shown = {"jsonrpc": "2.0", "id": self._id, "result": body} if self._rpc else body
        return Frame(seq, sse(shown, id=seq))

    def _status(self) -> JsonObject:
        said = {} if self._said is None else {"message": self._said}
        return {"state": self._state, "timestamp": self._at, **said}

    def _updates(self, moment: Moment, seq: int) -> list[JsonObject]:
        if isinstance(moment, Text):
            return self._text(moment)
        if isinstance(moment, Restarted):
            self._texts.pop(moment.item, None)  # its next piece begins it anew
            return []
        if isinstance(moment, Ended):
            return self._end(moment)
        if isinstance(moment, Question):
            self._question = moment.request
            self.done = seq > self._known
            shown = {"request": moment.request, "schema": moment.schema}
            parts: list[JsonObject] = [{"text": moment.prompt}, {"data": shown}]
            return [self._turn("TASK_STATE_INPUT_REQUIRED", parts)]
        if isinstance(moment, Asked):
            return []
        return self._work(moment)

    def _work(self, moment: Moment) -> list[JsonObject]:
        working = "TASK_STATE_WORKING"
        if isinstance(moment, Started):
            return [self._turn(working, [])]
        if isinstance(moment, Step):
            parts = [{"text": moment.line.strip()}] if moment.status == "running" else []
            shown = {"id": moment.id, "title": moment.title, "status": moment.status}
            return [self._turn(working, parts, {"step": shown})]
        if isinstance(moment, Progress):
            progress = {"percent": moment.percent, "message": moment.message}
            parts = [{"text": moment.message}] if moment.message else []
            return [self._turn(working, parts, {"progress": progress})]
        if isinstance(moment, Thought):
            return [self._turn(working, [{"text": moment.text}], {"kind": "reasoning"})]
        if isinstance(moment, Used):
            used = {"tool": moment.name, "arguments": moment.arguments, "id": moment.id}
            return [self._turn(working, [{"data": used}], {"kind": "tool_call"})]
        if isinstance(moment, Result):
            came = {"id": moment.id, "output": moment.output, "error": moment.error}
            return [self._turn(working, [{"data": came}], {"kind": "tool_result"})]
        return []

    def _text(self, said: Text) -> list[JsonObject]:
        append = said.item in self._texts
        self._texts.setdefault(said.item, []).append(said.text)
        if self._state == "TASK_STATE_INPUT_REQUIRED":
            self._state, self._said = "TASK_STATE_WORKING", None
        return [self._artifact_update(_artifact(said.item, [{"text": said.text}]), append=append)]

    def _artifact_update(self, artifact: Json, *, append: bool) -> JsonObject:
        ids = {"taskId": self.about.job, "contextId": self._context}
        whole = {} if append else {"append": False}
        update = {**ids, "artifact": artifact, **({"append": True} if append else whole)}
        return {"artifactUpdate": update}

    def _turn(
        self, state: str, parts: list[JsonObject], metadata: JsonMapping | None = None
    ) -> JsonObject:
        """A new state of the task, and what is said with it."""
        self._state, self._said = state, None
        if parts:
            self._messages += 1
            self._said = {
                "messageId": f"{self.about.job}-{self._messages}",
                "taskId": self.about.job,
                "contextId": self._context,
                "role": "ROLE_AGENT",
                "parts": parts,
            }
        ids = {"taskId": self.about.job, "contextId": self._context}
        more = {"metadata": dict(metadata)} if metadata else {}
        return {"statusUpdate": {**ids, "status": self._status(), **more}}

    def _end(self, ended: Ended) -> list[JsonObject]:
        self.done = True
        if ended.status == "completed" and ended.finish != "error":
            out: list[JsonObject] = []
            if ended.output is not None:
                self._output = ended.output
                artifact = _artifact(OUTPUT, [{"data": ended.output}])
                out.append(self._artifact_update(artifact, append=False))
            return [*out, self._turn("TASK_STATE_COMPLETED", [])]
        failure = failure_of(ended, self.about.job)
        cancelled = ended.status == "cancelled"
        state = "TASK_STATE_CANCELED" if cancelled else "TASK_STATE_FAILED"
        return [self._turn(state, [{"text": failure.detail}], {"code": failure.code})]


def _artifact(id: str, parts: list[JsonObject]) -> JsonObject:
    return {"artifactId": id, "name": id, "parts": parts}
