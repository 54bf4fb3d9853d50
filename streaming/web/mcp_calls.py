"""Calls of MCP's tools: jobs, their streams, and the tasks of the stateless revision."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from flask import Response, request

from streaming.errors import InvalidInput, StreamingError
from streaming.events.vocabulary import Json, JsonMapping, JsonObject
from streaming.jobs.request import Request, digest_of
from streaming.protocols.answer import Whole
from streaming.protocols.mcp import (
    INVALID_PARAMS,
    Caller,
    McpEncoder,
    RpcError,
    answer_of,
    elicitation,
    refused_call,
    task_of,
    tool_of,
    tool_result,
)
from streaming.running.task import Task
from streaming.storage.rows import JobRow
from streaming.web import answers
from streaming.web.answers import GRACE_S, HOLD_S, Held
from streaming.web.auth import count, find_job, owner, require
from streaming.web.commands import CancelBody, cancel
from streaming.web.services import services


def tools() -> list[Task]:
    """The tasks that the asker may call."""
    found = services()
    return [each for each in found.tasks if not each.hidden and (found.open_submit or each.open)]


def listed(params: JsonMapping) -> list[JsonObject]:
    """Them as tools, on one page: no cursor is one of ours (MCP, Pagination)."""
    if params.get("cursor"):
        raise RpcError(INVALID_PARAMS, "there is no such cursor: all tools are on the first page")
    return [tool_of(task.describe()) for task in tools()]


def begin(params: JsonMapping, origin: JsonMapping, *, goes_on: bool) -> Held | JsonMapping:
    """A slot with the call's job in it; or the result of a call whose input is refused."""
    found = answers.reserve("mcp")
    with found.set_up():
        try:
            row = start(params, origin, goes_on=goes_on)
        except InvalidInput as error:
            found.close()
            errors: Json = error.extra.get("errors") or []
            named = [f"{each['field']}: {each['message']}" for each in errors]
            return refused_call("; ".join(named) or error.detail)
        found.cursor.follow(row.id, 0)
        found.enter(row.id)
        return Held(found, row)


def start(params: JsonMapping, origin: JsonMapping, *, goes_on: bool) -> JobRow:
    """The job of a call. `RpcError` where there is no such tool; `InvalidInput`."""
    require("submit")
    count("submit")
    name, given = params.get("name"), params.get("arguments")
    task = next((each for each in tools() if each.name == name), None)
    if task is None:
        raise RpcError(INVALID_PARAMS, f"there is no tool {str(name)[:80]!r}")
    if given is not None and not isinstance(given, dict):
        raise RpcError(INVALID_PARAMS, "arguments are a JSON object")
    asked = Request(
        task=task.name,
        input=given or {},
        origin={"protocol": "mcp", **origin},
        on_disconnect=answers.on_disconnect(goes_on),
        disconnect_grace_s=GRACE_S,
    )
    key = request.headers.get("Idempotency-Key") or None
    digest = digest_of(["mcp", name, given])
    row, _ = services().registry.submit(owner(), asked, key=key, digest=digest)
    return row


def respond(held: Held, caller: Caller, *, after: int = 0, closing_cancels: bool) -> Response:
    """The call's stream behind an event, to its response."""
    encoder = McpEncoder(held.about, caller, after=after)
    response = answers.respond_stream(held, lambda _: encoder)
    if closing_cancels and held.row.options["on_disconnect"] == "cancel":
        response.response = _Watched(response.response, encoder, held.row)
    return response


class _Watched:
    """A body whose end before the response is the cancel of its job."""

    def __init__(self, body: Any, encoder: McpEncoder, row: JobRow) -> None:
        self._body = body
        self._encoder = encoder
        self._row = row
        self._registry = services().registry

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._body
        finally:
            self._over()

    def close(self) -> None:
        """Called by the server, also when nothing was read."""
        self._body.close()
        self._over()

    def _over(self) -> None:
        if not self._encoder.done:
            self._encoder.done = True
            self._registry.cancel(self._row, "the caller has closed the stream")


def soon_ended(held: Held) -> bool:
    """Whether the job ends within `HOLD_S`; who hangs up meanwhile cancels it."""
    found, until = held.stream, time.monotonic() + HOLD_S
    found.watch()
    log, after = services().storage.log, 0
    while (left := until - time.monotonic()) > 0:
        page = log.read(held.row.id, after, timeout=left, waker=found.waker)
        after = page.events[-1].seq if page.events else after
        if page.closed and after >= page.last:
            return True
        if any(event.type == "input.requested" for event in page.events):
            return False
        if found.hung_up():
            services().registry.cancel(held.row, "the caller has closed the stream")
            raise ConnectionAbortedError("the client has hung up")
        if found.lifetime.closing() is not None:
            return False
    return False


def whole_of(row: JobRow) -> Whole:
    """All that is in a job's log."""
    whole = Whole()
    for event in answers.events_of(row.id):
        whole.take(event)
    return whole


def find_task(params: JsonMapping) -> JobRow:
    """The job of `taskId`; unknown and foreign ones are the same to the asker."""
    id = params.get("taskId")
    try:
        return find_job(str(id))
    except StreamingError:
        raise RpcError(INVALID_PARAMS, f"there is no task {str(id)[:60]!r}") from None


def shown_task(row: JobRow) -> JsonObject:
    """A task with what has come of it, or what it asks for."""
    snapshot = services().snapshot(row.id)
    shown = task_of(snapshot, float(row.options.get("ttl_s") or 0))
    question: Json = snapshot["input_request"]
    if shown["status"] == "input_required" and question:
        asked = elicitation(question["prompt"], question.get("schema"))
        return {**shown, "inputRequests": {question["request"]: asked}}
    if shown["status"] == "completed":
        return {**shown, "result": {"resultType": "complete", **tool_result(whole_of(row), row.id)}}
    return shown


def take_answers(row: JobRow, responses: Json) -> None:
    """Give a job the answers to what it asks; one that is declined ends it."""
    if not isinstance(responses, dict):
        raise RpcError(INVALID_PARAMS, "inputResponses is a JSON object, by request")
    for name, response in responses.items():
        answer(row, name, response)


def answer(row: JobRow, name: str, response: Json) -> None:
    """One of them. An answer that is late, or not asked for, changes nothing."""
    require("submit")
    question: Json = row.summary.input_request
    if question is None or question["request"] != name:
        return
    accepted, data = answer_of(response, question.get("schema"))
    if not accepted:
        cancel(row, CancelBody(reason="the question was not answered"))
        return
    try:
        services().registry.answer(row, name, data)
    except InvalidInput as error:
        raise RpcError(INVALID_PARAMS, error.detail, data=error.extra.get("errors")) from error
