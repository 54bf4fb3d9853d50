"""MCP on one URL: the revision with sessions, and the one without."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from flask import Response, g, request
from pydantic import BaseModel, Field
from werkzeug.exceptions import MethodNotAllowed

from streaming.errors import BadRequest, NotFound, StreamingError
from streaming.events.event import dumps
from streaming.events.vocabulary import Json, JsonMapping, JsonObject
from streaming.jobs.registry import unknown_job
from streaming.protocols.mcp import (
    HEADER_MISMATCH,
    INTERNAL,
    INVALID_REQUEST,
    META,
    NO_METHOD,
    PARSE_ERROR,
    SESSIONS,
    STATELESS,
    UNSUPPORTED_VERSION,
    Caller,
    RpcError,
    asked_by,
    declares,
    failed,
    result,
    server_info,
)
from streaming.storage.rows import JobRow
from streaming.web import answers, mcp_calls, mcp_sessions
from streaming.web.answers import Held
from streaming.web.auth import check_origin, find_job, owner, require
from streaming.web.commands import CancelBody, cancel
from streaming.web.foreign import ForeignBody, foreign_blueprint, foreign_body, is_rpc_id
from streaming.web.json_response import as_json
from streaming.web.mcp_stateless import METHODS
from streaming.web.operations import operation
from streaming.web.responses import no_content
from streaming.web.services import services

_SESSION = "Mcp-Session-Id"
_VERSION = "MCP-Protocol-Version"
#: One of this protocol's, whose errors are its own.
_operation = partial(operation, tag="protocols", problem_type="application/json")


class _SessionHeader(BaseModel):
    """As the answer to `initialize` had it."""

    session: str = Field(alias="Mcp-Session-Id", pattern="^[!-~]+$")


class _ResumeHeaders(_SessionHeader):
    """The last event of the stream that was lost."""

    last_event_id: str = Field(alias="Last-Event-ID", min_length=1)


def _error_body(shown: JsonMapping) -> Json:
    """A problem as JSON-RPC has it, to the request that it answers."""
    code = PARSE_ERROR if shown["code"] == "malformed_json" else INTERNAL
    code = (
        INVALID_REQUEST if code != PARSE_ERROR and shown["status"] in (400, 404, 405, 415) else code
    )
    data = {name: shown[name] for name in ("code", "status", "retryable")}
    return failed(g.get("mcp_id"), code, str(shown["detail"]), data)


mcp = foreign_blueprint("mcp", _error_body)


@mcp.post("/mcp")
@_operation(
    "Call tools (MCP)",
    body=ForeignBody,
    may_stream=True,
    more={
        202: "A notification or an answer was taken",
        404: "No such session or method",
        413: "The body is over 32 MiB",
        415: "The body is not JSON",
    },
)
def call() -> Response:
    """A message of JSON-RPC, of either revision. Every task of the service is a tool."""
    message = foreign_body()
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise BadRequest("a message is one JSON-RPC 2.0 object", code="invalid_request")
    if not is_rpc_id(message.get("id")):
        raise BadRequest("the id of a message is text or a number", code="invalid_request")
    g.mcp_id = message.get("id")
    params = message.get("params")
    params = params if isinstance(params, dict) else {}
    method = message.get("method")
    try:
        if _is_stateless(params):
            return _stateless(message, method, params)
        return _in_session(message, method, params)
    except RpcError as error:
        shown = failed(g.mcp_id, error.code, error.message, error.data)
        return as_json(shown, error.status)


@mcp.get("/mcp")
@_operation(
    "Come back to a call's stream (MCP 2025-11-25)",
    headers=_ResumeHeaders,
    may_stream=True,
    more={404: "No such session or event", 405: "Without Last-Event-ID: there is no such stream"},
)
def resume() -> Response:
    """With `Last-Event-ID`, in the session: the rest of that call's events, and its response."""
    check_origin()
    given = request.headers.get("Last-Event-ID", "")
    if not given or request.headers.get(_VERSION) == STATELESS:
        raise MethodNotAllowed(valid_methods=["POST", "DELETE"])
    id, state = _session()
    job, _, seq = given.rpartition(":")
    row = find_job(job)
    origin: Json = row.options.get("origin") or {}
    if origin.get("session") != id or not seq.isdecimal() or len(seq) > 15:
        raise unknown_job(job)
    caller = _caller(id, state, origin.get("request"), origin.get("token"))
    after = int(seq)
    if row.closed and after >= row.seq:
        return no_content()
    held = answers.reopen(row, "mcp")
    with held.stream.set_up():
        return mcp_calls.respond(held, caller, after=after, closing_cancels=False)


@mcp.delete("/mcp")
@_operation("End a session (MCP 2025-11-25)", headers=_SessionHeader, more={404: "No such session"})
def end() -> Response:
    """Its calls go on; a cancel that is under way still counts."""
    id, _ = _session()
    mcp_sessions.end(id)
    return no_content()


