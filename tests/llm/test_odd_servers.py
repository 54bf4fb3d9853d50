"""Servers as they are met in the field: what they mean is found out, never guessed wrongly."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from streaming.concurrency.stop_signal import StopSignal
from streaming.errors import TaskError
from streaming.llm.base import Ending, Piece, Prompt, Reasoning, ToolCall, ToolCallPart
from streaming.llm.body import Body
from streaming.llm.chunks import Answer
from streaming.llm.exchange import Exchange
from streaming.llm.failures import MAX_WAIT_S, failure, retry_after_s
from streaming.llm.openai import OpenAIModel
from streaming.llm.question import Manners
from streaming.llm.server import Patience, _capped

Json = dict[str, Any]
CALL = {"index": 0, "id": "a"}


def chunk(finish: Any = None, **delta: Any) -> Json:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def taken(*chunks: Any) -> list[Piece]:
    """The pieces of an answer of these chunks."""
    answer = Answer()
    pieces = [piece for each in chunks for piece in answer.take(b"", json.dumps(each).encode())]
    return [*pieces, *answer.end()]


def fed(data: bytes) -> list[Piece]:
    """The pieces of a body."""
    body = Body(Answer(), lambda said: said.decode("utf-8", "replace"))
    return [*body.feed(data), *body.end()]


def calls(*parts: Json) -> list[ToolCall]:
    pieces = taken(*(chunk(tool_calls=[part]) for part in parts), chunk("tool_calls"))
    told: dict[int, str] = {}
    for piece in pieces:
        if isinstance(piece, ToolCallPart):
            told[piece.index] = told.get(piece.index, "") + piece.arguments
    found = [piece for piece in pieces if isinstance(piece, ToolCall)]
    assert list(told.values()) == [call.arguments for call in found]
    return found


# -- ends


@pytest.mark.parametrize("finish", ["COMPLETE", "completed", "FINISH_REASON_STOP", "eot_id"])
def test_a_plain_end_has_many_names(finish: str) -> None:
    assert taken(chunk(content="a"), chunk(finish))[-1] == Ending("stop")


@pytest.mark.parametrize("finish", ["content-filter", "Content Filter", "sensitive", "guardrails"])
def test_a_filtered_end_has_many_names(finish: str) -> None:
    with pytest.raises(TaskError) as error:
        taken(chunk(content="a"), chunk(finish))

    assert error.value.code == "content_filtered"


def test_an_end_that_cuts_is_not_made_good_by_a_later_one() -> None:
    assert taken(chunk(content="a"), chunk("length"), chunk("stop"))[-1].cut  # type: ignore[union-attr]
    assert taken(chunk(content="a"), chunk("stop"), chunk("length"))[-1].cut  # type: ignore[union-attr]


def test_an_error_of_a_provider_behind_the_server_is_one_whatever_the_finish_reason() -> None:
    error = {"code": 502, "message": "the provider has left"}
    bad = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "error": error}]}

    with pytest.raises(TaskError, match="the provider has left"):
        taken(chunk(content="a"), bad)


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_an_end_that_only_lacks_a_blank_line_is_an_end(end: bytes) -> None:
    text = b"data: " + json.dumps(chunk(content="a")).encode() + b"\n\n"
    last = b"data: " + json.dumps(chunk("stop")).encode() + end

    assert fed(text + last)[-1] == Ending("stop")
    with pytest.raises(TaskError, match="not whole"):  # text without an end is none
        fed(text + text.strip())


# -- shapes


def test_an_index_may_be_text() -> None:
    found = taken({"choices": [{"index": "0", "delta": {"content": "a"}}]}, chunk("stop"))

    assert found[0] == "a"


def test_a_stream_of_something_else_is_quoted() -> None:
    with pytest.raises(TaskError, match="no answer.*message_start"):
        fed(b'event: message_start\ndata: {"type":"message_start","message":{}}\n\n')


@pytest.mark.parametrize("depth", [2000, 200_000])
def test_nesting_without_end_is_an_error_of_the_server(depth: int) -> None:
    deep = b"[" * depth
    for data in (deep, b'{"choices":' + deep, b"data: " + deep + b"\n\n"):
        with pytest.raises(TaskError) as error:
            fed(data)
        assert error.value.code == "upstream_error"


# -- tool calls


def test_two_calls_without_arguments_are_told_apart_by_their_names() -> None:
    one, other = calls(
        {"index": 0, "function": {"name": "x", "arguments": ""}},
        {"index": 0, "function": {"name": "y", "arguments": ""}},
    )

    assert (one.name, other.name) == ("x", "y")


def test_an_index_of_a_call_may_be_text() -> None:
    one, other = calls(
        {"index": "0", "id": "a", "function": {"name": "x", "arguments": '{"k"'}},
        {"index": "1", "id": "b", "function": {"name": "y", "arguments": '{"j"'}},
        {"index": "0", "function": {"arguments": ":1}"}},
        {"index": "1", "function": {"arguments": ":2}"}},
    )

    assert (one.arguments, other.arguments) == ('{"k":1}', '{"j":2}')


def test_a_pair_of_surrogates_may_be_split_over_two_parts_of_a_call() -> None:
    halves = ['{"a":"\ud83d', '\ude00\ud83d"}']
    parts = [{**CALL, "function": {"name": "f", "arguments": half}} for half in halves]

    assert [call.arguments for call in calls(*parts)] == ['{"a":"\U0001f600\ufffd"}']


@pytest.mark.parametrize(
    "count", ["NaN", "Infinity", "-3", "1e300", '"\u00b2"', '"' + "9" * 5000 + '"', "[]"]
)
def test_a_count_that_counts_nothing_is_none(count: str) -> None:
    usage = f'{{"choices":[],"usage":{{"prompt_tokens":1,"completion_tokens":{count}}}}}'
    body = f"data: {json.dumps(chunk('stop', content='a'))}\n\ndata: {usage}\n\n"

    assert fed(body.encode()) == ["a", Ending("stop")]


def test_empty_arguments_may_be_a_false_start() -> None:
    (late,) = calls(
        {**CALL, "function": {"name": "x", "arguments": "{}"}},
        {"index": 0, "function": {"arguments": '{"k":'}},
        {"index": 0, "function": {"arguments": "1}"}},
    )
    (empty,) = calls({**CALL, "function": {"name": "x", "arguments": "{}"}})

    assert (late.arguments, empty.arguments) == ('{"k":1}', "{}")


def test_a_call_has_a_name_and_text_that_can_be_written_down() -> None:
    with pytest.raises(TaskError, match="without a name") as error:
        calls({**CALL, "function": {"arguments": '{"k":1}'}})
    (half,) = calls({"index": 0, "id": "\ud83d", "function": {"name": "\ud83d", "arguments": "{}"}})

    assert error.value.code == "upstream_error"
    assert (half.id, half.name) == ("\ufffd", "\ufffd")


def test_a_history_with_results_is_sent_with_tools() -> None:
    legacy = {"role": "assistant", "content": None, "function_call": {"name": "x"}}
    lone = {"role": "tool", "tool_call_id": "c", "content": "r"}

    for history, name in (([legacy], "x"), ([lone], "tool")):
        body: Any = Manners().body("m", Prompt(messages=tuple(history)), 9, without=())
        assert [tool["function"]["name"] for tool in body["tools"]] == [name]
        assert body["tool_choice"] == "none"


# -- parameters


@pytest.mark.parametrize(
    ("said", "gone"),
    [
        ("Seed is not supported", "seed"),
        ("unknown field: streamOptions", "stream_options"),
        ("this model does not support streaming", "stream"),
    ],
)
def test_what_a_model_refuses_is_not_sent_again(said: str, gone: str) -> None:
    manners, prompt = Manners(), Prompt(text="x", seed=1)
    body = manners.body("m", prompt, 9, without=())

    assert manners.refused(body, prompt, {"error": {"message": said}}) == gone
    assert gone not in manners.body("m", prompt, 9, without=())


def test_an_error_of_a_broken_stream_refuses_no_parameter() -> None:
    manners, prompt = Manners(), Prompt(text="x")
    body = manners.body("m", prompt, 9, without=())

    assert manners.refused(body, prompt, {"error": {"message": "the stream was reset"}}) is None


def test_an_answer_without_a_stream_is_asked_for_without_its_options() -> None:
    body = Manners(frozenset({"stream"})).body("m", Prompt(text="x"), 9, without=())

    assert not body.keys() & {"stream", "stream_options"}


def test_a_limit_of_nothing_is_none() -> None:
    body = Manners().body("m", Prompt(text="x", extra={"max_tokens": None}), 9, without=())

    assert body["max_tokens"] == 9


# -- errors


@pytest.mark.parametrize(
    ("status", "body", "code", "counts"),
    [
        (400, {"message": "is longer than the maximum model length"}, "context_too_long", False),
        (422, {"error": "`inputs` must have less than 9 tokens"}, "context_too_long", False),
        (500, {"error": "input length exceeds the context length"}, "context_too_long", False),
        (500, {"error": {"message": "content_filter"}}, "content_filtered", False),
        (500, {"error": {"message": "BadRequestError: bad tool"}}, "upstream_error", False),
        (501, {"error": "not here"}, "upstream_error", False),
        (500, {"error": "out of memory"}, "upstream_error", True),
        (503, {"error": "busy"}, "model_unavailable", True),
        (408, {"error": "too late"}, "upstream_error", True),
        (400, {"error": {"message": "API key not valid."}}, "model_unavailable", False),
        (400, {"code": "DataInspectionFailed", "message": "x"}, "content_filtered", False),
        (400, {"error": {"message": "names are case-sensitive"}}, "upstream_error", False),
    ],
)
def test_only_what_says_something_about_the_server_counts_against_it(
    status: int, body: Any, code: str, counts: bool
) -> None:
    from streaming.llm.base import Outage

    found = failure(status, body)

    assert (found.code, isinstance(found, Outage)) == (code, counts)


def test_the_message_of_a_provider_behind_the_server_is_kept() -> None:
    raw = json.dumps({"error": {"message": "max context exceeded: prompt too long"}})
    body: Any = {"error": {"message": "Provider returned error", "metadata": {"raw": raw}}}

    found = failure(400, body)

    assert found.code == "context_too_long"
    assert "Provider returned error: max context exceeded" in found.detail


def test_words_about_a_key_are_no_key() -> None:
    said = "Incorrect API key provided: sk-1234567890; see Bearer abcdef123"

    assert "Incorrect API key provided: …; see …" in failure(401, {"error": said}).detail


@pytest.mark.parametrize("asked", ["inf", "1e400", "9" * 30, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_wait_without_end_is_a_number_that_can_be_told(asked: str) -> None:
    assert retry_after_s({"retry-after": asked}) == MAX_WAIT_S
    assert retry_after_s({"retry-after": "nan"}) is None


# -- caps


@pytest.mark.parametrize(
    "piece", ["w " * 5000, Reasoning("w " * 5000), ToolCallPart(0, "a", "x", "w " * 5000)]
)
def test_large_pieces_are_capped_by_their_size(piece: Piece) -> None:
    given = list(_capped(iter([piece] * 1000), 60, 60))

    assert given == [piece, Ending("length", cut=True)]
    assert list(_capped(iter([piece, Ending("stop")]), 60, 60)) == [piece, Ending("stop")]


# -- over a socket


@contextmanager
def served(answer: bytes) -> Iterator[str]:
    """A server that says one thing to whoever connects."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1 << 16)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def asked(url: str) -> TaskError:
    patience = Patience(first_token_s=2, retry_s=0.01)
    with pytest.raises(TaskError) as error:
        list(OpenAIModel(url, ["m"], patience=patience).stream(Prompt(text="x"), StopSignal()))
    return error.value


