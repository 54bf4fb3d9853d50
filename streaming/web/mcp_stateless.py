"""What MCP's revision without sessions asks for: tools, calls, and long calls as tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flask import Response, g

from streaming.events.vocabulary import JsonMapping
from streaming.protocols.mcp import (
    INVALID_PARAMS,
    LIST_MS,
    META,
    SESSIONS,
    STATELESS,
    TASKS,
    Caller,
    RpcError,
    declares,
    result,
    server_info,
    tool_result,
)
from streaming.web import answers, mcp_calls
from streaming.web.answers import Held
from streaming.web.auth import require
from streaming.web.json_response import as_json
from streaming.web.services import services
from streaming.web.stopping import stopped

#: The members of a result, or a whole response.
Answer = JsonMapping | Response


def _discover(_: JsonMapping) -> Answer:
    return {
        "supportedVersions": [STATELESS, *SESSIONS],
        "capabilities": {"tools": {}, "extensions": {TASKS: {}}},
        "serverInfo": server_info(),
        "ttlMs": LIST_MS,
        "cacheScope": "private",
    }


def _list_tools(params: JsonMapping) -> Answer:
    return {"tools": mcp_calls.listed(params), "ttlMs": LIST_MS, "cacheScope": "private"}


def _call_alone(params: JsonMapping) -> Answer:
    """A call whose closing is its cancel; a long one is a task, for clients that know tasks."""
    meta = params.get("_meta")
    meta = meta if isinstance(meta, dict) else {}
    can = meta.get(f"{META}clientCapabilities")
    knows_tasks = declares(can, "extensions", TASKS)
    caller = Caller(
        g.mcp_id,
        meta.get("progressToken"),
        elicits=declares(can, "elicitation") and not knows_tasks,
    )
    if params.get("requestState") is not None:
        return _call_again(params, caller)
    origin = {"revision": STATELESS, "asks_by_ending": caller.elicits}
    held = mcp_calls.begin(params, origin, goes_on=knows_tasks)
    if not isinstance(held, Held):
        return held
    with held.stream.set_up():
        if not knows_tasks:
            return mcp_calls.respond(held, caller, closing_cancels=True)
        if mcp_calls.soon_ended(held):
            members = tool_result(mcp_calls.whole_of(held.row), held.row.id)
        else:
            now = services().registry.find(held.row.id, held.row.owner)
            members = {**mcp_calls.shown_task(now), "resultType": "task"}
            for name in ("inputRequests", "result"):
                members.pop(name, None)
        held.stream.close()
    return answers.with_job(as_json(result(g.mcp_id, members, stateless=True)), held.row)


def _call_again(params: JsonMapping, caller: Caller) -> Response:
    """A call that had ended with a question, and what its client says to that."""
    row = mcp_calls.find_task({"taskId": params["requestState"]})
    if row.task != params.get("name"):
        raise RpcError(INVALID_PARAMS, "requestState is of another tool's call")
    held = answers.reopen(row, "mcp")  # first, so that somebody watches when it goes on
    with held.stream.set_up():  # what was said before the question was told before it
        mcp_calls.take_answers(row, params.get("inputResponses") or {})
        asks = services().registry.find(row.id, row.owner).summary.input_request
        after = 0 if asks is not None and asks == row.summary.input_request else row.seq
        if row.closed:  # said once more: the result is asked for, and nothing is behind it
            after = row.seq - 1
        return mcp_calls.respond(held, caller, after=after, closing_cancels=True)


def _get_task(params: JsonMapping) -> Answer:
    return mcp_calls.shown_task(mcp_calls.find_task(params))


def _update_task(params: JsonMapping) -> Answer:
    row = mcp_calls.find_task(params)
    mcp_calls.take_answers(row, params.get("inputResponses"))
    return {}


def _cancel_task(params: JsonMapping) -> Answer:
    require("cancel")
    stopped(mcp_calls.find_task(params))
    return {}


#: By method, what answers it: the members of the result, or a whole response.
METHODS: Mapping[str, Callable[[JsonMapping], Answer]] = {
    "server/discover": _discover,
    "tools/list": _list_tools,
    "tools/call": _call_alone,
    "tasks/get": _get_task,
    "tasks/update": _update_task,
    "tasks/cancel": _cancel_task,
}
