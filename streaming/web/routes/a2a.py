"""A2A 1.0: the card, JSON-RPC on one URL, and the HTTP binding beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from flask import Response, g, request, url_for
from werkzeug.routing import BaseConverter

from streaming.errors import BadRequest
from streaming.events.vocabulary import Json, JsonMapping, JsonObject
from streaming.protocols.a2a import VERSION, A2aError
from streaming.web import a2a_tasks
from streaming.web.blueprints import open_blueprint
from streaming.web.foreign import ForeignBody, foreign_blueprint, foreign_body, is_rpc_id
from streaming.web.json_response import as_json
from streaming.web.models import listed
from streaming.web.operations import operation
from streaming.web.services import services

_MORE = {
    404: "No such task",
    413: "The body is over 32 MiB",
    415: "The body is not JSON",
}
#: One of this protocol's, whose errors are its own.
_operation = partial(operation, tag="protocols", more=_MORE, problem_type="application/json")


_NO_PUSH = "PUSH_NOTIFICATION_NOT_SUPPORTED"


class _TaskConverter(BaseConverter):
    """A task's id in a path: an action may follow it, behind a colon."""

    regex = "[^/:]+"


def _error_body(shown: JsonMapping) -> Json:
    return a2a_tasks.error_body(shown, rpc=a2a_tasks.is_rpc(), id=g.get("a2a_id"))


a2a = foreign_blueprint("a2a", _error_body)
a2a.record(lambda state: state.app.url_map.converters.update(a2a_task=_TaskConverter))
#: For everybody: who may not ask has to learn how they might.
card = open_blueprint("a2a_card")


@a2a.errorhandler(A2aError)
def refused(error: A2aError) -> Response:
    """An error that the protocol has a name for."""
    if a2a_tasks.is_rpc():
        return as_json(error.rpc(g.get("a2a_id")))
    return as_json(error.rest(), error.status)


@card.get("/.well-known/agent-card.json")
def read_card() -> Response:
    """What it can do, where, and with what key; readable without one."""
    found = services()
    skills = [
        {
            "id": each.name,
            "name": each.task.title,
            "description": each.task.description or each.task.title,
            "tags": ["task"],
        }
        for each in listed()
        if not each.is_upstream and (found.open_submit or each.task.open)
    ]
    keyed = found.settings.keyed or found.authorize is not None
    return as_json(
        {
            "name": "Streaming jobs",
            "description": "Tasks whose answers survive dropped connections, deploys and crashes",
            "version": "1",
            "supportedInterfaces": [
                _interface("JSONRPC", url_for(f"{a2a.name}.rpc", _external=True)),
                _interface("HTTP+JSON", url_for(f"{a2a.name}.rpc", _external=True) + "/v1"),
            ],
            "capabilities": {"streaming": True, "pushNotifications": False},
            "securitySchemes": {"bearer": {"httpAuthSecurityScheme": {"scheme": "Bearer"}}},
            "securityRequirements": [{"schemes": {"bearer": {"list": []}}}] if keyed else [],
            "defaultInputModes": ["text/plain", "application/json"],
            "defaultOutputModes": ["text/plain", "application/json"],
            "skills": skills,
        }
    )


_PUSH = "/a2a/v1/tasks/<task>/pushNotificationConfigs"


@card.get("/a2a/v1/tasks", defaults={"reason": "UNSUPPORTED_OPERATION"})
@card.get("/a2a/v1/extendedAgentCard", defaults={"reason": "EXTENDED_AGENT_CARD_NOT_CONFIGURED"})
@card.route(_PUSH, methods=["GET", "POST"], defaults={"reason": _NO_PUSH})
@card.route(f"{_PUSH}/<config>", methods=["GET", "DELETE"], defaults={"reason": _NO_PUSH})
def not_offered(reason: str, **_: str) -> Response:
    """Clients take a 404 for a mistake of their own: this says what it is."""
    error = A2aError(reason, "that is not offered here")
    return as_json(error.rest(), error.status)


def _interface(binding: str, url: str) -> JsonObject:
    return {"url": url, "protocolBinding": binding, "protocolVersion": VERSION}


