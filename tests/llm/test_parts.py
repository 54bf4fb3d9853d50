"""The parts that take an answer apart: event streams, shapes, tool calls, tags, errors. No I/O."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from streaming.errors import TaskError
from streaming.llm.base import (
    CannotContinue,
    Ending,
    Piece,
    Prompt,
    Reasoning,
    ToolCall,
    ToolCallPart,
    Usage,
)
from streaming.llm.body import Body
from streaming.llm.chunks import Answer
from streaming.llm.event_stream import EventStream
from streaming.llm.failures import failure, retry_after_s
from streaming.llm.joint import Joint
from streaming.llm.question import Manners
from streaming.llm.server import endpoints
from streaming.llm.thinking import ThinkTags

DONE: dict[str, Any] = {"choices": [{"delta": {}, "finish_reason": "stop"}]}


def events(*chunks: bytes) -> list[bytes]:
    stream = EventStream()
    return [data for chunk in chunks for _, data in stream.feed(chunk)]


def answer(*deltas: Any, finish: Any = "stop") -> list[Piece]:
    """The pieces of an answer of these deltas."""
    taken = Answer()
    pieces: list[Piece] = []
    for delta in deltas:
        chunk = {"choices": [{"index": 0, "delta": delta}]}
        pieces += taken.take(b"", json.dumps(chunk).encode())
    pieces += taken.take(b"", json.dumps({"choices": [{"finish_reason": finish}]}).encode())
    return [*pieces, *taken.end()]


def text_of(pieces: list[Piece]) -> str:
    return "".join(piece for piece in pieces if isinstance(piece, str))


# -- event streams


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
@given(cuts=st.lists(st.integers(0, 60), max_size=6))
def test_an_event_stream_is_the_same_wherever_it_is_cut(end: bytes, cuts: list[int]) -> None:
    lines = [
        b"\xef\xbb\xbfdata: a",
        b": comment",
        b"data:b",
        b"",
        b"data",
        b"",
        b"id: 3",
        b"data: c",
    ]
    whole = end.join([*lines, b"", b"data: never ended"])
    at = sorted({0, *cuts, len(whole)})

    parts = [whole[start:stop] for start, stop in zip(at, at[1:], strict=False)]

    assert events(*parts) == [b"a\nb", b"c"]


def test_an_event_is_given_at_once_though_its_last_line_may_go_on_with_a_line_feed() -> None:
    stream = EventStream()

    assert list(stream.feed(b"data: a\r\r")) == [(b"", b"a")]
    assert list(stream.feed(b"\ndata: b\n\n")) == [(b"", b"b")]


# -- shapes


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("so", "so"),
        (None, ""),
        ([], ""),
        ([{"type": "text", "text": "s"}, "o"], "so"),
        ([[{"text": "so"}]], "so"),
        ({"type": "text", "text": "so"}, "so"),
        ({"type": "text", "text": {"value": "so"}}, "so"),
        ([{"type": "text", "text": None}, {"type": "output_text", "text": "so"}], "so"),
    ],
)
def test_text_of_any_shape_is_text(content: Any, text: str) -> None:
    assert text_of(answer({"content": content}, {"content": "!"})) == text + "!"


@pytest.mark.parametrize("content", [42, 4.2, True, [1], {"a": 1}, [{"type": "audio"}]])
def test_what_is_no_text_is_an_error_that_shows_it(content: Any) -> None:
    with pytest.raises(TaskError, match="no text") as failed:
        answer({"content": content})

    assert failed.value.code == "upstream_error"


@pytest.mark.parametrize(
    "chunk",
    [
        {"choices": None},
        {"choices": {}},
        {"choices": {"delta": {"content": "so"}}},
        {"choices": [{"delta": None}]},
        {"choices": [{"delta": "so"}]},
        {"choices": [{"delta": ["so"]}]},
        {"choices": [{"text": "so"}]},
        {"choices": [{"message": {"content": "so"}}]},
        {"choices": [{"index": 1, "delta": {"content": "another"}}]},
        {"choices": [], "usage": {"prompt_tokens": None, "completion_tokens": "x"}},
        {"type": "ping"},
        {},
    ],
)
def test_chunks_of_any_shape_are_taken(chunk: Any) -> None:
    taken = Answer()

    assert text_of(list(taken.take(b"", json.dumps(chunk).encode()))) in ("", "so")


@pytest.mark.parametrize("chunk", [1, "x", [1], {"choices": 5}, {"choices": [5]}])
def test_chunks_of_no_shape_are_a_clear_error(chunk: Any) -> None:
    with pytest.raises(TaskError) as failed:
        list(Answer().take(b"", json.dumps(chunk).encode()))

    assert failed.value.code == "upstream_error"


@given(st.text(), st.lists(st.integers(0, 40), max_size=4))
def test_surrogate_pairs_are_joined_wherever_they_are_split(text: str, cuts: list[int]) -> None:
    units = text.encode("utf-16-le")
    at = sorted({0, *(2 * cut for cut in cuts if 2 * cut < len(units)), len(units)})
    halves = [
        units[start:stop].decode("utf-16-le", "surrogatepass")
        for start, stop in zip(at, at[1:], strict=False)
    ]

    assert text_of(_raw(halves)) == text


def _raw(texts: list[str]) -> list[Piece]:
    taken = Answer(think_tags=False)
    chunks = [{"choices": [{"delta": {"content": text}}]} for text in texts]
    pieces = [p for chunk in chunks for p in taken.take(b"", json.dumps(chunk).encode())]
    taken.finish = "stop"
    return [*pieces, *taken.end()]


# -- ends


@pytest.mark.parametrize(
    ("finish", "ending"),
    [
        ("stop", Ending("stop")),
        ("STOP", Ending("stop")),
        ("end_turn", Ending("stop")),
        ("function_call", Ending("stop")),
        ("max_tokens", Ending("length", cut=True)),
    ],
)
def test_a_normal_end_has_many_names(finish: str, ending: Ending) -> None:
    assert answer({"content": "so"}, finish=finish)[-1] == ending


@pytest.mark.parametrize("finish", ["error", "abort", "cancelled", "timeout", 7, {"a": 1}])
def test_every_other_end_is_none(finish: Any) -> None:
    with pytest.raises(TaskError, match="no success"):
        answer({"content": "so"}, finish=finish)


def test_usage_has_its_details_and_running_counts_are_given_as_they_come() -> None:
    taken = Answer()
    chunk = {"choices": [{"delta": {"content": "so"}}], "timings": {"prompt_n": 2, "cache_n": 5}}
    chunk["timings"] |= {"predicted_n": 3}  # type: ignore[operator]
    details = {"prompt_tokens_details": {"cached_tokens": 4}}
    details |= {"completion_tokens_details": {"reasoning_tokens": 6}}
    usage = {"prompt_tokens": 9, "completion_tokens": 8, **details}

    first = list(taken.take(b"", json.dumps(chunk).encode()))
    list(taken.take(b"", json.dumps({**DONE, "usage": usage}).encode()))

    assert first == ["so", Usage(7, 3, 5)]
    assert list(taken.end())[0] == Usage(9, 8, 4, 6)


# -- tool calls


def call(name: str | None = None, arguments: Any = None, **members: Any) -> dict[str, Any]:
    return {**members, "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize(
    "parts",
    [
        [call("a", '{"x"', id="1", index=0), call(None, ":1}", index=0),
         call("b", "{}", id="2", index=1)],
        [call("a", '{"x":1}', id="1", index=0), call("b", "{}", id="2", index=0)],
        [call("a", '{"x":1}', id="1"), call("b", "{}", id="2")],
        [call("a", '{"x":1}', index=0), call("b", "{}", index=0)],
        [call("a", '{"x":1}'), call("b", "{}")],
        [call("a", {"x": 1}), call("b", {})],
        [call("a", "", id="1", index=0), call("b", "", id="2", index=1),
         call(None, "{}", index=1), call(None, '{"x":1}', index=0)],
        [call("a", '{"x"', id="1", index=0), call("a", ":1}", id="1", index=0),
         call("b", "{}", id="2", index=0)],
        [call("a", '{"x":1}', id="s", index=0), call("b", "{}", id="s", index=1)],
        [call("a", '{"x":', id="1"), call(None, "1}"), call("b", None, id="2")],
    ],
)  # fmt: skip
def test_parallel_calls_are_told_apart(parts: list[Any]) -> None:
    for pieces in (
        answer(*({"tool_calls": [part]} for part in parts), finish="tool_calls"),
        answer({"tool_calls": parts}, finish="tool_calls"),
    ):
        calls = [piece for piece in pieces if isinstance(piece, ToolCall)]

        assert [(each.name, each.parsed()) for each in calls] == [("a", {"x": 1}), ("b", {})]
        assert len({each.id for each in calls}) == 2
        assert pieces[-1] == Ending("tool_calls")


def test_a_call_without_an_id_gets_one_that_the_strictest_server_takes() -> None:
    pieces = answer({"tool_calls": [call("a", "{}")]}, finish="tool_calls")

    (made,) = [piece.id for piece in pieces if isinstance(piece, ToolCall)]
    assert len(made) == 9
    assert made.isalnum()


@pytest.mark.parametrize(
    "parts",
    [
        [call("a", "{"), call(None, "}")],
        [call("a", "{", index=0), call(None, "}", index=0, id="late")],
        [call("a", "{}", id="s", index=0), call("b", "{}", id="s", index=1)],
        [call(None, "{", id="1", index=0), call("a", "}", index=0)],
    ],
)
def test_the_parts_of_a_call_have_its_id_and_its_name(parts: list[Any]) -> None:
    pieces = answer(*({"tool_calls": [part]} for part in parts), finish="tool_calls")

    calls = [(each.id, each.name) for each in pieces if isinstance(each, ToolCall)]
    told = [(each.id, each.name) for each in pieces if isinstance(each, ToolCallPart)]
    assert set(told) == set(calls)
    texts = {each.id: "" for each in pieces if isinstance(each, ToolCallPart)}
    for each in pieces:
        if isinstance(each, ToolCallPart):
            texts[each.id] += each.arguments
    assert set(texts.values()) == {"{}"}


# -- thinking between tags


def untagged(*pieces: str, opened: bool = False) -> tuple[str, str]:
    tags, text, thought = ThinkTags(opened=opened), "", ""
    found = [part for piece in pieces for part in _pass(tags, piece)]
    for part in [*found, *tags.end()]:
        if isinstance(part, str):
            text += part
        else:
            thought += part.text
    return text, thought


def _pass(tags: ThinkTags, piece: str) -> list[str | Reasoning]:
    return [piece] if tags.passes(piece) else list(tags.add(piece))


@given(st.lists(st.integers(0, 60), max_size=8))
def test_tags_are_found_wherever_they_are_split(cuts: list[int]) -> None:
    whole = "<think>a < b</think>\n\nx < y, <b>bold</b> </th"
    at = sorted({0, *(cut for cut in cuts if cut < len(whole)), len(whole)})

    parts = [whole[start:stop] for start, stop in zip(at, at[1:], strict=False)]

    assert untagged(*parts) == ("x < y, <b>bold</b> </th", "a < b")


@pytest.mark.parametrize(
    ("given_", "text", "thought"),
    [
        ("<thinking>t</thinking>a", "a", "t"),
        ("◁think▷t◁/think▷a", "a", "t"),
        ("<think>never ended", "", "never ended"),
        ("a <think>t</think> b", "a  b", "t"),
        ("Models write `<think>` first.", "Models write `<think>` first.", ""),
    ],
)
def test_tags_of_all_kinds_are_moved_unless_they_are_quoted(
    given_: str, text: str, thought: str
) -> None:
    assert untagged(given_) == (text, thought)


@given(st.lists(st.integers(0, 60), max_size=8), st.sampled_from(["", "<think>", "\n<Think>"]))
def test_a_model_that_begins_within_its_thinking_may_open_it_all_the_same(
    cuts: list[int], opening: str
) -> None:
    whole = f"{opening}a < b, </b>\n</think>\n\nx < y, </think> and <b"
    at = sorted({0, *(cut for cut in cuts if cut < len(whole)), len(whole)})

    parts = [whole[start:stop] for start, stop in zip(at, at[1:], strict=False)]

    text, thought = untagged(*parts, opened=True)
    assert (text, thought) == ("x < y, </think> and <b", "a < b, </b>\n")


@pytest.mark.parametrize(
    ("given_", "text", "thought"),
    [
        (" hm [/THINK]so", "so", " hm "),
        ("never ended", "", "never ended"),
        ("<thi", "", "<thi"),
        ("[think]t</think>u[/think] a", "a", "t</think>u"),
        ("t</think>a<think>u</think>b", "ab", "tu"),
    ],
)
def test_thinking_that_no_tag_opens_ends_with_any_tag_that_ends_some(
    given_: str, text: str, thought: str
) -> None:
    assert untagged(given_, opened=True) == (text, thought)


def test_thinking_that_the_server_tells_apart_needs_no_tag_to_end() -> None:
    taken = Answer(opened=True)
    deltas = [{"content": ""}, {"reasoning_content": "hm"}, {"content": "so"}]
    chunks = [{"choices": [{"delta": each}]} for each in deltas]

    bodies = [json.dumps(each).encode() for each in [*chunks, DONE]]
    pieces = [piece for body in bodies for piece in taken.take(b"", body)]

    assert [*pieces, *taken.end()] == [Reasoning("hm"), "so", Ending("stop")]


# -- errors


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, {"error": {"message": "prompt is too long: 9 > 8"}}, "context_too_long"),
        (400, {"error": {"code": 400, "type": "exceed_context_size_error"}}, "context_too_long"),
        (400, {"error": {"code": "content_filter", "message": "filtered"}}, "content_filtered"),
        (400, {"object": "error", "message": "context length is 8"}, "context_too_long"),
        (422, {"detail": [{"loc": ["body"], "msg": "bad"}]}, "upstream_error"),
        (429, "slow down", "rate_limited"),
        (401, {"error": {"message": "bad key"}}, "model_unavailable"),
        (402, {"error": {"message": "Insufficient Balance"}}, "model_unavailable"),
        (404, "<html><title>Nothing</title></html>", "model_unavailable"),
        (503, {"error": "no healthy upstream"}, "model_unavailable"),
        (529, {"type": "error", "error": {"type": "overloaded_error"}}, "model_unavailable"),
        (500, {"errors": [{"message": "boom"}]}, "upstream_error"),
        (None, {"error": {"code": 429, "message": "x"}}, "rate_limited"),
        (None, {"error": {"code": "rate_limit_exceeded", "message": "x"}}, "rate_limited"),
        (None, {"error": {"message": "Overloaded"}}, "model_unavailable"),
        (None, {"error": "context window exceeded"}, "context_too_long"),
    ],
)  # fmt: skip
def test_an_error_has_a_code_and_the_servers_words(
    status: int | None, body: Any, code: str
) -> None:
    assert failure(status, body).code == code


def test_what_a_server_says_is_kept_without_keys_halves_or_markup() -> None:
    said = failure(401, {"error": {"message": "Incorrect key: sk-abcd****efgh \ud83d"}}).detail
    page = failure(502, "<html><head><title>Bad gateway</title></head><body>x</body></html>")

    assert "Incorrect key: … �" in said
    assert "Bad gateway" in page.detail
    assert "<" not in page.detail


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Thu, 01 Jan 2026 00:00:05 GMT"}, 5.0),
        ({"retry-after": "Wed, 31 Dec 2025 00:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_a_server_says_in_many_ways_how_long_to_wait(headers: Any, seconds: float | None) -> None:
    assert retry_after_s(headers, now=1767225600.0) == seconds


# -- questions


def test_what_a_caller_passes_goes_through_untouched() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
    messages = ({"role": "user", "content": [image]}, {"role": "tool", "content": "x", "odd": 1})
    extra = {"temperature": 0.1, "max_completion_tokens": 9, "tool_choice": "auto", "new": {"a": 1}}

    body = Manners().body("m", Prompt(messages=messages, extra=extra), 50, without=())

    assert body["messages"] == list(messages)
    assert {name: body[name] for name in extra} == extra
    assert "max_tokens" not in body
    assert "seed" not in body


def test_a_refused_parameter_is_remembered_but_not_a_value_that_was_too_much() -> None:
    manners, prompt = Manners(), Prompt("x", seed=1)
    body = manners.body("m", prompt, 50, without=())

    large = {"error": {"message": "max_tokens is too large: 50. At most 9", "param": "max_tokens"}}
    assert manners.refused(body, prompt, large) == "max_tokens"
    assert "max_tokens" in manners.body("m", prompt, 5, without=())

    assert manners.refused(body, prompt, {"error": {"param": "seed", "message": "no"}}) == "seed"
    assert "seed" not in manners.body("m", prompt, 5, without=())

    theirs = Prompt("x", extra={"seed": 5})
    assert manners.refused({"seed": 5}, theirs, {"error": {"param": "seed"}}) is None


@pytest.mark.parametrize(
    ("base", "urls"),
    [
        ("http://h/v1", ["http://h/v1/chat/completions"]),
        ("http://h/v1/", ["http://h/v1/chat/completions"]),
        ("http://h/v1/chat/completions", ["http://h/v1/chat/completions"]),
        ("http://h", ["http://h/v1/chat/completions", "http://h/chat/completions"]),
        ("http://h/d?api-version=7", ["http://h/d/chat/completions?api-version=7"]),
    ],
)
def test_an_address_is_what_people_have(base: str, urls: list[str]) -> None:
    assert endpoints(base) == urls


# -- going on

SO_FAR = "Tides are the rise and fall of the sea."


def test_the_rest_of_an_answer_is_taken_as_it_is() -> None:
    joint = Joint(SO_FAR)

    assert "".join([joint.add(" The"), joint.add(" moon"), joint.end()]) == " The moon"


def test_a_repeated_beginning_is_taken_off() -> None:
    joint, repeated = Joint(SO_FAR), SO_FAR + " The moon"

    rest = [joint.add(repeated[at : at + 5]) for at in range(0, len(repeated), 5)]

    assert "".join([*rest, joint.end()]) == " The moon"


def test_another_text_from_the_start_is_no_rest() -> None:
    joint = Joint(SO_FAR)
    joint.add(SO_FAR[:30])

    with pytest.raises(CannotContinue):
        joint.add("in another way")


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_body_of_plain_words_is_quoted(end: bytes) -> None:
    body = Body(Answer(), lambda data: data.decode())
    list(body.feed(b"upstream connect error" + end))

    with pytest.raises(TaskError, match="upstream connect error"):
        list(body.end())


def test_a_whole_answer_needs_no_reason_for_its_end() -> None:
    body = Body(Answer(), lambda data: data.decode())
    list(body.feed(b'{"choices": [{"message": {"content": "so"}}]}'))

    assert list(body.end()) == ["so", Ending("stop")]


def test_an_answer_in_one_piece_may_come_in_many() -> None:
    body = Body(Answer(), lambda data: data.decode())
    whole = json.dumps({"choices": [{"message": {"content": "so"}, "finish_reason": "stop"}]})
    for byte in f"\n {whole}".encode():
        assert list(body.feed(bytes([byte]))) == []

    assert list(body.end()) == ["so", Ending("stop")]
