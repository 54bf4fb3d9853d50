"""A2A 1.0: with its clients for Python, over both bindings, and as raw requests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import requests
from a2a.client import ClientConfig, create_client
from a2a.types import a2a_pb2
from a2a.types.a2a_pb2 import Message, Part, Role, SendMessageRequest, TaskState
from a2a.utils.errors import (
    A2AError,
    PushNotificationNotSupportedError,
    UnsupportedOperationError,
)
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct

from tests.e2e.server import Server
from tests.protocols.conftest import NewServer, RunNode, ends_as, unique

NUMBERS = "".join(f"{number} " for number in range(100))


def said(text: str, skill: str, **more: Any) -> dict[str, Any]:
    message = {"messageId": unique("m"), "role": "ROLE_USER", "parts": [{"text": text}], **more}
    return {"message": {**message, "metadata": {"skill": skill}}}


def rpc(server: Server, method: str, params: Any, headers: Any = None) -> requests.Response:
    body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
    sent = {"A2A-Version": "1.0", **(headers or {})}
    return requests.post(f"{server.url}/a2a", json=body, headers=sent, stream=True, timeout=20)


def frames_of(response: requests.Response) -> Iterator[tuple[str, Any]]:
    id = ""
    for line in response.iter_lines():
        if line.startswith(b"id: "):
            id = line[4:].decode()
        if line.startswith(b"data: "):
            yield id, json.loads(line[6:])


def results_of(response: requests.Response) -> Iterator[Any]:
    for _, frame in frames_of(response):
        yield frame["result"]


def text_of(results: list[Any]) -> str:
    """The artifacts' text, as a client gathers it."""
    artifacts: dict[str, str] = {}
    for each in results:
        if "task" in each:
            artifacts = {
                a["artifactId"]: "".join(p.get("text", "") for p in a["parts"])
                for a in each["task"]["artifacts"]
            }
        if "artifactUpdate" in each:
            update = each["artifactUpdate"]
            id = update["artifact"]["artifactId"]
            before = artifacts.get(id, "") if update.get("append") else ""
            pieces = (part.get("text", "") for part in update["artifact"]["parts"])
            artifacts[id] = before + "".join(pieces)
    return "".join(artifacts.values())


def state_of(result: Any) -> str:
    known = result.get("task") or result["statusUpdate"]
    return str(known["status"]["state"])


@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
def test_the_client_for_python(server: Server, binding: str) -> None:
    found = asyncio.run(ask_with_python(server.url, binding))

    assert found["text"] == "".join(f"{number} " for number in range(30))
    assert found["state"] == TaskState.TASK_STATE_COMPLETED
    assert found["asked"] == TaskState.TASK_STATE_INPUT_REQUIRED
    assert found["answered"] == TaskState.TASK_STATE_COMPLETED


async def ask_with_python(url: str, binding: str) -> dict[str, Any]:
    async with httpx.AsyncClient(timeout=20) as http:
        config = ClientConfig(httpx_client=http, supported_protocol_bindings=[binding])
        client = await create_client(url, config)
        whole = await read(client.send_message(message("30 numbers", "counting")))
        asking = await read(client.send_message(message("x", "asking")))
        answer = message("", "asking", task_id=asking["task"])
        answer.message.parts.append(ParseDict({"data": {"colour": "red"}}, Part()))
        answered = await read(client.send_message(answer))
    ends = {"asked": asking["state"], "answered": answered["state"]}
    return {"text": whole["text"], "state": whole["state"], **ends}


def message(text: str, skill: str, **more: Any) -> SendMessageRequest:
    metadata = Struct()
    metadata.update({"skill": skill})
    made = Message(message_id=unique("m"), role=Role.ROLE_USER, metadata=metadata, **more)
    if text:
        made.parts.append(Part(text=text))
    return SendMessageRequest(message=made)


async def read(events: Any) -> dict[str, Any]:
    """The text, the last state, and the task of a stream."""
    found: dict[str, Any] = {"text": "", "state": None, "task": ""}
    async for event in events:
        if event.HasField("task"):
            found["task"] = event.task.id
        if event.HasField("artifact_update"):
            pieces = event.artifact_update.artifact.parts
            found["text"] += "".join(part.text for part in pieces)
        if event.HasField("status_update"):
            found["state"] = event.status_update.status.state
    return found


def test_the_client_for_node(server: Server, node: RunNode) -> None:
    found = {each.pop("what"): each for each in node("a2a_client.mjs", server.url)}

    for binding in ("rpc", "rest"):
        assert found[f"{binding} whole"]["text"] == "".join(f"{n} " for n in range(30))
        assert found[f"{binding} sent"] == {"text": "what it found", "state": 3}


