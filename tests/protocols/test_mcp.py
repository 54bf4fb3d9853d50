"""MCP, both revisions on one URL: with its official clients, and as raw messages."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from typing import Any

import mcp
import pytest
import requests

from tests.e2e.server import Server
from tests.protocols.conftest import NewServer, RunNode, ends_as

_ids = itertools.count(1)
NEW = {"MCP-Protocol-Version": "2026-07-28"}
ACCEPT = {"Accept": "application/json, text/event-stream"}
TASKS: dict[str, Any] = {"extensions": {"io.modelcontextprotocol/tasks": {}}}


def post(
    server: Server, method: str, params: Any = None, headers: Any = None, **more: Any
) -> requests.Response:
    body = {"jsonrpc": "2.0", "id": next(_ids), "method": method, "params": params or {}, **more}
    body = {name: value for name, value in body.items() if value is not None}
    sent = {**ACCEPT, **(headers or {})}
    return requests.post(f"{server.url}/mcp", json=body, headers=sent, stream=True, timeout=20)


def alone(server: Server, method: str, params: Any = None, can: Any = None) -> requests.Response:
    """A request of the revision without sessions."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": can or {},
        "progressToken": "p",
    }
    return post(server, method, {**(params or {}), "_meta": meta}, {**NEW, "Mcp-Method": method})


def session_of(server: Server, **can: Any) -> dict[str, str]:
    info = {"name": "test", "version": "1"}
    params = {"protocolVersion": "2025-11-25", "capabilities": can, "clientInfo": info}
    begun = post(server, "initialize", params)
    assert begun.json()["result"]["protocolVersion"] == "2025-11-25"
    return {"Mcp-Session-Id": begun.headers["Mcp-Session-Id"]}


def messages_of(response: requests.Response) -> Iterator[tuple[str, Any]]:
    """Ids of events, and what they say."""
    id = ""
    for line in response.iter_lines():
        if line.startswith(b"id: "):
            id = line[4:].decode()
        if line.startswith(b"data: {"):
            yield id, json.loads(line[6:])


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


def test_a_session_lists_and_calls_tools_with_progress(server: Server) -> None:
    session = session_of(server)
    tools = {
        each["name"]: each
        for each in post(server, "tools/list", headers=session).json()["result"]["tools"]
    }
    assert tools["pacing"]["inputSchema"]["properties"]["times"]["type"] == "integer"
    assert "generate" in tools
    assert "completion" not in tools

    params = {**call("pacing", times=5), "_meta": {"progressToken": 7}}
    *progress, (_, answer) = messages_of(post(server, "tools/call", params, session))
    said = [message["params"] for _, message in progress]
    assert all(each["progressToken"] == 7 for each in said)
    numbers = [each["progress"] for each in said]
    assert numbers == sorted(set(numbers))
    assert any(each.get("message") == "pace 2" for each in said)
    assert answer["result"]["structuredContent"] == {"paces": 5}
    assert not answer["result"]["isError"]


def test_a_cut_call_is_resumed_after_a_crash(new_server: NewServer) -> None:
    server = new_server().start()
    session = session_of(server)
    params = {**call("pacing", times=30), "_meta": {"progressToken": 7}}
    with post(server, "tools/call", params, session) as response:
        stream = messages_of(response)
        asked = json.loads(response.request.body)["id"]  # type: ignore[arg-type]
        next(stream)
        last, _ = next(stream)
        server.kill()
    server.start()

    headers = {**session, **ACCEPT, "Last-Event-ID": last}
    again = requests.get(f"{server.url}/mcp", headers=headers, stream=True, timeout=20)
    found = list(messages_of(again))

    assert found[-1][1]["id"] == asked
    assert found[-1][1]["result"]["structuredContent"] == {"paces": 30}
    seqs = [int(id.rpartition(":")[2]) for id, _ in found]
    assert min(seqs) > int(last.rpartition(":")[2])
    foreign = {**session_of(server), "Last-Event-ID": last}
    assert requests.get(f"{server.url}/mcp", headers=foreign, timeout=5).status_code == 404


def test_a_cancel_counts_even_behind_the_end_of_its_session(server: Server) -> None:
    session = session_of(server)
    with post(server, "tools/call", call("pacing", times=600), session) as response:
        job = response.headers["X-Job-Id"]
        asked = json.loads(response.request.body)["id"]  # type: ignore[arg-type]
    ended = requests.delete(f"{server.url}/mcp", headers=session, timeout=5)
    assert ended.status_code == 204
    assert post(server, "tools/list", headers=session).status_code == 404

    told = post(server, "notifications/cancelled", {"requestId": asked}, session, id=None)
    assert told.status_code == 202
    ends_as(server, job, "cancelled")


