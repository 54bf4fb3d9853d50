"""`GET /v1/transports`: the ways to watch a job side by side, and which to pick for which need."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources

from flask import Response, request
from pydantic import BaseModel, ConfigDict, Field

from streaming.events.vocabulary import JsonObject
from streaming.web.blueprints import open_blueprint
from streaming.web.json_response import as_json
from streaming.web.operations import operation

transports = open_blueprint("transports")


class Transport(BaseModel):
    """One way to watch a job."""

    model_config = ConfigDict(extra="forbid")

    name: str
    title: str
    request: str = Field(description="how it is asked for")
    direction: str
    timeliness: str
    complexity: str = Field(description="for who writes the client")
    resource_cost: str
    compatibility: str
    proxies: str = Field(description="behind those that buffer or time out")
    weak_networks: str
    use_for: str
    not_for: str
    measured: JsonObject = Field(description="figures of this service, by scripts/bench")


class Need(BaseModel):
    """A need, and what to pick for it."""

    model_config = ConfigDict(extra="forbid")

    need: str
    pick: str
    why: str


class Transports(BaseModel):
    """All ways, the needs, and where the figures come from."""

    model_config = ConfigDict(extra="forbid")

    transports: list[Transport]
    needs: list[Need]
    measured_with: JsonObject


TRAITS: tuple[dict[str, str], ...] = (
    {
        "name": "sse",
        "title": "Server-Sent Events",
        "request": "GET {base}/jobs/{job}/events",
        "direction": "from the server",
        "timeliness": "at once",
        "complexity": "low: browsers reconnect by themselves, with their position",
        "resource_cost": "low: one connection for all events, no framing by the client",
        "compatibility": "all browsers; six connections to a host over HTTP/1.1",
        "proxies": "one that buffers delays events; heartbeats (15 s) keep one waiting",
        "weak_networks": "good: a cut costs a reconnect, and no event",
        "use_for": "text from a model, progress, alerts: the first choice",
        "not_for": "clients that send while they listen",
    },
    {
        "name": "websocket",
        "title": "WebSocket",
        "request": "GET {base}/jobs/{job}/ws, GET {base}/ws",
        "direction": "both",
        "timeliness": "at once",
        "complexity": "high: the client reconnects and keeps its position by itself",
        "resource_cost": "low for each message; a little more memory for each connection",
        "compatibility": "all browsers; some proxies do not let the upgrade pass",
        "proxies": "a tunnel, nothing is held back; pings (15 s) keep one waiting",
        "weak_networks": "good, where the client comes back by itself",
        "use_for": "chat, cancel, answers, many jobs over one connection",
        "not_for": "plain output: SSE does it with less",
    },
    {
        "name": "long_poll",
        "title": "Long polling",
        "request": "GET {base}/jobs/{job}/poll?after=N&wait=25",
        "direction": "from the server",
        "timeliness": "nearly at once",
        "complexity": "middle: a loop that hands on the position",
        "resource_cost": "high: a request for each page of events",
        "compatibility": "everything that speaks HTTP",
        "proxies": "passes through all of them; answers are short",
        "weak_networks": "very good: every request stands for itself",
        "use_for": "proxies and clients that allow nothing else",
        "not_for": "many events a second to many readers",
    },
    {
        "name": "short_poll",
        "title": "Short polling",
        "request": "GET {base}/jobs/{job}, with If-None-Match; or …/poll?wait=0",
        "direction": "from the server",
        "timeliness": "as late as the next look",
        "complexity": "low",
        "resource_cost": "low while looks are rare: no connection is held",
        "compatibility": "everything that speaks HTTP",
        "proxies": "passes through all of them",
        "weak_networks": "very good",
        "use_for": "a look now and then; dashboards of many jobs",
        "not_for": "text that people read while it is written",
    },
    {
        "name": "blocking",
        "title": "The blocking request",
        "request": "POST {base}/jobs with Prefer: wait=N",
        "direction": "from the server",
        "timeliness": "at the end, or never",
        "complexity": "lowest",
        "resource_cost": "a connection for the whole time, for one answer",
        "compatibility": "everything that speaks HTTP",
        "proxies": "one that times out before the end cuts it off; the job goes on unseen",
        "weak_networks": "poor: a cut loses the answer, unless an Idempotency-Key asks again",
        "use_for": "jobs of a few seconds, scripts",
        "not_for": "anything longer than the shortest time-out on the way",
    },
)

NEEDS: tuple[dict[str, str], ...] = (
    {
        "need": "show a model's answer as it is written",
        "pick": "sse",
        "why": "at once, and the browser does the reconnecting",
    },
    {
        "need": "chat, stop, approve; many jobs at once",
        "pick": "websocket",
        "why": "commands and events share the connection",
    },
    {
        "need": "a network that cuts, buffers or forbids long answers",
        "pick": "long_poll",
        "why": "every request is short and stands for itself",
    },
    {
        "need": "a list of jobs that is a little late",
        "pick": "short_poll",
        "why": "no connection is held, an unchanged job costs a 304",
    },
    {
        "need": "a script that wants the result of a short job",
        "pick": "blocking",
        "why": "one request, no client code",
    },
)


@cache
def figures() -> JsonObject:
    """What the benchmark has written."""
    text = resources.files("streaming.web.routes").joinpath("transports.json").read_text("utf-8")
    found: JsonObject = json.loads(text)
    return found


@transports.get("/transports")
@operation("Compare the ways to watch a job", tag="watch", answers=Transports)
def list_transports() -> Response:
    """Traits, needs, and figures that `scripts/bench transports` measured on this service."""
    base = request.path.removesuffix("/transports")
    known = dict(figures())
    measured = known.pop("measured")
    shown = [
        {
            **traits,
            "request": traits["request"].replace("{base}", base),
            "measured": measured[traits["name"]],
        }
        for traits in TRAITS
    ]
    return as_json({"transports": shown, "needs": list(NEEDS), "measured_with": known})
