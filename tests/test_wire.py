"""Bytes on the wire, read by a parser that somebody else wrote."""

from __future__ import annotations

import json

import hypothesis.strategies as st
import pytest
from hypothesis import example, given

from streaming.errors import BadRequest
from streaming.events import wire
from streaming.events.event import Draft, Event
from tests.sse_parser import parse_sse

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
HOSTILE = (
    "CR\r LF\n CRLF\r\n NUL\0 LS\u2028 PS\u2029 NEL\x85 BOM\ufeff data: x\n\nid: 9\n\n 漢 👩‍💻"
)


def event(text: str, seq: int = 7) -> Event:
    return Event.of("job_a", seq, Draft("text.delta", {"item": "a", "text": text}, at="then"))


def frame(each: Event) -> bytes:
    return wire.sse_frame(wire.event_json(each), position=str(each.seq))


@given(TEXT)
@example(HOSTILE)
def test_any_text_arrives_over_sse_as_it_was(text: str) -> None:
    [read] = parse_sse(frame(event(text)))

    assert (read.id, read.event) == ("7", "message")
    data = {"item": "a", "text": text}
    assert json.loads(read.data) == {
        "seq": 7, "type": "text.delta", "job": "job_a", "at": "then", "data": data,
    }  # fmt: skip


@given(st.lists(TEXT, max_size=5))
def test_events_one_after_the_other_stay_apart(texts: list[str]) -> None:
    body = b"".join(
        frame(event(text, seq)) + wire.SSE_HEARTBEAT for seq, text in enumerate(texts, start=1)
    )

    read = [each for each in parse_sse(body) if each.data]

    assert [each.id for each in read] == [str(n + 1) for n in range(len(texts))]
    assert [json.loads(each.data)["data"]["text"] for each in read] == texts


@given(st.floats(0, 1))
def test_an_event_that_is_cut_off_is_not_read(share: float) -> None:
    first, second = frame(event("one", 1)), frame(event(HOSTILE, 2))
    cut = int(len(second) * share)
    if cut == len(second):
        cut -= 1

    assert [each.id for each in parse_sse(first + second[:cut])] == ["1"]


def test_a_line_of_a_megabyte_arrives() -> None:
    text = "漢" * 400_000

    [read] = parse_sse(frame(event(text)))

    assert json.loads(read.data)["data"]["text"] == text


def test_a_named_event_has_its_name() -> None:
    [read] = parse_sse(wire.sse_frame(event("x").json, position="7", name="text.delta"))

    assert read.event == "text.delta"


def test_an_event_without_a_position_keeps_the_last_one() -> None:
    body = frame(event("x", 3)) + wire.sse_frame(wire.control_json("stream.gap", "job_a", {}))

    assert [each.id for each in parse_sse(body)] == ["3", "3"]


def test_an_opening_says_when_to_come_back_and_where_it_starts() -> None:
    [read] = parse_sse(wire.sse_opening(2.5, "41"))

    assert (read.retry, read.id, read.data) == (2500, "41", "")


def test_a_position_alone_moves_the_reader_and_shows_nothing() -> None:
    [read] = parse_sse(wire.sse_position("job_a:5,job_b:7"))

    assert (read.id, read.data) == ("job_a:5,job_b:7", "")


def test_a_heartbeat_is_nothing_to_a_reader() -> None:
    assert parse_sse(wire.SSE_HEARTBEAT * 3) == []
    assert wire.NDJSON_HEARTBEAT == b"\n"


def test_what_was_left_out_is_named_by_from() -> None:
    shown = json.loads(wire.event_json(event("x"), since=4))

    assert shown == {"from": 4, **event("x").envelope}


def test_an_event_is_sent_as_it_was_encoded() -> None:
    each = event("x")

    assert wire.event_json(each) is each.json


def test_a_control_event_has_no_seq() -> None:
    shown = wire.control_json("stream.gap", "job_a", {"from": 1, "to": 4})

    assert json.loads(shown) == {
        "type": "stream.gap", "job": "job_a", "data": {"from": 1, "to": 4},
    }  # fmt: skip
    assert "job" not in json.loads(wire.control_json("stream.closing", None, {}))


@given(st.integers(0, wire.MAX_POSITION))
def test_a_position_is_read_back(seq: int) -> None:
    assert wire.parse_position(str(seq), name="after") == seq


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1.0", "1e3", " 1", "0x1", "x", "٣", "９", str(2**63), "1" * 20, "1\n"]
)
def test_what_is_no_position_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(BadRequest, match="Last-Event-ID") as refused:
        wire.parse_position(text, name="Last-Event-ID")

    assert refused.value.code == "bad_position"
    assert refused.value.extra["errors"][0]["field"] == "Last-Event-ID"


JOBS = st.from_regex(r"job_[0-9A-Z]{1,26}", fullmatch=True)


@given(st.dictionaries(JOBS, st.integers(0, 10**9)))
def test_composite_positions_are_read_back(positions: dict[str, int]) -> None:
    text = wire.format_positions(positions)

    assert wire.parse_positions(text, name="after") == positions


@pytest.mark.parametrize(
    "text", [",", "job_a:1,", "job_a", "job_a:", "job_a:x", "job_a:1;job_b:2", "job_a:-1"]
)
def test_what_is_no_composite_position_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="after"):
        wire.parse_positions(text, name="after")
