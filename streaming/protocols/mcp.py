"""MCP, revisions 2025-11-25 and 2026-07-28: jobs as calls of tools and as tasks, in JSON-RPC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from streaming.errors import StreamingError
from streaming.events.event import dumps
from streaming.events.vocabulary import Json, JsonMapping, JsonObject
from streaming.protocols.answer import (
    Asked,
    Ended,
    Moment,
    Progress,
    Question,
    Step,
    Whole,
)
from streaming.protocols.frames import About, Encoder, Frame, sse
from streaming.protocols.refusals import failure_of

#: The revision without sessions, and those with.
STATELESS = "2026-07-28"
SESSIONS = ("2025-11-25", "2025-06-18", "2025-03-26")
TASKS = "io.modelcontextprotocol/tasks"
#: What stands before the members of `_meta` that the protocol has.
META = "io.modelcontextprotocol/"

PARSE_ERROR, INVALID_REQUEST, NO_METHOD, INVALID_PARAMS, INTERNAL = (
    -32700, -32600, -32601, -32602, -32603,
)  # fmt: skip
HEADER_MISMATCH, UNSUPPORTED_VERSION = -32020, -32022
#: Milliseconds after which a client is to ask for a task again, and for the tools.
POLL_MS, LIST_MS = 500, 60_000
#: How far a progress is moved on where it would stand still: it has to grow each time.
_TICK = 0.001


class RpcError(Exception):
    """Raised where a call is answered with an error of JSON-RPC: its code, and the HTTP status."""

    def __init__(self, code: int, message: str, *, status: int = 200, data: Json = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.data = data


@dataclass(frozen=True, slots=True)
class Caller:
    """What is known of who asks: the request's id and token, and what its client can."""

    id: Json
    token: Json = None
    #: Answers go on behind an event's id, in this session ("" for the stateless revision).
    session: str = ""
    #: Whether the client takes an event without data first, to resume by.
    primes: bool = False
    #: Whether it puts questions to people.
    elicits: bool = False


def result(id: Json, members: JsonMapping, *, stateless: bool) -> JsonObject:
    """A response. The stateless revision says of each of what kind it is, and who answers."""
    if stateless:
        meta = {f"{META}serverInfo": server_info(), **dict(members.get("_meta") or {})}
        members = {"resultType": "complete", **members, "_meta": meta}
    return {"jsonrpc": "2.0", "id": id, "result": dict(members)}


def failed(id: Json, code: int, message: str, data: Json = None) -> JsonObject:
    """An error response."""
    error = {"code": code, "message": message} | ({} if data is None else {"data": data})
    return {"jsonrpc": "2.0", "id": id, "error": error}


def server_info() -> JsonObject:
    return {"name": "streaming", "title": "Streaming jobs", "version": "1"}


def tool_of(described: JsonMapping) -> JsonObject:
    """A task, as `GET /v1/tasks` describes it, as a tool."""
    return {
        "name": described["name"],
        "title": described["title"],
        "description": described["description"] or described["title"],
        "inputSchema": {"type": "object", **dict(described["input_schema"])},
    }


def declares(capabilities: Json, *path: str) -> bool:
    """Whether a client's capabilities have that member."""
    value = capabilities
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return False
        value = value[name]
    return value is not None and value is not False


def tool_result(whole: Whole, job: str) -> JsonObject:
    """What came of a call; a failure is a result as well, so that a model can read it."""
    ended = whole.ended or Ended("failed", error={"detail": "the log is not whole"})
    meta = {"job": job}
    if ended.status != "completed":
        return {"_meta": meta, **refused_call(failure_of(ended, job).detail)}
    text = whole.text or ("" if ended.output is None else dumps(ended.output).decode())
    found: JsonObject = {"content": [{"type": "text", "text": text}], "_meta": meta}
    if isinstance(ended.output, dict):
        found["structuredContent"] = ended.output
    return {**found, "isError": False}


def refused_call(message: str) -> JsonObject:
    """The result of a call that failed."""
    return {"content": [{"type": "text", "text": message}], "isError": True}


def elicitation(prompt: str, schema: Json) -> JsonObject:
    """A question, as clients put it to people: a form with named fields."""
    form = (
        schema
        if _is_form(schema)
        else {
            "type": "object",
            "properties": {"answer": schema if isinstance(schema, dict) else {"type": "string"}},
            "required": ["answer"],
        }
    )
    return {
        "method": "elicitation/create",
        "params": {"mode": "form", "message": prompt, "requestedSchema": form},
    }


