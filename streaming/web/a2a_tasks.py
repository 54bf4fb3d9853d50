"""A2A's tasks: jobs that are begun, answered, read and stopped, for both bindings."""

from __future__ import annotations

from functools import partial

from flask import Response, g, request

from streaming.errors import BadRequest, Conflict, InvalidInput, NotFound, StreamingError
from streaming.events.vocabulary import Json, JsonMapping, JsonObject
from streaming.events.wire import parse_position
from streaming.protocols.a2a import A2aEncoder, A2aError, rest_error, rpc_error
from streaming.protocols.a2a_request import answer_in, message_of, parse
from streaming.storage.rows import JobRow
from streaming.web import answers
from streaming.web.answers import Held
from streaming.web.auth import count, find_job, require
from streaming.web.json_response import as_json
from streaming.web.services import services
from streaming.web.stopping import stopped
from streaming.web.whole_answers import respond_whole


def is_rpc() -> bool:
    """Whether the present request is JSON-RPC; else it is the HTTP binding's."""
    return request.path.endswith("/a2a")


def encoder(row: JobRow, *, after: int = 0) -> A2aEncoder:
    """One that begins with the task as it is now."""
    asks = (row.summary.input_request or {}).get("request")
    return A2aEncoder(
        answers.about(row),
        rpc=is_rpc(),
        id=g.get("a2a_id"),
        after=after,
        opens_at=row.seq,
        asks=asks,
    )


def shown(row: JobRow) -> JsonObject:
    """The task of a job, as it is now."""
    found = encoder(row)
    for event in answers.events_of(row.id):
        found.take(event)
        if event.seq >= row.seq:
            break
    return found.task()


def find(id: Json) -> JobRow:
    """The job of a task; those of others are as unknown as what never was."""
    if not isinstance(id, str):
        raise A2aError("INVALID_PARAMS", "id: the task's id, a string")
    try:
        return find_job(id)
    except StreamingError:
        raise A2aError("TASK_NOT_FOUND", f"there is no task {id[:60]!r}") from None


def send(params: JsonMapping, *, stream: bool) -> Response | JsonObject:
    """Begin a task with a message, or answer with it what a task asks."""
    require("submit")
    count("submit")
    message = message_of(params)
    if _configuration(params).get(
        "taskPushNotificationConfig"
    ):  # else somebody waits for it in vain
        raise A2aError("PUSH_NOTIFICATION_NOT_SUPPORTED", "there are no push notifications here")
    if message.get("taskId"):
        row = find(message["taskId"])
        if message.get("contextId") not in (None, "", encoder(row).task()["contextId"]):
            raise A2aError("INVALID_PARAMS", f"message.contextId: not that of task {row.id}")
        held = answers.reopen(row, "a2a")
        with held.stream.set_up():
            row = _answer(row, message)
            return _told(Held(held.stream, row), params, stream=stream)
    question = parse(params, stream=stream)
    found = answers.reserve("a2a")
    with found.set_up():
        try:
            row = answers.ask(question, "a2a", dict(params), stream=found)
        except (BadRequest, NotFound) as error:  # clients read no other status than this one's
            raise A2aError("INVALID_PARAMS", error.detail) from error
        return _told(Held(found, row), params, stream=stream)


def subscribe(id: Json) -> Response:
    """The task as it is, then what is new; behind `Last-Event-ID` what is new alone."""
    row = find(id)
    given = request.headers.get("Last-Event-ID")
    after = parse_position(given, name="Last-Event-ID") if given else 0
    held = answers.reopen(row, "a2a")
    with held.stream.set_up():
        return _stream(held, after=min(after, row.seq))


def cancel(id: Json) -> JsonObject:
    """Stop a task; one that has ended cannot be."""
    require("cancel")
    row = find(id)
    if row.closed:
        raise A2aError("TASK_NOT_CANCELABLE", f"task {row.id} is {row.status}")
    return shown(stopped(row))


def _answer(row: JobRow, message: JsonMapping) -> JobRow:
    if row.closed:
        raise A2aError("UNSUPPORTED_OPERATION", f"task {row.id} is {row.status}")
    question: Json = row.summary.input_request or {}
    data = answer_in(message, question.get("schema"))
    try:
        return services().registry.answer(row, question.get("request"), data)
    except InvalidInput as error:
        errors: Json = error.extra.get("errors") or []
        named = "; ".join(f"{each['field']}: {each['message']}" for each in errors)
        raise A2aError("INVALID_PARAMS", named or error.detail) from error
    except Conflict as error:
        raise A2aError("UNSUPPORTED_OPERATION", error.detail) from error


def _configuration(params: JsonMapping) -> JsonMapping:
    """How the answer is wanted."""
    found = params.get("configuration")
    return found if isinstance(found, dict) else {}


def _told(held: Held, params: JsonMapping, *, stream: bool) -> Response | JsonObject:
    if stream:
        return _stream(held)
    configuration = _configuration(params)
    if configuration.get("returnImmediately") or configuration.get("blocking") is False:
        held.stream.close()
        return {"task": shown(held.row)}
    rpc, id = is_rpc(), g.get("a2a_id")
    return respond_whole(
        held,
        encoder(held.row),
        lambda found: told({"task": found.task()}, rpc=rpc, id=id),
        partial(error_body, rpc=rpc, id=id),
    )


def told(found: JsonObject, *, rpc: bool, id: Json) -> Response:
    """A task, which is the job whose id the header has."""
    response = as_json({"jsonrpc": "2.0", "id": id, "result": found} if rpc else found)
    response.headers["X-Job-Id"] = found.get("task", found)["id"]
    return response


def error_body(shown: JsonMapping, *, rpc: bool, id: Json) -> Json:
    """A problem as the protocol has it."""
    status, code = int(str(shown["status"])), str(shown["code"])
    if not rpc:
        return rest_error(status, str(shown["detail"]), code)
    number = -32700 if code == "malformed_json" else -32603
    number = -32602 if status in (400, 404, 422) and number != -32700 else number
    return rpc_error(id, number, str(shown["detail"]), code)


def _stream(held: Held, *, after: int = 0) -> Response:
    row = held.row
    if after and row.closed and after >= row.seq:
        after = row.seq - 1  # its end again: a stream of nothing would tell nothing
    return answers.respond_stream(held, lambda _: encoder(row, after=after))