def test_a_question_is_an_elicitation_of_the_session(server: Server) -> None:
    session = session_of(server, elicitation={})
    said = {"messages": [{"role": "user", "content": "x"}]}
    stream = messages_of(post(server, "tools/call", call("asking", **said), session))
    _, asked = next(stream)
    assert asked["method"] == "elicitation/create"
    assert asked["params"]["message"] == "Which colour?"

    answer = {"action": "accept", "content": {"colour": "red"}}
    body = {"jsonrpc": "2.0", "id": asked["id"], "result": answer}
    taken = requests.post(f"{server.url}/mcp", json=body, headers=session, timeout=5)
    assert taken.status_code == 202
    _, last = next(stream)
    assert last["result"]["content"][0]["text"] == "the colour is red"


def test_what_is_wrong_is_told_as_the_protocol_has_it(server: Server) -> None:
    session = session_of(server)
    assert post(server, "tools/list").status_code == 400
    assert post(server, "tools/list", headers={"Mcp-Session-Id": "x"}).status_code == 404
    no_stream = requests.get(f"{server.url}/mcp", headers=session, timeout=5)
    assert (no_stream.status_code, no_stream.headers["Allow"]) == (405, "POST, DELETE")
    unknown = post(server, "resources/list", headers=session).json()
    assert unknown["error"]["code"] == -32601
    foreign = post(server, "tools/list", headers={**session, "Origin": "http://evil.example"})
    assert foreign.status_code == 403
    refused = post(server, "tools/call", call("pacing", times="many"), session).json()
    assert refused["result"]["isError"]
    wrong = {**session, "X-On-Disconnect": "maybe"}
    assert post(server, "tools/call", call("pacing"), wrong).status_code == 400
    assert "times" in refused["result"]["content"][0]["text"]
    no_tool = post(server, "tools/call", call("nothing"), session).json()
    assert no_tool["error"]["code"] == -32602
    said = {"messages": [{"role": "user", "content": "x"}]}
    *_, (_, failed) = messages_of(post(server, "tools/call", call("breaking", **said), session))
    assert failed["result"]["isError"]
    assert "it broke in the middle" in failed["result"]["content"][0]["text"]


def test_a_cursor_that_is_none_of_ours_is_refused(server: Server) -> None:
    within = post(server, "tools/list", {"cursor": "x"}, headers=session_of(server))
    alone_ = alone(server, "tools/list", {"cursor": "x"})

    assert [each.json()["error"]["code"] for each in (within, alone_)] == [-32602, -32602]


def test_the_revision_without_sessions(server: Server) -> None:
    found = alone(server, "server/discover").json()["result"]
    assert "2026-07-28" in found["supportedVersions"]
    assert found["resultType"] == "complete"
    assert found["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "streaming"
    listed = alone(server, "tools/list").json()["result"]
    assert {"resultType", "ttlMs", "cacheScope", "tools"} <= set(listed)
    unknown = alone(server, "resources/list")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, -32601)
    mixed = post(server, "tools/list", {"_meta": {
        "io.modelcontextprotocol/protocolVersion": "2025-11-25"}}, NEW)  # fmt: skip
    assert (mixed.status_code, mixed.json()["error"]["code"]) == (400, -32020)
    *progress, (id, answer) = messages_of(alone(server, "tools/call", call("pacing", times=3)))
    assert id == ""
    assert progress[0][1]["params"]["progressToken"] == "p"
    assert answer["result"]["structuredContent"] == {"paces": 3}


def test_closing_the_stream_is_the_cancel_there(server: Server) -> None:
    with alone(server, "tools/call", call("pacing", times=600)) as response:
        job = response.headers["X-Job-Id"]
    ends_as(server, job, "cancelled", timeout_s=3)


def test_a_long_call_is_a_task_that_asks_and_ends(server: Server) -> None:
    said = {"messages": [{"role": "user", "content": "x"}]}
    made = alone(server, "tools/call", call("asking", **said), TASKS).json()["result"]
    assert made["resultType"] == "task"
    task = {"taskId": made["taskId"]}
    asks = alone(server, "tasks/get", task, TASKS).json()["result"]
    assert asks["status"] == "input_required"
    [(name, request)] = asks["inputRequests"].items()
    assert request["params"]["requestedSchema"]["properties"]["colour"]
    answer = {"action": "accept", "content": {"colour": "blue"}}
    alone(server, "tasks/update", {**task, "inputResponses": {name: answer}}, TASKS)
    ends_as(server, made["taskId"], "completed")
    done = alone(server, "tasks/get", task, TASKS).json()["result"]
    assert done["status"] == "completed"
    assert done["result"]["content"][0]["text"] == "the colour is blue"

    long = alone(server, "tools/call", call("pacing", times=900), TASKS).json()["result"]
    assert alone(server, "tasks/cancel", {"taskId": long["taskId"]}, TASKS).ok
    again = alone(server, "tasks/get", {"taskId": long["taskId"]}, TASKS).json()["result"]
    assert again["status"] == "cancelled"
    unknown = alone(server, "tasks/get", {"taskId": "job_none"}, TASKS).json()
    assert unknown["error"]["code"] == -32602
    short = alone(server, "tools/call", call("pacing", times=2), TASKS).json()["result"]
    assert short["structuredContent"] == {"paces": 2}


