"""Anthropic's Messages with Anthropic's own client, and as raw bytes."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import pytest
import requests

from examples.openai_server import ModelServer
from tests.e2e.server import Server
from tests.e2e.waiting import eventually
from tests.protocols.conftest import ends_as, unique

TOOL = {
    "name": "weather",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


def client_of(server: Server, **options: Any) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=server.url, api_key="none", **options)


def said(text: str) -> Any:
    return [{"role": "user", "content": text}]


def frames_of(text: str) -> list[tuple[str, str, Any]]:
    """Event name, id and data of each frame."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        if fields:
            found.append((fields["event"], fields.get("id", ""), json.loads(fields["data"])))
    return found


def test_a_message_is_whole_with_its_usage(server: Server) -> None:
    message = client_of(server).messages.create(model="fluent", max_tokens=6, messages=said("x"))

    assert message.content[0].type == "text"
    assert len(message.content[0].text.split(" ")) == 6
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens == 6


def test_a_stream_is_that_of_a_message(server: Server) -> None:
    with client_of(server).messages.stream(
        model="thinking", max_tokens=6, messages=said("x"), system="Be brief."
    ) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()

    assert [block.type for block in message.content] == ["thinking", "text"]
    assert text == message.content[1].text  # type: ignore[union-attr]
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens == 11
    assert message.usage.input_tokens < 5


def test_tools_are_called_and_their_results_taken(
    server: Server, model_server: ModelServer
) -> None:
    client = client_of(server)
    with client.messages.stream(
        model="fluent",
        max_tokens=100,
        messages=said("Paris"),
        tools=[TOOL],  # type: ignore[list-item]
        tool_choice={"type": "any"},
    ) as stream:
        message = stream.get_final_message()

    assert message.stop_reason == "tool_use"
    [call] = message.content
    assert call.type == "tool_use"
    assert call.input == {"city": "Paris"}
    assert model_server.answers[-1].asked["tool_choice"] == "required"
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
    answer = client.messages.create(
        model="fluent",
        max_tokens=5,
        messages=[
            *said("Paris"),
            {"role": "assistant", "content": message.content},
            {"role": "user", "content": [result]},  # type: ignore[list-item]
        ],
        tools=[TOOL],  # type: ignore[list-item]
    )
    assert answer.stop_reason == "end_turn"
    *_, called, given = model_server.answers[-1].asked["messages"]
    assert called["tool_calls"][0]["id"] == call.id
    assert given == {"role": "tool", "tool_call_id": call.id, "content": "sunny"}


def test_pictures_and_parameters_go_upstream(server: Server, model_server: ModelServer) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "B" * 100_000}
    blocks = [{"type": "image", "source": source}, {"type": "text", "text": "what is it"}]
    client_of(server).messages.create(
        model="fluent",
        max_tokens=3,
        messages=[{"role": "user", "content": blocks}],  # type: ignore[typeddict-item]
        stop_sequences=["END"],
        extra_body={"temperature": 0.5},
    )

    asked = model_server.answers[-1].asked
    [message] = asked["messages"]
    assert message["content"][0]["image_url"]["url"] == "data:image/png;base64," + "B" * 100_000
    assert (asked["stop"], asked["temperature"], asked["max_tokens"]) == (["END"], 0.5, 3)


def test_tokens_are_estimated(server: Server) -> None:
    counted = client_of(server).messages.count_tokens(model="fluent", messages=said("x" * 400))

    assert 90 < counted.input_tokens < 120


def test_a_task_answers(server: Server) -> None:
    message = client_of(server).messages.create(
        model="stepping", max_tokens=100, messages=said("go")
    )

    assert [block.type for block in message.content] == ["thinking", "text"]


def test_a_late_failure_is_an_error_event(server: Server) -> None:
    with (
        pytest.raises(anthropic.APIStatusError, match="fire"),
        client_of(server).messages.stream(
            model="failing", max_tokens=9, messages=said(unique("x"))
        ) as stream,
    ):
        for _ in stream:
            pass


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ({"max_tokens": None}, "invalid_request_error", 400),
        ({"messages": []}, "invalid_request_error", 400),
        ({"messages": [{"role": "system", "content": "x"}]}, "invalid_request_error", 400),
        ({"tools": [{"type": "web_search_20250305", "name": "w"}]}, "invalid_request_error", 400),
        ({"model": "nobody"}, "not_found_error", 404),
        ({"model": "narrow"}, "invalid_request_error", 400),
        ({"model": "overrun"}, "rate_limit_error", 429),
    ],
)
def test_errors_are_those_of_the_protocol(
    server: Server, body: dict[str, Any], kind: str, status: int
) -> None:
    asked = {"model": "fluent", "max_tokens": 5, "messages": said(unique("x")), **body}
    answer = requests.post(f"{server.url}/v1/messages", json=asked, timeout=10)

    assert answer.status_code == status
    assert answer.json()["type"] == "error"
    assert answer.json()["error"]["type"] == kind
    assert answer.json()["error"]["code"]
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"]


def test_a_cut_stream_goes_on_behind_its_last_event(server: Server) -> None:
    asked = {
        "model": "counting",
        "max_tokens": 1000,
        "messages": said("120 numbers"),
        "stream": True,
    }
    seen = ""
    with requests.post(f"{server.url}/v1/messages", json=asked, stream=True, timeout=10) as first:
        for data in first.iter_content(512):
            seen += data.decode()
            if len(seen) > 4000:
                break
    whole = frames_of(seen[: seen.rindex("\n\n")])
    last = [id for _, id, _ in whole if id][-1]
    shown = whole[: max(n for n, (_, id, _) in enumerate(whole) if id) + 1]

    url = f"{server.url}/v1/messages/{shown[0][2]['message']['id']}"
    rest = requests.get(url, headers={"Last-Event-ID": last}, timeout=20)

    frames = [*shown, *frames_of(rest.text)]
    text = "".join(
        data["delta"]["text"] for name, _, data in frames if name == "content_block_delta"
    )
    assert text == "".join(f"{number} " for number in range(120))
    assert frames[-1][0] == "message_stop"
    names = [name for name, _, _ in frames]
    assert names.count("message_start") == names.count("content_block_start") == 1
    end = {"Last-Event-ID": frames[-1][1]}
    assert requests.get(url, headers=end, timeout=5).status_code == 204
    assert requests.get(url, timeout=5).json()["content"] == [{"type": "text", "text": text}]


def test_hanging_up_stops_the_model(server: Server, model_server: ModelServer) -> None:
    asked = {
        "model": "stalling",
        "max_tokens": 9,
        "messages": said(unique("x")),
        "stream": True,
    }
    with requests.post(f"{server.url}/v1/messages", json=asked, stream=True, timeout=10) as first:
        job = first.headers["X-Job-Id"]
        next(first.iter_lines())

    ends_as(server, job, "cancelled", timeout_s=4)
    eventually(lambda: model_server.answers[-1].state == "aborted", "the model has stopped")