def test_the_card_is_for_everybody(new_server: NewServer) -> None:
    server = new_server(STREAMING_API_KEYS="the-key").start()
    card = requests.get(f"{server.url}/.well-known/agent-card.json", timeout=5).json()

    assert {each["protocolBinding"] for each in card["supportedInterfaces"]} == {
        "JSONRPC", "HTTP+JSON",
    }  # fmt: skip
    assert card["supportedInterfaces"][0]["url"] == f"{server.url}/a2a"
    assert card["securitySchemes"]["bearer"]["httpAuthSecurityScheme"]["scheme"] == "Bearer"
    assert card["securityRequirements"]
    assert {"agent", "counting"} <= {skill["id"] for skill in card["skills"]}
    assert rpc(server, "GetTask", {"id": "x"}).status_code == 401


def test_a_task_that_is_left_goes_on_and_is_watched_again(new_server: NewServer) -> None:
    server = new_server().start()
    with rpc(server, "SendStreamingMessage", said("100 numbers", "counting")) as response:
        first = next(results_of(response))
        task = first["task"]["id"]
        assert task == response.headers["X-Job-Id"]
        server.kill()
    server.start()

    results = list(results_of(rpc(server, "SubscribeToTask", {"id": task})))
    assert text_of(results) == NUMBERS
    assert state_of(results[-1]) == "TASK_STATE_COMPLETED"
    url = f"{server.url}/a2a/v1/tasks/{task}"
    again = [f for _, f in frames_of(requests.get(f"{url}:subscribe", stream=True, timeout=5))]
    assert len(again) == 1
    assert text_of(again) == NUMBERS
    assert requests.get(url, timeout=5).json()["status"]["state"] == "TASK_STATE_COMPLETED"


def test_what_is_new_behind_the_last_event_id(server: Server) -> None:
    seen: list[Any] = []
    with rpc(server, "SendStreamingMessage", said("100 numbers", "counting")) as response:
        frames = frames_of(response)
        while len(seen) < 12:
            last, frame = next(frames)
            seen.append(frame["result"])
    task = seen[0]["task"]["id"]
    behind = rpc(server, "SubscribeToTask", {"id": task}, {"Last-Event-ID": last})
    rest = list(results_of(behind))
    assert "task" not in rest[0]
    assert text_of(seen + rest) == NUMBERS


