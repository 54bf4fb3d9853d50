"""The SSE parser: whole frames out of pieces of any size."""

from __future__ import annotations

import httpx
from httpx_sse import EventSource
from hypothesis import given, strategies as st

from streaming.client.sse import Frame, SseParser

TEXT = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=20)
FRAMES = st.lists(st.tuples(st.integers(0, 10**6), TEXT.map(str.strip).filter(bool)), max_size=8)


def parse(data: bytes, cuts: list[int]) -> list[Frame]:
    parser, found, at = SseParser(), [], 0
    for cut in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
        found += parser.feed(data[at:cut])
        at = max(at, cut)
    return found


@given(FRAMES, st.lists(st.integers(0, 10**4), max_size=12), st.sampled_from(["\n", "\r\n", "\r"]))
def test_frames_are_the_same_however_they_are_cut(
    frames: list[tuple[int, str]], cuts: list[int], end: str
) -> None:
    text = "".join(f"id: {id}{end}data: {data}{end}{end}" for id, data in frames)
    # Behind a lone CR another byte must come: it might be half of CR LF.
    data = (text + ": over").encode()

    assert parse(data, cuts) == [Frame(data, str(id)) for id, data in frames]


@given(FRAMES)
def test_another_parser_makes_the_same_of_it(frames: list[tuple[int, str]]) -> None:
    # Its lines end also where Unicode ends them: our server escapes those.
    frames = [(id, "".join(filter(str.isprintable, data)) or "x") for id, data in frames]
    body = "".join(f"id: {id}\ndata: {data}\n\n" for id, data in frames).encode()
    response = httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=body)

    theirs = [(event.id, event.data) for event in EventSource(response).iter_sse()]

    assert [(frame.id, frame.data) for frame in parse(body, [])] == theirs


def test_a_frame_that_is_cut_off_is_not_given() -> None:
    assert parse(b"id: 1\ndata: {}\n\nid: 2\ndata: {}\n", []) == [Frame("{}", "1")]


def test_a_position_without_data_is_given_without_data() -> None:
    assert parse(b"id: 7\n\n: beat\n\n", []) == [Frame(None, "7")]


def test_an_id_with_nul_and_a_retry_that_is_no_number_are_passed_over() -> None:
    parser = SseParser()

    assert parser.feed(b"id: 1\0\nretry: 1e3\ndata: x\n\n") == [Frame("x", None)]
    assert parser.retry_ms is None


def test_lines_of_data_are_joined() -> None:
    assert parse(b"data: a\ndata: b\n\n", []) == [Frame("a\nb", None)]