def _is_stateless(params: JsonMapping) -> bool:
    """Which revision a message is of; `RpcError` where header and body differ."""
    meta = params.get("_meta")
    said = meta.get(f"{META}protocolVersion") if isinstance(meta, dict) else None
    header = request.headers.get(_VERSION)
    if said is not None and header is not None and said != header:
        message = f"{_VERSION} is {header!r}, the body says {str(said)[:40]!r}"
        raise RpcError(HEADER_MISMATCH, message, status=400)
    version = said or header
    if version is None or version in SESSIONS:
        return False
    if version != STATELESS:
        data = {"supported": [STATELESS, *SESSIONS], "requested": str(version)[:40]}
        raise RpcError(UNSUPPORTED_VERSION, "unsupported protocol version", status=400, data=data)
    return True


def _stateless(message: JsonMapping, method: Json, params: JsonMapping) -> Response:
    for header, value in (
        ("Mcp-Method", method),
        ("Mcp-Name", params.get("name", params.get("taskId"))),
    ):
        given = request.headers.get(header)
        if given is not None and value is not None and given != value:
            raise RpcError(HEADER_MISMATCH, f"{header} is not what the body says", status=400)
    if "id" not in message:
        return _accepted()
    if not isinstance(method, str):
        raise RpcError(INVALID_REQUEST, "a request names its method", status=400)
    answer = METHODS.get(method)
    if answer is None:
        raise RpcError(NO_METHOD, f"there is no method {method[:60]!r}", status=404)
    found = answer(params)
    if isinstance(found, Response):
        return found
    return as_json(result(g.mcp_id, found, stateless=True))


def _in_session(message: JsonMapping, method: Json, params: JsonMapping) -> Response:
    if method == "initialize":
        return _initialize(params)
    if method == "notifications/cancelled":  # the session's end may have overtaken it
        _cancel_call(params.get("requestId"))
        return _accepted()
    id, state = _session()
    if "id" not in message:
        return _accepted()
    if method is None and ("result" in message or "error" in message):
        _take_answer(message)
        return _accepted()
    if not isinstance(method, str):
        raise RpcError(INVALID_REQUEST, "a request names its method", status=400)
    if method == "tools/call":
        return _call_in(id, state, params)
    if method == "tools/list":
        return as_json(result(g.mcp_id, {"tools": mcp_calls.listed(params)}, stateless=False))
    if method == "ping":
        return as_json(result(g.mcp_id, {}, stateless=False))
    raise RpcError(NO_METHOD, f"there is no method {method[:60]!r}")


def _initialize(params: JsonMapping) -> Response:
    wanted = params.get("protocolVersion")
    version = wanted if wanted in SESSIONS else SESSIONS[0]
    elicits = declares(params.get("capabilities"), "elicitation")
    id = mcp_sessions.begin({"version": version, "elicits": elicits})
    members = {
        "protocolVersion": version,
        "capabilities": {"tools": {"listChanged": False}},
        "serverInfo": server_info(),
    }
    response = as_json(result(g.mcp_id, members, stateless=False))
    response.headers[_SESSION] = id
    return response


def _call_in(session: str, state: JsonMapping, params: JsonMapping) -> Response:
    meta = params.get("_meta")
    token = meta.get("progressToken") if isinstance(meta, dict) else None
    caller = _caller(session, state, g.mcp_id, token)
    origin = {"session": session, "request": g.mcp_id, "token": token}
    held = mcp_calls.begin(params, origin, goes_on=True)
    if not isinstance(held, Held):
        return as_json(result(g.mcp_id, held, stateless=False))
    with held.stream.set_up():
        services().conversations.note("mcp", owner(), _name_of(session, g.mcp_id), held.row.id)
        return mcp_calls.respond(held, caller, closing_cancels=False)


def _cancel_call(id: Json) -> None:
    require("cancel")
    session = request.headers.get(_SESSION, "")
    row = services().conversations.find("mcp", owner(), _name_of(session, id))
    if row is not None and not row.closed:
        cancel(row, CancelBody(reason="cancelled by the caller"))


def _take_answer(message: JsonMapping) -> None:
    """A response to a request of ours: a question of a job's."""
    known = asked_by(message.get("id"))
    if known is None:
        return
    try:
        row: JobRow = find_job(known[0])
    except StreamingError:
        return
    answer = message.get("result")
    mcp_calls.answer(row, known[1], answer if answer is not None else {"action": "cancel"})


def _session() -> tuple[str, JsonObject]:
    """The request's session: 400 without one, 404 where it is unknown."""
    id = request.headers.get(_SESSION)
    if not id:
        raise BadRequest(f"send {_SESSION}, as the answer to initialize had it", code="no_session")
    state = mcp_sessions.find(id)
    if state is None:
        raise NotFound("there is no such session; initialize again", code="session_not_found")
    return id, state


def _caller(session: str, state: JsonMapping, id: Json, token: Json) -> Caller:
    primes = state["version"] == SESSIONS[0]
    known = Caller(id, token, session, elicits=bool(state["elicits"]))
    return replace(known, primes=primes)


def _name_of(session: str, id: Json) -> str:
    return f"{session}:{dumps(id).decode()}"


def _accepted() -> Response:
    response = no_content()
    response.status_code = 202
    return response
