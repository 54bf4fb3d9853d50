"""OpenAI's Responses with OpenAI's own client, and as raw bytes."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import openai
import pytest
import requests
import websocket

from examples.openai_server import ModelServer
from tests.e2e.server import Server
from tests.e2e.waiting import eventually
from tests.protocols.conftest import NewServer, ends_as, unique

TOOL: Any = {
    "type": "function",
    "name": "weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
NUMBERS = "".join(f"{number} " for number in range(150))


def client_of(server: Server, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", **options)


def test_a_response_is_whole_with_its_usage(server: Server) -> None:
    response = client_of(server).responses.create(
        model="fluent",
        input="hello",
        instructions="Be brief.",
        max_output_tokens=6,
        metadata={"shop": "7"},
    )

    assert response.status == "completed"
    assert len(response.output_text.split(" ")) == 6
    assert response.usage is not None
    assert response.usage.output_tokens == 6
    assert response.instructions == "Be brief."
    assert response.metadata == {"shop": "7"}
    assert response.max_output_tokens == 6


def test_a_stream_has_its_events_in_order(server: Server) -> None:
    events = list(
        client_of(server).responses.create(
            model="thinking", input="hi", max_output_tokens=4, stream=True
        )
    )

    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert kinds.count("response.in_progress") == 1
    numbers = [event.sequence_number for event in events]
    assert numbers[0] == 0
    assert numbers == sorted(set(numbers))
    response = events[-1].response  # type: ignore[union-attr]
    assert [item.type for item in response.output] == ["reasoning", "message"]
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert text == response.output_text


def test_the_helper_gathers_a_stream(server: Server) -> None:
    with client_of(server).responses.stream(model="fluent", input="hi") as stream:
        text = "".join(e.delta for e in stream if e.type == "response.output_text.delta")
        final = stream.get_final_response()

    assert final.output_text == text


def test_tools_are_called_and_their_results_taken(
    server: Server, model_server: ModelServer
) -> None:
    client = client_of(server)
    with client.responses.stream(model="fluent", input="Paris", tools=[TOOL]) as stream:
        for _ in stream:
            pass
        first = stream.get_final_response()
    [call] = first.output
    assert call.type == "function_call"
    assert json.loads(call.arguments) == {"city": "Paris"}

    second = client.responses.create(
        model="fluent",
        previous_response_id=first.id,
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}],
        tools=[TOOL],
    )

    assert second.status == "completed"
    assert second.previous_response_id == first.id
    asked, called, given = model_server.answers[-1].asked["messages"]
    assert asked["content"] == "Paris"
    assert called["tool_calls"][0]["id"] == call.call_id
    assert given["content"] == "sunny"
    items = client.responses.input_items.list(second.id).data
    assert [item.type for item in items] == ["function_call_output"]


def test_a_conversation_goes_on_from_a_response(server: Server, model_server: ModelServer) -> None:
    client = client_of(server)
    first = client.responses.create(model="fluent", input="one", instructions="A", store=True)
    client.responses.create(
        model="fluent", input="two", instructions="B", previous_response_id=first.id
    )

    said = [(m["role"], m["content"]) for m in model_server.answers[-1].asked["messages"]]
    assert said == [
        ("system", "B"),
        ("user", "one"),
        ("assistant", first.output_text),
        ("user", "two"),
    ]
    item = {"type": "item_reference", "id": first.output[0].id}
    client.responses.create(
        model="fluent",
        input=[{"role": "user", "content": "one"}, item, {"role": "user", "content": "x"}],  # type: ignore[list-item]
    )
    said = [(m["role"], m["content"]) for m in model_server.answers[-1].asked["messages"]]
    assert said[1] == ("assistant", first.output_text)


def test_a_background_response_goes_on_alone_and_is_got_later(server: Server) -> None:
    client = client_of(server)
    started = client.responses.create(model="counting", input="150 numbers", background=True)
    assert started.status in ("queued", "in_progress")
    assert started.background

    eventually(
        lambda: client.responses.retrieve(started.id).status == "completed",
        "it is done",
        timeout_s=15,
    )
    assert client.responses.retrieve(started.id).output_text == NUMBERS


def test_a_background_stream_survives_a_kill(new_server: NewServer) -> None:
    server = new_server().start()
    client = client_of(server, max_retries=0)
    texts: dict[int, str] = {}
    last = -1
    with pytest.raises(Exception, match=".*"):  # noqa: PT012 - whatever the client makes of it
        for event in client.responses.create(
            model="counting", input="150 numbers", background=True, stream=True
        ):
            last = event.sequence_number
            if event.type == "response.created":
                id = event.response.id
            if event.type == "response.output_text.delta":
                texts[event.output_index] = texts.get(event.output_index, "") + event.delta
                if len(texts[event.output_index]) > 40:
                    server.kill()
    server.start()

    for event in client.responses.retrieve(id, stream=True, starting_after=last):
        assert event.sequence_number > last
        last = event.sequence_number
        if event.type == "response.output_text.delta":
            texts[event.output_index] = texts.get(event.output_index, "") + event.delta
        if event.type == "response.output_item.done" and event.output_index == 0:
            assert event.item.status == "incomplete"  # type: ignore[union-attr]

    assert event.type == "response.completed"
    assert event.response.output_text == NUMBERS
    assert texts[1] == NUMBERS
    assert [item.id[-2:] for item in event.response.output] == ["_1"]  # type: ignore[union-attr]


def test_a_cut_stream_is_resumed_by_the_helper_and_raw(server: Server) -> None:
    client = client_of(server)
    last, text = -1, ""
    stream = client.responses.create(
        model="counting", input="150 numbers", background=True, stream=True
    )
    for event in stream:
        last = event.sequence_number
        if event.type == "response.created":
            id = event.response.id
        if event.type == "response.output_text.delta":
            text += event.delta
        if len(text) > 60:
            break
    stream.close()

    rest = list(client.responses.retrieve(id, stream=True, starting_after=last))
    text += "".join(e.delta for e in rest if e.type == "response.output_text.delta")
    assert text == NUMBERS
    assert rest[0].sequence_number > last
    with client.responses.stream(response_id=id, starting_after=last) as helped:
        assert helped.get_final_response().output_text == NUMBERS
    url = f"{server.url}/v1/responses/{id}?stream=true"
    end = rest[-1].sequence_number
    assert requests.get(f"{url}&starting_after={end}", timeout=5).status_code == 204
    assert requests.get(f"{url}&starting_after={end + 1}", timeout=5).status_code == 400


def test_cancelling_ends_it_as_incomplete(server: Server) -> None:
    client = client_of(server)
    stream = client.responses.create(
        model="stalling", input=unique("x"), background=True, stream=True
    )
    for event in stream:
        if event.type == "response.created":
            id = event.response.id
        if event.type == "response.output_text.delta":
            break

    cancelled = client.responses.cancel(id)

    assert cancelled.status == "cancelled"
    last = list(stream)[-1]
    assert last.type == "response.incomplete"
    assert last.response.status == "cancelled"
    assert last.response.incomplete_details.reason == "cancelled"  # type: ignore[union-attr]
    assert client.responses.retrieve(id).status == "cancelled"


def test_what_has_ended_before_its_first_word_is_got_again_as_a_stream(server: Server) -> None:
    client = client_of(server)
    asked = client.responses.create(model="mute", input=unique("x"), background=True)
    client.responses.cancel(asked.id)
    eventually(lambda: client.responses.retrieve(asked.id).status == "cancelled", "it is over")

    events = list(client.responses.retrieve(asked.id, stream=True))

    assert [events[0].type, events[-1].type] == ["response.created", "response.incomplete"]


def test_a_removed_or_unstored_response_is_not_found(server: Server) -> None:
    client = client_of(server)
    kept = client.responses.create(model="fluent", input="x", max_output_tokens=2)
    unkept = client.responses.create(model="fluent", input="x", max_output_tokens=2, store=False)
    assert not unkept.store

    client.responses.delete(kept.id)

    for id in (kept.id, unkept.id):
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(id)
        with pytest.raises(openai.BadRequestError) as refused:
            client.responses.create(model="fluent", input="y", previous_response_id=id)
        assert refused.value.param == "previous_response_id"


def test_hanging_up_stops_what_is_not_in_the_background(server: Server) -> None:
    asked = {"model": "stalling", "input": unique("x"), "stream": True}
    with requests.post(f"{server.url}/v1/responses", json=asked, stream=True, timeout=9) as first:
        job = first.headers["X-Job-Id"]
        next(first.iter_lines())

    ends_as(server, job, "cancelled", timeout_s=4)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": None}, "input"),
        ({"input": [{"role": "wizard", "content": "x"}]}, "input.0.role"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
        ({"background": True, "store": False}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"input": [{"type": "item_reference", "id": "msg_job_X_1"}]}, "input.0.id"),
    ],
)
def test_what_cannot_be_done_is_refused_and_named(
    server: Server, body: dict[str, Any], param: str
) -> None:
    asked = {"model": "fluent", "input": "x", **body}
    answer = requests.post(f"{server.url}/v1/responses", json=asked, timeout=10)

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


def test_a_late_failure_is_a_failed_response(server: Server) -> None:
    stream = client_of(server).responses.create(model="failing", input=unique("x"), stream=True)
    last = list(stream)[-1]

    assert last.type == "response.failed"
    assert last.response.error is not None
    assert last.response.error.code == "upstream_error"


def test_a_task_answers_with_its_steps_as_reasoning(server: Server) -> None:
    response = client_of(server).responses.create(model="stepping", input="go")

    assert [item.type for item in response.output] == ["reasoning", "message"]
    assert response.output_text == "what it found"


def test_a_websocket_has_the_same_events(server: Server) -> None:
    with client_of(server).responses.connect() as connection:
        for question in ("20 numbers", "5 numbers"):
            connection.response.create(model="counting", input=question)
            text = ""
            for event in connection:
                if event.type == "response.output_text.delta":
                    text += event.delta
                if event.type == "response.completed":
                    break
            assert text == "".join(f"{n} " for n in range(int(question.split()[0])))
            assert event.response.output_text == text


def test_a_websocket_tells_what_is_wrong_and_goes_on(server: Server) -> None:
    with closing(websocket.create_connection(socket_of(server), timeout=10)) as socket:
        for message in ("nonsense", '{"type": "ping"}', '{"type": "response.create"}'):
            socket.send(message)
            told = json.loads(socket.recv())
            assert told["type"] == "error"
            assert told["error"]["message"]
        socket.send(json.dumps({"type": "response.create", "model": "echo", "input": "x"}))
        assert json.loads(socket.recv())["type"] == "response.created"


def test_closing_a_websocket_stops_what_it_asked(server: Server) -> None:
    socket = websocket.create_connection(socket_of(server), timeout=10)
    asked = {"type": "response.create", "model": "stalling", "input": unique("x")}
    socket.send(json.dumps(asked))
    job = json.loads(socket.recv())["response"]["id"].removeprefix("resp_")
    socket.close()

    ends_as(server, job, "cancelled", timeout_s=5)


def test_a_socket_wants_a_handshake(server: Server) -> None:
    answer = requests.get(f"{server.url}/v1/responses", timeout=5)

    assert (answer.status_code, answer.headers["Sec-WebSocket-Version"]) == (426, "13")


def socket_of(server: Server) -> str:
    return f"{server.url.replace('http', 'ws')}/v1/responses"
