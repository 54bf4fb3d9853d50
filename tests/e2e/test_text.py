"""Text that is hostile to line-based and to Unicode-minded transports arrives as it was."""

from __future__ import annotations

import pytest

from tests.e2e.clients import Api, Reader
from tests.e2e.reading import assert_ended, assert_whole, of_type, texts

HOSTILE = {
    "line-ends": "a\rb\nc\r\nd\n\re\n\n",
    "sse-fields": "data: x\n\nid: 999\n\nevent: error\ndata: y\n\nretry: 1\n: comment\n\n",
    "nul": "a\0b",
    "controls": "".join(map(chr, range(32))) + "\x7f\x80\x85",
    "separators": "a\u2028b\u2029c\u0085d\u000be\u000cf",
    "byte-order-marks": "\ufeffa\ufeff",
    "astral": "😀👩‍👩‍👧‍👦𝔘\U0010ffff",
    "combining": "e\u0301\u202eabc\u200b",
    "json": '"}\\u0000\\"{"seq":1}',
    "html": "</script><!--<img src=x onerror=alert(1)>",
    "long-line": "x" * 500_000 + "é",
    "many-lines": "\n" * 10_000,
}


@pytest.fixture(scope="module")
def hostile(server) -> str:
    words = list(HOSTILE.values())
    return server.api.run("plain", {"words": words}, metadata={"text": HOSTILE["controls"]})["id"]


def test_hostile_text_arrives_intact(api: Api, hostile: str, read: Reader) -> None:
    events, shown = list(read(api, hostile)), api.snapshot(hostile)

    said = [event["data"]["text"] for event in of_type(events, "text.delta")]
    assert "".join(said) == "".join(HOSTILE.values())
    assert events[0]["data"]["input"] == {"words": list(HOSTILE.values())}
    assert events[0]["data"]["metadata"] == {"text": HOSTILE["controls"]}
    assert "".join(said) == shown["text"] == shown["output"]["text"]
    assert assert_whole(events) == shown["seq"]
    assert_ended(events)


def test_text_within_the_limit_of_an_event_passes(api: Api, read: Reader) -> None:
    job = api.run("large-text", {"bytes": 1_000_000})["id"]

    events = list(read(api, job))

    assert len("".join(texts(events).values())) == 1_000_000
    assert events[-1]["type"] == "job.completed"


def test_text_over_the_limit_of_an_event_comes_in_pieces(api: Api) -> None:
    shown = api.run("large-text", {"bytes": 2_000_000})

    assert (shown["status"], len(shown["text"])) == ("completed", 2_000_000)


def test_an_output_over_the_limit_fails_the_job(api: Api) -> None:
    shown = api.run("large-output", {"bytes": 2_000_000})

    assert (shown["status"], shown["error"]["code"]) == ("failed", "output_too_large")
    assert shown["output"] is None


def test_an_input_that_would_not_fit_an_event_is_413(api: Api) -> None:
    body = {"task": "plain", "input": {"words": ["x" * 1_048_500]}}
    answer = {"data": "x" * 1_048_560}
    job = api.submit("listening")

    assert api.post("/v1/jobs", json=body).status_code == 413
    assert api.post(f"/v1/jobs/{job}/input", json=answer).status_code == 413
    api.cancel(job)


def test_the_partial_of_a_terminal_event_is_cut_so_that_it_fits(api: Api) -> None:
    shown = api.run("talking-then-failing", {"word": "x" * 400_000, "times": 4})

    last = api.log_of(shown["id"])[-1]
    assert (shown["status"], len(shown["text"])) == ("failed", 1_600_000)
    assert last["type"] == "job.failed"
    assert len(str(last["data"]["partial"])) < 1 << 20


def test_halves_of_characters_are_joined_and_what_utf8_cannot_carry_is_replaced(api: Api) -> None:
    shown = api.run("odd-text")

    assert (shown["status"], shown["text"]) == ("completed", "before \N{GRINNING FACE} \ufffd")
    assert list(texts(api.log_of(shown["id"])).values()) == [shown["text"]]
