"""The AI SDK's UI message stream, with its own transports and as raw chunks."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
import requests

from tests.e2e.clients import Socket
from tests.e2e.server import Server
from tests.e2e.waiting import eventually
from tests.protocols.conftest import NewServer, RunNode, ends_as, unique

NUMBERS = "".join(f"{number} " for number in range(100))


def ask(server: Server, text: str, model: str, chat: str = "", **more: Any) -> requests.Response:
    said = [{"id": "u", "role": "user", "parts": [{"type": "text", "text": text}]}]
    body = {"id": chat or unique("chat"), "messages": said, "model": model, **more}
    return requests.post(f"{server.url}/v1/ui/chat", json=body, stream=True, timeout=20)


def chunks_of(response: requests.Response) -> list[Any]:
    lines = [line[6:] for line in response.iter_lines() if line.startswith(b"data: ")]
    assert lines[-1] == b"[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def text_of(chunks: list[Any]) -> str:
    return "".join(chunk["delta"] for chunk in chunks if chunk["type"] == "text-delta")


def test_the_transports_of_the_ai_sdk(server: Server, node: RunNode) -> None:
    found = {each.pop("what"): each for each in node("ui_client.mjs", server.url, timeout_s=120)}

    for kind in ("http", "websocket"):
        whole = found[f"{kind} whole"]
        assert whole["text"] == "".join(f"{number} " for number in range(30))
        assert whole["states"] == ["step-start", "done"]
        steps = found[f"{kind} steps"]
        assert steps["text"] == "what it found"
        assert steps["tool"] == ["search", "output-available", ["found"]]
        assert steps["steps"] == [["look", "completed"], ["write", "completed"]]
        assert found[f"{kind} resumed"] == {"text": NUMBERS, "after": None}
        assert "it broke in the middle" in found[f"{kind} broken"]["errors"][0]
    assert found["stopped"]["last"] == "abort"


def test_progress_and_a_question_are_data_parts(server: Server) -> None:
    chunks = chunks_of(ask(server, "x", "breaking"))
    [progress] = [chunk for chunk in chunks if chunk["type"] == "data-progress"]
    assert progress["data"] == {"percent": 50, "message": "half way"}
    assert chunks[-1]["type"] == "error"

    chat = unique("chat")
    with ask(server, "x", "asking", chat) as response:
        lines = response.iter_lines()
        job = response.headers["X-Job-Id"]
        question = next(json.loads(line[6:]) for line in lines if b"data-question" in line)
        assert question["data"]["prompt"] == "Which colour?"
        answer = {"request": question["data"]["request"], "data": {"colour": "red"}}
        requests.post(f"{server.url}/v1/jobs/{job}/input", json=answer, timeout=5)
        rest = [json.loads(line[6:]) for line in lines if line.startswith(b"data: {")]
    assert rest[-1]["type"] == "finish"
    assert text_of(rest) == "red"


def test_a_chat_is_found_again_after_a_crash_and_begins_anew(new_server: NewServer) -> None:
    server = new_server().start()
    chat = unique("chat")
    with ask(server, "x", "asking", chat) as response:
        assert response.headers["x-vercel-ai-ui-message-stream"] == "v1"
        job = response.headers["X-Job-Id"]
        ends_as(server, job, "waiting_for_input")
        server.kill()
    server.start()

    url = f"{server.url}/v1/ui/chat/{chat}/stream"
    with requests.get(url, stream=True, timeout=20) as again:
        eventually(lambda: asks_again(server, job), "another attempt asks", timeout_s=20)
        answer = {"data": {"colour": "red"}}
        requests.post(f"{server.url}/v1/jobs/{job}/input", json=answer, timeout=5)
        chunks = chunks_of(again)

    assert [chunk["type"] for chunk in chunks].count("finish") == 1
    begun = [i for i, chunk in enumerate(chunks) if chunk["type"] == "start"]
    assert text_of(chunks[begun[-1] :]) == "the colour is red"
    assert len({chunks[i]["messageId"] for i in begun}) == len(begun)
    assert requests.get(url, timeout=5).status_code == 204


def asks_again(server: Server, job: str) -> bool:
    shown = requests.get(f"{server.url}/v1/jobs/{job}", timeout=5).json()
    return bool(shown["status"] == "waiting_for_input" and shown["attempt"] == 2)


@pytest.mark.parametrize("name", ["a/b", "é 😀", "50%?#"])
def test_a_chat_of_any_name_is_found_and_stopped(server: Server, name: str) -> None:
    chat = unique(name)
    url = f"{server.url}/v1/ui/chat/{quote(chat, safe='')}"
    with ask(server, "500", "counting", chat) as response:
        job = response.headers["X-Job-Id"]
        with requests.get(f"{url}/stream", stream=True, timeout=5) as again:
            assert again.headers["X-Job-Id"] == job
        assert requests.post(f"{url}/stop", timeout=5).json()["job"] == job
        assert chunks_of(response)[-1]["type"] == "abort"


def test_nothing_runs_in_a_chat_that_nobody_began(server: Server) -> None:
    url = f"{server.url}/v1/ui/chat/{unique('none')}"
    assert requests.get(f"{url}/stream", timeout=5).status_code == 204
    assert requests.post(f"{url}/stop", timeout=5).status_code == 204


def test_who_leaves_does_not_stop_it_and_stop_does(server: Server) -> None:
    chat = unique("chat")
    with ask(server, "2000 numbers", "counting", chat) as response:
        job = response.headers["X-Job-Id"]
    eventually(
        lambda: requests.get(f"{server.url}/v1/jobs/{job}/viewers", timeout=5).json()["count"] == 0,
        "the asker has left",
    )
    stopped = requests.post(f"{server.url}/v1/ui/chat/{chat}/stop", timeout=5).json()
    assert stopped == {"id": chat, "job": job, "status": "cancelled"}
    ends_as(server, job, "cancelled")


def test_a_job_of_others_is_a_chat_by_its_own_id(server: Server) -> None:
    job = server.api.submit("counting", {"messages": [{"content": "2000 numbers"}]})
    url = f"{server.url}/v1/ui/chat/{job}"
    with requests.get(f"{url}/stream", stream=True, timeout=20) as running:
        assert running.headers["X-Job-Id"] == job
        stopped = requests.post(f"{url}/stop", timeout=5).json()
        assert stopped == {"id": job, "job": job, "status": "cancelled"}
        seen = chunks_of(running)
    ended = ends_as(server, job, "cancelled")

    assert seen[-1]["type"] == "abort"
    assert text_of(seen) == ended["text"] != ""
    assert requests.post(f"{url}/stop", timeout=5).status_code == 204
    assert chunks_of(requests.get(f"{url}/stream", timeout=5)) == seen
    with Socket(server.api, "/v1/ui/chat") as connection:
        connection.send(json.dumps({"type": "resume", "requestId": "r", "id": job}))
        told = list(iter(connection.receive, {"type": "end", "requestId": "r"}))
    assert [message["chunk"] for message in told if message["type"] == "chunk"] == seen


def test_in_a_chat_of_its_own_an_answer_that_has_ended_is_not_told_again(server: Server) -> None:
    chat = unique("chat")
    chunks_of(ask(server, "x", "echo", chat))

    assert requests.get(f"{server.url}/v1/ui/chat/{chat}/stream", timeout=5).status_code == 204


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"id": 7}, "id"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "parts": "x"}]}, "messages.0.parts"),
        ({"messages": [{"role": "wizard", "parts": []}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "parts": [{"type": "file"}]}]}, "messages.0.parts.0.url"),
    ],
)
def test_what_is_wrong_is_named(server: Server, body: dict[str, Any], field: str) -> None:
    said = [{"role": "user", "parts": [{"type": "text", "text": "x"}]}]
    asked = {"id": "c", "messages": said, "model": "echo", **body}
    answer = requests.post(f"{server.url}/v1/ui/chat", json=asked, timeout=5)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == field
