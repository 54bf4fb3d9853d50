"""The AsyncAPI document: every event, every message of a socket, and where they come.

Made from `event_types` and from the bodies that commands take: there is no second list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from flask import Flask
from pydantic import BaseModel, TypeAdapter

from streaming.events.types import DATA
from streaming.events.vocabulary import CONTROL, JsonMapping, JsonObject
from streaming.web.commands import AnswerBody, CancelBody, SubmitBody
from streaming.web.operations import Problem

#: Where the document has the schema of a model.
_REF = "#/components/schemas/{model}"
#: What clients send over a socket: the body that it takes, members besides, those that must be.
COMMANDS: Mapping[str, tuple[type[BaseModel] | None, JsonMapping, tuple[str, ...]]] = {
    "subscribe": (
        None,
        {
            "job": {"type": "string"},
            "after": {"type": "integer", "minimum": 0, "description": "seq of the last event seen"},
            "types": {"type": "array", "items": {"type": "string"}},
        },
        ("job",),
    ),
    "unsubscribe": (None, {"job": {"type": "string"}}, ("job",)),
    "submit": (SubmitBody, {"idempotency_key": {"type": "string"}}, ()),
    "cancel": (CancelBody, {"job": {"type": "string"}}, ()),
    "input": (AnswerBody, {"job": {"type": "string"}}, ()),
    "ping": (None, {}, ()),
}
#: Those of the socket of one job, which knows what job is meant.
OF_ONE_JOB = ("cancel", "input", "ping")
#: Members of the envelope. An event that stands for others, merged or skipped, has `from`.
ENVELOPE: JsonMapping = {
    "seq": {"type": "integer", "minimum": 1, "description": "its number in the job's log"},
    "from": {
        "type": "integer",
        "minimum": 1,
        "description": "the event stands for those from here to seq",
    },
    "job": {"type": "string", "description": "the job's id"},
    "at": {"type": "string", "format": "date-time"},
}
#: Each channel: the view that serves it, its title, its protocol, the commands that it takes.
CHANNELS: Mapping[str, tuple[str, str, str, tuple[str, ...]]] = {
    "jobEvents": ("streaming_sse.events", "One job, over SSE or NDJSON", "http", ()),
    "jobPoll": ("streaming_longpoll.poll", "One job, by long polls", "http", ()),
    "feed": ("streaming_sse.feed", "Up to 100 jobs, over one SSE connection", "http", ()),
    "jobSocket": ("streaming_websocket.job_socket", "One job, over WebSocket", "ws", OF_ONE_JOB),
    "socket": (
        "streaming_websocket.any_socket",
        "Any jobs, over one WebSocket",
        "ws",
        tuple(COMMANDS),
    ),
}


def asyncapi(
    app: Flask, *, title: str, version: str, host: str, root: str, secure: bool
) -> JsonObject:
    """The AsyncAPI 3 document of an app that is reached at `host`, below `root`."""
    rules = {rule.endpoint: rule.rule for rule in app.url_map.iter_rules()}
    mounted = {name: each for name, each in CHANNELS.items() if each[0] in rules}
    protocols = ("https", "wss") if secure else ("http", "ws")
    place = {"host": host, "pathname": root} if root else {"host": host}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": title,
            "version": version,
            "description": "A job is a log of events, numbered from 1. Every way to watch gives "
            "the same events; a position (the last seq seen) holds on all of them.",
        },
        "defaultContentType": "application/json",
        "servers": {
            name: {**place, "protocol": protocol, "security": _rights()}
            for name, protocol in zip(("http", "ws"), protocols, strict=True)
        },
        "channels": {
            name: _channel(rules[endpoint], said, protocol, commands, name)
            for name, (endpoint, said, protocol, commands) in mounted.items()
        },
        "operations": dict(_operations(mounted)),
        "components": {
            "messages": _messages(),
            "schemas": _schemas(),
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer"},
                "ticket": {"type": "httpApiKey", "in": "query", "name": "ticket"},
            },
        },
    }


def event_schemas() -> JsonObject:
    """The schema of each type's data, by type."""
    return {kind: TypeAdapter(shape).json_schema() for kind, shape in DATA.items()}


def _rights() -> list[JsonObject]:
    return [{"$ref": f"#/components/securitySchemes/{name}"} for name in ("key", "ticket")]