def answer_of(response: Json, schema: Json) -> tuple[bool, Json]:
    """Whether a question was answered, and how: what a client says about an `elicitation`."""
    if not isinstance(response, dict) or response.get("action") not in _ACTIONS:
        raise RpcError(INVALID_PARAMS, "an answer is {action: accept|decline|cancel, content}")
    if response["action"] != "accept":
        return False, None
    content = response.get("content")
    content = content if isinstance(content, dict) else {}
    return True, content if _is_form(schema) else content.get("answer")


_ACTIONS = ("accept", "decline", "cancel")


def _is_form(schema: Json) -> bool:
    return isinstance(schema, dict) and schema.get("type") == "object" and "properties" in schema


class McpEncoder(Encoder):
    """A call's notifications and its response."""

    takes_restarts: ClassVar[bool] = True
    PIECES: ClassVar[tuple[type[Moment], ...]] = (Asked, Step, Progress, Question, Ended)

    def __init__(self, about: About, caller: Caller, *, after: int = 0) -> None:
        super().__init__(about, after=after)
        self._caller = caller
        self._whole = Whole()
        #: The last progress that was told: the next one has to be more.
        self._said = -1.0
        self._percent = 0.0

    def frames(self, moment: Moment, seq: int) -> list[Frame]:
        self._whole.add(moment)
        if isinstance(moment, Asked) and self._caller.primes:
            return [Frame(seq, b"%bretry: 300\ndata: \n\n" % self._id(seq))]
        if isinstance(moment, Progress):
            self._percent = moment.percent
            return self._progress(seq, moment.message)
        if isinstance(moment, Step) and moment.status == "running":
            return self._progress(seq, moment.line.strip())
        if isinstance(moment, Question) and self._caller.elicits:
            return self._ask(moment, seq)
        if isinstance(moment, Ended):
            self.done = self.has_content = True
            return [self._result(seq, tool_result(self._whole, self.about.job))]
        return []

    def failure(self, error: StreamingError) -> bytes:
        """In a session the stream just ends: clients come back for the rest by themselves."""
        self.done = True
        if self._caller.session and error.code != "position_expired":
            return b""
        data = {"code": error.code, "job": self.about.job}
        return sse(failed(self._caller.id, INTERNAL, error.detail, data))

    def _id(self, seq: int) -> bytes:
        return f"id: {self.about.job}:{seq}\n".encode() if self._caller.session else b""

    def _frame(self, seq: int, body: JsonMapping) -> Frame:
        encoded = dumps(body)
        return Frame(seq, b"event: message\n%bdata: %b\n\n" % (self._id(seq), encoded))

    def _result(self, seq: int, members: JsonMapping) -> Frame:
        stateless = not self._caller.session
        return self._frame(seq, result(self._caller.id, members, stateless=stateless))

    def _progress(self, seq: int, message: str) -> list[Frame]:
        if self._caller.token is None:
            return []
        self._said = max(self._percent, self._said + _TICK)
        params = {"progressToken": self._caller.token, "progress": self._said, "total": 100}
        params |= {"message": message} if message else {}
        body = {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}
        return [self._frame(seq, body)]

    def _ask(self, asked: Question, seq: int) -> list[Frame]:
        """A request of ours in a session; without one the call ends, and is to be made again."""
        request = elicitation(asked.prompt, asked.schema)
        if self._caller.session:
            id = question_id(self.about.job, asked.request)
            return [self._frame(seq, {"jsonrpc": "2.0", "id": id, **request})]
        if seq <= self.after:  # it was answered
            return []
        self.done = self.has_content = True
        needed = {"inputRequests": {asked.request: request}, "requestState": self.about.job}
        return [self._result(seq, {"resultType": "input_required", **needed})]


def question_id(job: str, request: str) -> str:
    """The id of our request that puts a job's question."""
    return f"ask:{job}:{request}"


def asked_by(id: Json) -> tuple[str, str] | None:
    """Job and request of such an id."""
    if not isinstance(id, str) or not id.startswith("ask:"):
        return None
    job, _, request = id.removeprefix("ask:").partition(":")
    return job, request


def task_of(snapshot: JsonMapping, ttl_s: float) -> JsonObject:
    """A job as a task of the extension, without what has come of it."""
    percent = (snapshot["progress"] or {}).get("percent") or 0
    return {
        "taskId": snapshot["id"],
        "status": _STATUS[snapshot["status"]],
        "statusMessage": f"{snapshot['status']}, {percent:g} %",
        "createdAt": snapshot["created_at"],
        "lastUpdatedAt": snapshot["finished_at"]
        or snapshot["started_at"]
        or snapshot["created_at"],
        "ttlMs": int(ttl_s * 1000),
        "pollIntervalMs": POLL_MS,
    }


_STATUS = {
    "queued": "working",
    "running": "working",
    "cancelling": "working",
    "waiting_for_input": "input_required",
    "completed": "completed",
    # A tool that failed is a result that says so.
    "failed": "completed",
    "cancelled": "cancelled",
}
