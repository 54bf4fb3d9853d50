"""Encoders, on logs made by hand: every resume gives the rest; second attempts; ends."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from streaming.errors import Unavailable
from streaming.events.event import Draft, Event
from streaming.protocols.answer import Whole, last_restarts
from streaming.protocols.chat import ChatEncoder
from streaming.protocols.frames import About, Encoder
from streaming.protocols.messages import MessagesEncoder
from streaming.protocols.responses import ResponsesEncoder

ABOUT = About("job_1", "m", "2026-01-01T00:00:00.000Z", {"include_usage": True})
QUEUED = ("job.queued", {"task": "completion", "input": {"messages": []}})
STARTED = ("job.started", {"attempt": 1, "worker": "w"})
AGAIN = ("job.started", {"attempt": 2, "worker": "w"})
RESET = ("text.reset", {"item": "answer"})
DONE = ("job.completed", {"output": {"finish_reason": "stop"}, "usage": {"prompt_tokens": 1}})


def text(said: str) -> tuple[str, Any]:
    return "text.delta", {"item": "answer", "text": said}


def thought(said: str) -> tuple[str, Any]:
    return "reasoning.delta", {"item": "answer", "text": said}


def call(index: int, arguments: str) -> tuple[str, Any]:
    part = {"index": index, "id": f"c{index}", "name": "f", "arguments": arguments}
    return "log", {"level": "debug", "message": "", "call": part}


def log(*events: tuple[str, Any]) -> list[Event]:
    return [Event.of("job_1", seq, Draft(*each)) for seq, each in enumerate(events, start=1)]


def bodies(data: bytes) -> list[Any]:
    lines = [line[6:] for line in data.decode().splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def whole(kind: type[Encoder], events: Sequence[Event], **options: Any) -> bytes:
    encoder = kind(ABOUT, **options)
    return b"".join(map(encoder.take, events))


PLAIN = log(QUEUED, STARTED, thought("hm"), text("one "), text("two\u2028"), text("three"), DONE)
CALLS = log(
    QUEUED, STARTED, text("so"), call(0, '{"a"'), call(1, "{"), call(0, ":1}"), call(1, "}"), DONE
)


@pytest.mark.parametrize("events", [PLAIN, CALLS], ids=["plain", "calls"])
@pytest.mark.parametrize("kind", [ChatEncoder, MessagesEncoder, ResponsesEncoder])
def test_every_position_gives_the_rest_to_the_byte(
    kind: type[Encoder], events: list[Event]
) -> None:
    all_of_it = whole(kind, events)
    assert "\u2028" not in all_of_it.decode()

    encoder, seen = kind(ABOUT), b""
    for event in events:
        seen += encoder.take(event)
        rest = whole(kind, events, after=encoder.position)
        assert seen + rest == all_of_it


def test_a_chunk_of_text_is_whole_whatever_is_in_it_and_in_the_names_around_it() -> None:
    hostile = 'a "" b\\ LF\n NUL\0 LS\u2028 NEL\x85 x_position":0}'
    about = About("job_1", 'm"" }', "2026-01-01T00:00:00.000Z")
    chunk, *more = bodies(ChatEncoder(about).take(log(text("no"), text(hostile))[1]))

    assert not more
    assert chunk == {
        "id": "chatcmpl-job_1",
        "object": "chat.completion.chunk",
        "created": 1767225600,
        "model": 'm"" }',
        "choices": [
            {
                "index": 0,
                "delta": {"content": hostile},
                "logprobs": None,
                "finish_reason": None,
            }
        ],
        "x_position": 2,
    }


def test_calls_side_by_side_keep_their_arguments() -> None:
    chat = whole(ChatEncoder, CALLS)
    given: dict[int, str] = {}
    for chunk in bodies(chat):
        for choice in chunk["choices"]:
            for part in choice["delta"].get("tool_calls", []):
                at = part["index"]
                given[at] = given.get(at, "") + part["function"]["arguments"]
    assert given == {0: '{"a":1}', 1: "{}"}

    gathered = Whole()
    for event in CALLS:
        gathered.take(event)
    assert [each["arguments"] for each in gathered.calls] == ['{"a":1}', "{}"]

    response = bodies(whole(ResponsesEncoder, CALLS))[-1]["response"]
    assert [item["type"] for item in response["output"]] == [
        "message",
        "function_call",
        "function_call",
    ]
    assert response["output"][1]["arguments"] == '{"a":1}'


TWICE = log(QUEUED, STARTED, text("half"), AGAIN, RESET, text("whole"), DONE)


@pytest.mark.parametrize("kind", [ChatEncoder, MessagesEncoder])
def test_who_has_seen_a_first_attempt_is_not_given_the_second(kind: type[Encoder]) -> None:
    live = bodies(whole(kind, TWICE))
    assert live[-1]["error"]["code"] == "restarted"
    assert "whole" not in str(live)

    resumed = bodies(whole(kind, TWICE, after=3, restarts=last_restarts(TWICE)))
    assert [body["error"]["code"] for body in resumed] == ["restarted"]


@pytest.mark.parametrize("kind", [ChatEncoder, MessagesEncoder])
def test_who_comes_afterwards_gets_the_second_attempt_alone(kind: type[Encoder]) -> None:
    fresh = whole(kind, TWICE, restarts=last_restarts(TWICE)).decode()

    assert "half" not in fresh
    assert "whole" in fresh
    assert "restarted" not in fresh


def test_a_call_of_a_lost_attempt_is_void_too() -> None:
    events = log(QUEUED, STARTED, call(0, '{"x":'), AGAIN, call(0, '{"y":1}'), DONE)

    assert bodies(whole(ChatEncoder, events))[-1]["error"]["code"] == "restarted"
    fresh = whole(ChatEncoder, events, restarts=last_restarts(events)).decode()
    assert '\\"x\\"' not in fresh
    response = bodies(whole(ResponsesEncoder, events))[-1]["response"]
    assert [item["arguments"] for item in response["output"]] == ['{"y":1}']


def test_a_response_has_the_second_attempt_as_items_of_its_own() -> None:
    events = bodies(whole(ResponsesEncoder, TWICE))

    ended = [each["item"] for each in events if each["type"] == "response.output_item.done"]
    assert [(item["status"], item["content"][0]["text"]) for item in ended] == [
        ("incomplete", "half"),
        ("completed", "whole"),
    ]
    assert [item["id"] for item in events[-1]["response"]["output"]] == [ended[1]["id"]]
    assert [each["type"] for each in events].count("response.in_progress") == 1


@pytest.mark.parametrize(
    ("finish", "chat", "messages", "responses"),
    [
        ("stop", "stop", "end_turn", "completed"),
        ("length", "length", "max_tokens", "incomplete"),
        ("tool_calls", "tool_calls", "tool_use", "completed"),
        ("filtered", "content_filter", "refusal", "incomplete"),
    ],
)
def test_why_an_answer_ended_is_told(finish: str, chat: str, messages: str, responses: str) -> None:
    events = log(
        QUEUED, STARTED, text("x"), ("job.completed", {"output": {"finish_reason": finish}})
    )

    assert f'"finish_reason":"{chat}"' in whole(ChatEncoder, events).decode()
    assert f'"stop_reason":"{messages}"' in whole(MessagesEncoder, events).decode()
    assert bodies(whole(ResponsesEncoder, events))[-1]["response"]["status"] == responses


@pytest.mark.parametrize("kind", [ChatEncoder, MessagesEncoder, ResponsesEncoder])
def test_an_end_by_the_server_is_an_error_and_nothing_follows_it(kind: type[Encoder]) -> None:
    encoder = kind(ABOUT)
    for event in PLAIN[:4]:
        encoder.take(event)

    [told] = bodies(encoder.failure(Unavailable("away", code="draining")))

    assert told["error"]["code"] == "draining"
    assert encoder.done
    assert encoder.take(PLAIN[4]) == b""


def test_before_any_output_a_failure_has_a_code_that_no_client_repeats_after() -> None:
    failed = ("job.failed", {"error": {"code": "upstream_error", "detail": "x"}})

    early = bodies(whole(ResponsesEncoder, log(QUEUED, STARTED, failed)))[-1]["response"]
    late = bodies(whole(ResponsesEncoder, log(QUEUED, STARTED, text("x"), failed)))[-1]["response"]

    assert early["error"]["code"] == "upstream_error.invalid"
    assert late["error"]["code"] == "upstream_error"