def _channel(rule: str, said: str, protocol: str, commands: Iterable[str], name: str) -> JsonObject:
    messages = ["page"] if name == "jobPoll" else list(DATA)
    if protocol == "ws":
        messages += [*(f"command.{command}" for command in commands), "ack", "error"]
    channel: JsonObject = {
        "address": re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule),
        "title": said,
        "servers": [{"$ref": f"#/servers/{protocol}"}],
        "messages": {
            key(each): {"$ref": f"#/components/messages/{key(each)}"} for each in messages
        },
    }
    if "<job>" in rule:
        channel["parameters"] = {"job": {"description": "the job's id"}}
    return channel


def _operations(channels: JsonMapping) -> Iterable[tuple[str, JsonObject]]:
    """What the server does: it sends events, and receives commands."""
    for name, (_, said, _, commands) in channels.items():
        target = f"#/channels/{name}"
        received = [key(f"command.{command}") for command in commands]
        sent = ["page"] if name == "jobPoll" else [key(kind) for kind in DATA]
        yield (
            f"{name}Send",
            {
                "action": "send",
                "channel": {"$ref": target},
                "title": said,
                "messages": [{"$ref": f"{target}/messages/{each}"} for each in sent],
            },
        )
        if received:
            replies = [{"$ref": f"{target}/messages/{each}"} for each in ("ack", "error")]
            yield (
                f"{name}Receive",
                {
                    "action": "receive",
                    "channel": {"$ref": target},
                    "title": "Commands, each answered with its `ref`",
                    "messages": [{"$ref": f"{target}/messages/{each}"} for each in received],
                    "reply": {"channel": {"$ref": target}, "messages": replies},
                },
            )


def _messages() -> JsonObject:
    found = {key(kind): _event(kind) for kind in DATA}
    for name in COMMANDS:
        found[key(f"command.{name}")] = _message(
            name, f"What a client sends: {name}", _command(name)
        )
    found["page"] = _message("page", "A page of a long poll", _page())
    ref = {"ref": {"description": "the command's, null without one"}}
    ack = {"type": {"const": "ack"}, **ref, "job": {"type": "object"}}
    error = {"type": {"const": "error"}, **ref, "error": {"$ref": "#/components/schemas/Problem"}}
    found["ack"] = _message("ack", "A command was carried out", _object(ack, ("type", "ref")))
    found["error"] = _message("error", "It was refused", _object(error, ("type", "ref", "error")))
    return found


def _event(kind: str) -> JsonObject:
    stored = kind not in CONTROL
    members = ENVELOPE if stored else {"job": ENVELOPE["job"]}
    data = {"$ref": f"#/components/schemas/{DATA[kind].__name__}"}
    payload = _object(
        {"type": {"const": kind}, **members, "data": data},
        ("seq", "type", "job", "at", "data") if stored else ("type", "data"),
    )
    summary = str(DATA[kind].__doc__).partition("\n")[0]
    return _message(kind, summary, payload)


def _message(name: str, summary: str, payload: JsonObject) -> JsonObject:
    return {"name": name, "title": name, "summary": summary, "payload": payload}


def _command(name: str) -> JsonObject:
    body, members, required = COMMANDS[name]
    described = {} if body is None else body.model_json_schema(ref_template=_REF)
    properties = {
        "type": {"const": name},
        "ref": {"description": "any value; it comes back in the answer"},
        **described.get("properties", {}),
        **members,
    }
    return _object(properties, ("type", *described.get("required", ()), *required))


def _page() -> JsonObject:
    events = [{"$ref": f"#/components/messages/{key(kind)}/payload"} for kind in DATA]
    members = {
        "events": {"type": "array", "items": {"anyOf": events}},
        "next": {"type": "integer", "description": "`after` of the next poll"},
        "status": {"type": "string"},
        "closed": {
            "type": "boolean",
            "description": "the log is closed and `next` is its last seq",
        },
    }
    return _object(members, tuple(members))


def _object(properties: JsonMapping, required: Iterable[str]) -> JsonObject:
    return {"type": "object", "properties": dict(properties), "required": list(required)}


def _schemas() -> JsonObject:
    found = {DATA[kind].__name__: schema for kind, schema in event_schemas().items()}
    for body, _, _ in COMMANDS.values():
        if body is not None:
            found |= body.model_json_schema(ref_template=_REF).get("$defs", {})
    return {**found, "Problem": Problem.model_json_schema()}


def key(kind: str) -> str:
    """A type's name as a key of the document: letters, digits, `_`."""
    return re.sub(r"[^A-Za-z0-9_]", "_", kind)