@a2a.post("/a2a")
@_operation(
    "Begin, watch, answer and stop tasks (A2A, JSON-RPC)", may_stream=True, body=ForeignBody
)
def rpc() -> Response:
    """SendMessage, SendStreamingMessage, SubscribeToTask, GetTask, CancelTask."""
    message = foreign_body()
    if not _is_request(message):
        raise A2aError("INVALID_REQUEST", "a message is one JSON-RPC 2.0 request")
    g.a2a_id = message.get("id")
    _check_version()
    params = message.get("params")
    params = params if isinstance(params, dict) else {}
    answer = _METHODS.get(message["method"])
    if answer is None:
        name = message["method"][:60]
        raise A2aError(_UNSUPPORTED.get(name, "METHOD_NOT_FOUND"), f"{name} is not offered here")
    return _told(answer(params))


def _is_request(message: Json) -> bool:
    """As JSON-RPC 2.0 has it."""
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        return False
    return is_rpc_id(message.get("id")) and isinstance(message.get("method"), str)


_METHODS: Mapping[str, Callable[[JsonMapping], Response | JsonObject]] = {
    "SendMessage": lambda params: a2a_tasks.send(params, stream=False),
    "SendStreamingMessage": lambda params: a2a_tasks.send(params, stream=True),
    "SubscribeToTask": lambda params: a2a_tasks.subscribe(params.get("id")),
    "GetTask": lambda params: a2a_tasks.shown(a2a_tasks.find(params.get("id"))),
    "CancelTask": lambda params: a2a_tasks.cancel(params.get("id")),
}
_UNSUPPORTED = {
    "ListTasks": "UNSUPPORTED_OPERATION",
    "GetExtendedAgentCard": "EXTENDED_AGENT_CARD_NOT_CONFIGURED",
    **dict.fromkeys(
        (
            "CreateTaskPushNotificationConfig",
            "GetTaskPushNotificationConfig",
            "ListTaskPushNotificationConfigs",
            "DeleteTaskPushNotificationConfig",
        ),
        _NO_PUSH,
    ),
}


@a2a.post("/a2a/v1/message:send")
@_operation("Begin or answer a task, and wait (A2A)", scope="submit", body=ForeignBody)
def send() -> Response:
    """The task when it has ended or asks; with `configuration.returnImmediately` at once."""
    return _told(a2a_tasks.send(_params(), stream=False))


@a2a.post("/a2a/v1/message:stream")
@_operation(
    "Begin or answer a task, and watch (A2A)", scope="submit", may_stream=True, body=ForeignBody
)
def stream() -> Response:
    """The task, then its updates."""
    return _told(a2a_tasks.send(_params(), stream=True))


@a2a.get("/a2a/v1/tasks/<a2a_task:task>")
@_operation("Get a task (A2A)")
def get_task(task: str) -> Response:
    """With all that was made so far."""
    _check_version()
    return _told(a2a_tasks.shown(a2a_tasks.find(task)))


@a2a.route("/a2a/v1/tasks/<a2a_task:task>:subscribe", methods=["GET", "POST"])
@_operation("Watch a task (A2A)", may_stream=True)
def subscribe(task: str) -> Response:
    """The task as it is, then what is new; behind `Last-Event-ID` what is new alone."""
    _check_version()
    return a2a_tasks.subscribe(task)


@a2a.post("/a2a/v1/tasks/<a2a_task:task>:cancel")
@_operation("Stop a task (A2A)", scope="cancel")
def cancel(task: str) -> Response:
    """The task afterwards."""
    _check_version()
    return _told(a2a_tasks.cancel(task))


def _told(found: Response | JsonObject) -> Response:
    """A task, which is the job whose id the header has; a stream is told already."""
    if isinstance(found, Response):
        return found
    return a2a_tasks.told(found, rpc=a2a_tasks.is_rpc(), id=g.get("a2a_id"))


def _params() -> JsonObject:
    _check_version()
    body = foreign_body()
    if not isinstance(body, dict):
        raise BadRequest("the body is a JSON object", code="invalid_request")
    return body


def _check_version() -> None:
    given = request.headers.get("A2A-Version") or VERSION
    if given.split(".")[0] != "1":
        raise A2aError("VERSION_NOT_SUPPORTED", f"version {given[:20]!r}; there is {VERSION}")
