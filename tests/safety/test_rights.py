"""The table of rights in SECURITY.md: every endpoint, tried as each kind of asker.

`WRITE_SECURITY=1 scripts/test tests/safety/test_rights.py` writes the table.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import websocket

from app import create_app
from streaming.config import Settings
from streaming.web.operations import Operation
from tests.e2e.clients import Api, Socket
from tests.e2e.server import Server
from tests.e2e.waiting import eventually
from tests.safety.conftest import FOE
from tests.safety.test_tickets import ticket_of

PAGE = Path(__file__).parents[2] / "SECURITY.md"
BEGIN, END = "<!-- rights: made by tests/safety/test_rights.py -->", "<!-- end -->"
ASKERS = ("right key", "no key", "wrong scope", "other owner", "expired ticket", "foreign origin")

_SAID = [{"role": "user", "content": "Hello"}]
_UI_SAID = [{"id": "m1", "role": "user", "parts": [{"type": "text", "text": "Hello"}]}]
_A2A_SAID = {"message": {"messageId": "m1", "role": "ROLE_USER", "parts": [{"text": "Hello"}]}}
_MCP_BEGIN = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "rights", "version": "1"},
}
_AGUI_RUN = {
    "threadId": "t1",
    "runId": "r1",
    "messages": [{"id": "m1", "role": "user", "content": "Hello"}],
    "tools": [],
    "context": [],
    "state": {},
    "forwardedProps": {},
}


#: What is refused to everybody: no stream stands open, and there is no session to end.
REFUSED = {"GET /mcp": "405", "DELETE /mcp": "400"}


def _a2a(**more: Any) -> dict[str, Any]:
    return {"headers": {"A2A-Version": "1.0"}, **more}


def _rpc(method: str, params: dict[str, Any]) -> dict[str, Any]:
    return {"json": {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}}


#: What each route with a body is sent.
BODIES: dict[str, Callable[[str], dict[str, Any]]] = {
    "POST /v1/jobs": lambda _: {"json": {"task": "plain", "input": {"words": ["a"]}}},
    "POST /v1/jobs/{job}/cancel": lambda _: {"json": {}},
    "POST /v1/jobs/{job}/input": lambda _: {"json": {"data": {"ok": True}}},
    "POST /v1/files": lambda _: {"files": {"file": b"x"}},
    "POST /v1/tickets": lambda job: {"json": {"jobs": [job]}},
    "GET /v1/events": lambda job: {"params": {"job": job}},
    "GET /v1/jobs/{job}/poll": lambda _: {"params": {"wait": 0}},
    "POST /v1/chat/completions": lambda _: {"json": {"messages": _SAID, "max_tokens": 1}},
    "POST /v1/responses": lambda _: {"json": {"input": "Hello", "max_output_tokens": 1}},
    "POST /v1/messages": lambda _: {"json": {"messages": _SAID, "max_tokens": 1}},
    "POST /v1/messages/count_tokens": lambda _: {"json": {"messages": _SAID}},
    "POST /v1/ui/chat": lambda _: {"json": {"id": "c1", "messages": _UI_SAID}},
    "POST /v1/agui/{path:model}": lambda _: {"json": _AGUI_RUN},
    "POST /mcp": lambda _: {
        "headers": {"Accept": "application/json, text/event-stream"},
        **_rpc("initialize", _MCP_BEGIN),
    },
    "POST /a2a": lambda job: _a2a(**_rpc("GetTask", {"id": job})),
    "POST /a2a/v1/message:send": lambda _: _a2a(json=_A2A_SAID),
    "POST /a2a/v1/message:stream": lambda _: _a2a(json=_A2A_SAID),
    "GET /a2a/v1/tasks/{task}": lambda _: _a2a(),
    "POST /a2a/v1/tasks/{task}:cancel": lambda _: _a2a(),
    "GET /a2a/v1/tasks/{task}:subscribe": lambda _: _a2a(),
    "POST /a2a/v1/tasks/{task}:subscribe": lambda _: _a2a(),
}
#: Routes that change their job, or want one under way: each try has a job of its own.
CHANGING = {
    "POST /v1/jobs/{job}/cancel": "asking",
    "POST /v1/jobs/{job}/input": "asking",
    "DELETE /v1/jobs/{job}": "making",
    "DELETE /v1/responses/{answer}": "making",
    "POST /v1/responses/{answer}/cancel": "asking",
    "POST /v1/chat/completions/{answer}/cancel": "asking",
    "POST /a2a/v1/tasks/{task}:cancel": "asking",
    "GET /a2a/v1/tasks/{task}:subscribe": "asking",
    "POST /a2a/v1/tasks/{task}:subscribe": "asking",
}


def operations() -> dict[str, Operation | None]:
    """All routes of the service, with what they need; None for those that need nothing."""
    app = create_app(Settings(STREAMING_LOG_URL="memory://"))
    found: dict[str, Operation | None] = {}
    for rule in app.url_map.iter_rules():
        if not rule.endpoint.endswith("static"):
            open_to_all = rule.endpoint.startswith(
                ("page", "streaming_ops", "streaming_transports")
            )
            described = getattr(app.view_functions[rule.endpoint], "streaming_operation", None)
            path = re.sub(r"<(?:a2a_task:)?([^>]+)>", r"{\1}", rule.rule)
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                found[f"{method} {path}"] = None if open_to_all else described
    return dict(sorted(found.items(), key=lambda each: each[0].split()[::-1]))


class Table:
    """Tries cells."""

    def __init__(self, server: Server, keys: dict[str, str], alice: Api) -> None:
        self._server = server
        self._keys = keys
        self._alice = alice
        self._job = self._new_job("making")
        self._model = alice.get("/v1/models").json()["data"][0]["id"]
        self._late = ticket_of(alice, self._job, ttl_s=1)
        eventually(lambda: self._is_over(self._late), "the ticket is over")

    def row(self, route: str, needed: Operation | None) -> list[str]:
        return [self._cell(route, needed, asker) for asker in ASKERS]

    def _cell(self, route: str, needed: Operation | None, asker: str) -> str:
        if route not in CHANGING:
            return self._try(route, needed, asker, self._job)
        job = self._new_job(CHANGING[route])
        try:
            return self._try(route, needed, asker, job)
        finally:  # one that waits for an answer keeps a thread
            self._alice.cancel(job)

    def _try(self, route: str, needed: Operation | None, asker: str, job: str) -> str:
        method, path = route.split()
        options = BODIES.get(route, lambda _: {})(job)
        for name in ("{task}", "{answer}"):
            path = path.replace(name, job)
        path = (
            path.replace("{path:model}", self._model)
            .replace("{job}", job)
            .replace("{name}.js", "fold.js")
            .replace("{name}", "a.txt")
        )
        api = self._asker(asker, "read" if needed is None else needed.scope)
        if asker == "expired ticket":
            options["params"] = {**options.get("params", {}), "ticket": self._late}
        if asker == "foreign origin":
            options["headers"] = {**options.get("headers", {}), "Origin": FOE}
        if needed is not None and needed.status == 101:
            return str(_upgrade(api, path, options))
        with api.request(method, path, stream=True, **options) as answer:
            readable = "Access-Control-Allow-Origin" in answer.headers
            assert asker != "foreign origin" or not readable
            unreadable = asker == "foreign origin" and answer.ok
            return f"{answer.status_code}{' ¹' if unreadable else ''}"

    def _asker(self, asker: str, scope: str) -> Api:
        if asker in ("no key", "expired ticket"):
            return self._server.api
        name = {"wrong scope": "submitter" if scope == "read" else "reader", "other owner": "bob"}
        return self._server.api.with_key(self._keys[name.get(asker, "alice")])

    def _new_job(self, task: str) -> str:
        if task == "asking":
            job = self._alice.submit("asking")
            self._alice.reach(job, "waiting_for_input")
            return job
        return str(self._alice.run("making", {"name": "a.txt", "versions": ["hers"]})["id"])

    def _is_over(self, ticket: str) -> bool:
        shown = self._server.api.get(f"/v1/jobs/{self._job}", params={"ticket": ticket})
        return shown.status_code == 401


def _upgrade(api: Api, path: str, options: dict[str, Any]) -> int:
    origin = options.get("headers", {}).get("Origin")
    try:
        Socket(api, path, origin=origin, **options.get("params", {})).close()
    except websocket.WebSocketBadStatusException as refused:
        return refused.status_code
    return 101


def test_the_table_of_rights_is_what_the_server_does(
    safe: Server, keys: dict[str, str], alice: Api
) -> None:
    table = Table(safe, keys, alice)
    lines = [f"| endpoint | scope | {' | '.join(ASKERS)} |", f"|{'---|' * (len(ASKERS) + 2)}"]
    for route, needed in operations().items():
        scope = "none" if needed is None else f"`{needed.scope}`"
        lines.append(f"| `{route}` | {scope} | {' | '.join(table.row(route, needed))} |")
    made = "\n".join(lines)

    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    shown, _, after = rest.partition(END)
    if os.environ.get("WRITE_SECURITY") == "1":
        PAGE.write_text(f"{before}{BEGIN}\n{made}\n{END}{after}")
    else:
        assert shown.strip() == made


def test_every_route_that_needs_a_right_refuses_those_without(
    safe: Server, keys: dict[str, str], alice: Api
) -> None:
    table = Table(safe, keys, alice)
    needing = {route: needed for route, needed in operations().items() if needed is not None}
    assert len(needing) >= 15

    for route, needed in needing.items():
        right, nobody, wrong, _, late, _ = table.row(route, needed)
        assert right == REFUSED[route] if route in REFUSED else right[0] in "12", (route, right)
        assert (nobody, wrong, late) == ("401", "403", "401"), route


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "evil.example:80"])
def test_a_foreign_name_that_leads_here_is_refused_where_there_are_no_keys(
    host: str, open_server: Server
) -> None:
    asked = {"Host": host}
    path = "/v1/jobs"

    answers = [
        open_server.api.get(path, headers=asked),
        open_server.api.post(path, json={"task": "plain"}, headers=asked),
        open_server.api.post("/v1/tickets", json={"jobs": ["x"]}, headers=asked),
        open_server.api.get(path, params={"ticket": "tkt_x"}, headers=asked),
    ]

    assert {answer.status_code for answer in answers} == {403}