def test_a_question_is_answered_and_a_wrong_answer_named(server: Server) -> None:
    sent = rpc(server, "SendMessage", said("x", "asking")).json()["result"]["task"]
    assert sent["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"
    assert sent["status"]["message"]["parts"][0]["text"] == "Which colour?"
    wrong = said("", "", taskId=sent["id"], parts=[{"data": {"colour": 7}}])
    assert rpc(server, "SendMessage", wrong).json()["error"]["code"] == -32602
    right = said("", "", taskId=sent["id"], parts=[{"data": {"colour": "red"}}])
    done = rpc(server, "SendMessage", right).json()["result"]
    assert state_of(done) == "TASK_STATE_COMPLETED"
    assert text_of([done]) == "the colour is red"
    again = rpc(server, "SendMessage", right).json()
    assert again["error"]["code"] == -32004


def test_cancels_failures_and_unknown_tasks(server: Server) -> None:
    params = {**said("2000 numbers", "counting"), "configuration": {"returnImmediately": True}}
    task = rpc(server, "SendMessage", params).json()["result"]["task"]["id"]
    url = f"{server.url}/a2a/v1/tasks/{task}"
    ended = requests.post(f"{url}:cancel", timeout=5).json()
    assert ended["status"]["state"] == "TASK_STATE_CANCELED"
    ends_as(server, task, "cancelled")
    refused = requests.post(f"{url}:cancel", timeout=5)
    assert refused.status_code == 400
    assert refused.json()["error"]["details"][0]["reason"] == "TASK_NOT_CANCELABLE"
    unknown = rpc(server, "GetTask", {"id": "job_none"}).json()
    assert unknown["error"]["code"] == -32001
    *_, failed = results_of(rpc(server, "SendStreamingMessage", said("x", "breaking")))
    assert state_of(failed) == "TASK_STATE_FAILED"
    old = rpc(server, "GetTask", {"id": task}, {"A2A-Version": "0.3"}).json()
    assert old["error"]["code"] == -32009


def test_a_drain_is_an_error_frame_that_names_the_task(new_server: NewServer) -> None:
    server = new_server(STREAMING_DRAIN_S=4).start()
    with rpc(server, "SendStreamingMessage", said("400 numbers", "counting")) as response:
        frames = frames_of(response)
        _, first = next(frames)
        server.process.terminate()
        *_, (_, last) = frames
    assert first["result"]["task"]["id"] in last["error"]["message"]
    server.wait_until_ended()


def test_a_skill_that_is_none_is_named_as_clients_read_it(server: Server) -> None:
    """They read an error of JSON-RPC only with status 200, and take a 404 for a missing route."""
    body = rpc(server, "SendMessage", said("x", "nobody"))
    rest = requests.post(f"{server.url}/a2a/v1/message:send", json=said("x", "nobody"), timeout=5)

    assert body.status_code == 200
    assert body.json()["error"]["code"] == -32602
    assert "'nobody'" in body.json()["error"]["message"]
    assert rest.status_code == 400
    assert "'nobody'" in rest.json()["error"]["message"]


def test_an_answer_names_its_job(server: Server) -> None:
    body = rpc(server, "SendMessage", said("x", "echo"))
    task = body.json()["result"]["task"]["id"]
    rest = requests.post(f"{server.url}/a2a/v1/message:send", json=said("x", "echo"), timeout=10)

    assert body.headers["X-Job-Id"] == task
    assert rpc(server, "GetTask", {"id": task}).headers["X-Job-Id"] == task
    assert rest.headers["X-Job-Id"] == rest.json()["task"]["id"]


def test_who_wants_to_be_pushed_to_is_told_that_there_is_no_such_thing(server: Server) -> None:
    push = {"taskPushNotificationConfig": {"url": "http://127.0.0.1/"}}
    refused = rpc(server, "SendMessage", {**said("x", "echo"), "configuration": push})

    assert refused.json()["error"]["code"] == -32003


@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
def test_what_is_not_offered_is_an_error_of_its_own(server: Server, binding: str) -> None:
    assert asyncio.run(ask_for_more(server.url, binding)) == [
        UnsupportedOperationError,
        *[PushNotificationNotSupportedError] * 4,
    ]


async def ask_for_more(url: str, binding: str) -> list[type[Exception]]:
    task = {"task_id": "job_1"}
    found: list[type[Exception]] = []
    async with httpx.AsyncClient(timeout=20) as http:
        config = ClientConfig(httpx_client=http, supported_protocol_bindings=[binding])
        client = await create_client(url, config)
        push = a2a_pb2.TaskPushNotificationConfig(url="http://127.0.0.1/", **task)
        get = a2a_pb2.GetTaskPushNotificationConfigRequest(id="1", **task)
        listed = a2a_pb2.ListTaskPushNotificationConfigsRequest(**task)
        delete = a2a_pb2.DeleteTaskPushNotificationConfigRequest(id="1", **task)
        for asked in (
            client.list_tasks(a2a_pb2.ListTasksRequest()),
            client.create_task_push_notification_config(push),
            client.get_task_push_notification_config(get),
            client.list_task_push_notification_configs(listed),
            client.delete_task_push_notification_config(delete),
        ):
            with pytest.raises(A2AError) as refused:
                await asked
            found.append(refused.type)
    return found


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"jsonrpc": "1.0", "id": 1, "method": "GetTask", "params": {"id": "x"}}, -32600),
        ({"jsonrpc": "2.0", "id": {}, "method": "GetTask", "params": {"id": "x"}}, -32600),
        ({"id": 1, "method": "GetTask", "params": {"id": "x"}}, -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": "GetTask"}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "CancelTask", "params": {"id": 7}}, -32602),
    ],
)
def test_what_is_no_request_of_json_rpc_is_told_as_such(
    server: Server, message: dict[str, Any], code: int
) -> None:
    answer = requests.post(f"{server.url}/a2a", json=message, timeout=10).json()

    assert answer["error"]["code"] == code


def test_an_answer_in_another_context_is_refused(server: Server) -> None:
    task = rpc(server, "SendMessage", said("x", "asking")).json()["result"]["task"]

    def answer(context: str) -> Any:
        more = {"taskId": task["id"], "contextId": context, "parts": [{"text": "red"}]}
        return rpc(server, "SendMessage", said("", "asking", **more)).json()

    assert answer("another")["error"]["code"] == -32602
    assert answer(task["contextId"])["result"]["task"]["status"]["state"] == "TASK_STATE_COMPLETED"


@pytest.mark.parametrize("text", [None, 5, ["x"], {}])
def test_text_that_is_none_is_refused(server: Server, text: Any) -> None:
    parts = [{"text": "x"}, {"text": text}]

    error = rpc(server, "SendMessage", said("", "echo", parts=parts)).json()["error"]

    assert error["code"] == -32602
    assert error["message"].startswith("message.parts.1.text: ")