def test_a_server_that_speaks_tls_is_named() -> None:
    with served(b"\x15\x03\x01\x00\x02\x02\x16") as url:
        assert "speaks TLS" in asked(url).detail


def test_a_name_that_is_none_is_unreachable() -> None:
    found = asked("http://" + "a" * 300 + ".com/v1")

    assert (found.code, "no name of a host" in found.detail) == ("model_unavailable", True)


def test_a_parameter_refused_in_a_stream_is_left_out() -> None:
    bodies: list[Any] = []
    ask = Exchange.ask

    def remember(self: Exchange, body: bytes, *args: Any, **options: Any) -> None:
        bodies.append(json.loads(body))
        ask(self, body, *args, **options)

    said = json.dumps({"error": {"message": "Unsupported parameter: 'seed'"}}).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    with served(head + b"data: " + said + b"\n\n") as url, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Exchange, "ask", remember)
        model = OpenAIModel(url, ["m"])
        with pytest.raises(TaskError):
            list(model.stream(Prompt(text="x", seed=1), StopSignal()))

    assert [body.get("seed") for body in bodies] == [1, None]


# -- thinking


@pytest.mark.parametrize(
    "text",
    [
        "<Think>a</Think>b",
        "[THINK]a[/THINK]b",
        "<seed:think>a</seed:think>b",
        "<|START_THINKING|>a<|END_THINKING|>b",
    ],
)
@pytest.mark.parametrize("cut", [lambda text: [text], list])
def test_thinking_is_told_apart_however_its_tags_are_written(
    text: str, cut: Callable[[str], list[str]]
) -> None:
    pieces = taken(*(chunk(content=piece) for piece in cut(text)), chunk("stop"))

    assert "".join(piece for piece in pieces if isinstance(piece, str)) == "b"
    assert "".join(piece.text for piece in pieces if isinstance(piece, Reasoning)) == "a"


def test_brackets_in_an_answer_are_none_of_its_thinking() -> None:
    text = "see [think] and [/think]"

    assert "".join(taken(chunk(content=text), chunk("stop"))[:-1]) == text  # type: ignore[arg-type]