def test_a_call_without_tasks_asks_by_ending(server: Server) -> None:
    said = call("asking", messages=[{"role": "user", "content": "x"}])
    can: dict[str, Any] = {"elicitation": {}}
    [(_, first)] = messages_of(alone(server, "tools/call", said, can))
    needed = first["result"]
    assert needed["resultType"] == "input_required"
    [name] = needed["inputRequests"]
    answers = {name: {"action": "accept", "content": {"colour": "green"}}}
    more = {"inputResponses": answers, "requestState": needed["requestState"]}
    [(_, second)] = messages_of(alone(server, "tools/call", {**said, **more}, can))
    assert second["result"]["content"][0]["text"] == "the colour is green"
    [(_, repeated)] = messages_of(alone(server, "tools/call", {**said, **more}, can))
    assert repeated["result"] == second["result"]
    other = alone(server, "tools/call", {**call("pacing"), **more}, can).json()
    assert other["error"]["code"] == -32602


@pytest.mark.parametrize("script", ["mcp_client.mjs"])
def test_the_clients_for_node(server: Server, node: RunNode, script: str) -> None:
    found = {each.pop("what"): each for each in node(script, server.url, timeout_s=120)}

    for client in ("old sdk", "client", "client stateless"):
        assert found[f"{client} called"]["result"] == {"paces": 5}, client
        assert found[f"{client} called"]["progress"], client
        assert found[f"{client} failed"]["isError"], client
    assert found["old sdk asked"]["text"] == "the colour is red"
    assert found["client asked"]["text"] == "the colour is red"
    ends_as(server, found["old sdk cancelled"]["job"], "cancelled")


def test_the_tasks_session_for_node(server: Server, node: RunNode) -> None:
    found = {each.pop("what"): each for each in node("mcp_tasks.mjs", server.url, timeout_s=90)}

    assert found["short"]["kind"] == "immediate"
    assert found["short"]["output"] == {"paces": 2}
    long = found["long"]
    assert (long["kind"], long["status"], long["output"]) == ("task", "completed", {"paces": 30})
    assert long["statuses"][0] == "working"
    assert long["statuses"][-1] == "completed"
    check_asked(found["asked"])
    for failed, why in [("failed", "it broke in the middle"), ("failed late", "it cannot")]:
        assert found[failed]["status"] == "completed"
        assert found[failed]["isError"], failed
        assert why in found[failed]["text"]
    assert found["cancelled"]["status"] == "cancelled"
    ends_as(server, found["cancelled"]["task"], "cancelled")

    left = found["left"]["reference"]
    assert left["taskId"] != found["asked"]["task"]
    [resumed] = node("mcp_tasks.mjs", server.url, json.dumps(left))
    assert resumed["task"] == left["taskId"]
    check_asked(resumed)


def check_asked(found: dict[str, Any]) -> None:
    """A task that got its input by the session's routing, once."""
    assert (found["kind"], found["status"]) == ("task", "completed")
    assert found["text"] == "the colour is red"
    assert found["statuses"][0] == "input_required"
    question = {"kind": "elicitation", "message": "Which colour?", "delivery": "task-update"}
    assert found["questions"] == [{**question, "taskId": found["task"]}]


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_the_client_for_python(server: Server, mode: Any) -> None:
    found = asyncio.run(ask_with_python(f"{server.url}/mcp", mode))

    assert "pacing" in found["tools"]
    assert found["result"] == {"paces": 5}
    assert found["progress"] == sorted(found["progress"])
    assert len(found["progress"]) >= 5


async def ask_with_python(url: str, mode: Any) -> dict[str, Any]:
    told: list[float] = []

    async def tell(progress: float, total: float | None = None, message: str | None = None) -> None:
        told.append(progress)

    async with mcp.Client(url, mode=mode) as client:
        tools = await client.list_tools()
        answer = await client.call_tool("pacing", {"times": 5}, progress_callback=tell)
    return {
        "tools": [tool.name for tool in tools.tools],
        "result": answer.structured_content,
        "progress": told,
    }


@pytest.mark.parametrize(
    "message",
    [{"id": {}, "method": "tools/list"}, {"id": True, "method": "tools/list"}, {"id": 1}],
)
def test_what_is_no_request_of_json_rpc_is_told_as_such(
    server: Server, message: dict[str, Any]
) -> None:
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}
    body = {"jsonrpc": "2.0", **message, "params": {"_meta": meta}}

    refused = requests.post(f"{server.url}/mcp", json=body, headers=ACCEPT, timeout=10)

    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == -32600


@pytest.mark.parametrize("message", [{}, {"method": 5}, {"method": ["tools/list"]}])
def test_a_session_tells_what_names_no_method(server: Server, message: dict[str, Any]) -> None:
    body = {"jsonrpc": "2.0", "id": 1, **message}
    headers = {**ACCEPT, **session_of(server)}

    refused = requests.post(f"{server.url}/mcp", json=body, headers=headers, timeout=10)

    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == -32600
