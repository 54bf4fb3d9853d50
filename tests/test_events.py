"""The event, its envelope and the vocabulary."""

from __future__ import annotations

import re
from typing import Any, get_args, get_type_hints

import hypothesis.strategies as st
import pytest
from hypothesis import given

from streaming.client import types as client_types
from streaming.events import make
from streaming.events.event import Draft, Event, dumps, rfc3339
from streaming.events.types import DATA
from streaming.events.vocabulary import CONTROL, STATUS_AFTER, STATUSES, TERMINAL, TYPES
from streaming.storage.ids import new_id
from tests.jobs import completed, delta
from tests.threads import together

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(TEXT, JSON, max_size=4))
def test_an_envelope_carries_any_json(data: dict[str, Any]) -> None:
    event = Event.of("job_a", 7, Draft("log", data, at="then"))

    assert event.envelope == {
        "seq": 7, "type": "log", "job": "job_a", "at": "then", "data": data,
    }  # fmt: skip
    assert event.data == data


@given(JSON)
def test_encoded_json_is_one_line_of_utf8(value: Any) -> None:
    assert not set(dumps(value)) & {0, 10, 13}


def test_text_is_not_escaped() -> None:
    assert dumps({"text": "漢字 👍"}) == '{"text":"漢字 👍"}'.encode()


def test_an_envelope_is_encoded_once() -> None:
    event = Event.of("job_a", 1, delta())

    assert event.json is event.json
    assert event.json.startswith(b'{"seq":1,"type":"text.delta","job":"job_a","at":"')


@pytest.mark.parametrize(
    "data",
    [{"x": float("nan")}, {"x": float("inf")}, {"x": "\ud800"}, {"\udfff": 1}, {"x": object()}],
    ids=["nan", "infinity", "surrogate", "surrogate name", "object"],
)
def test_what_json_cannot_carry_fails_at_its_author(data: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Draft("log", data)


@pytest.mark.parametrize("data", [{}, {"seq": 9, "at": 'x"y'}, {"text": "größer\n"}])
def test_an_envelope_is_read_as_it_was_built(data: dict[str, Any]) -> None:
    event = Event.of("job_a", 7, Draft("log", data, at="then"))

    assert Event.parse(event.json) == event
    assert event.at == "then"
    assert event.with_data({"x": 1}).envelope == {**event.envelope, "data": {"x": 1}}


@pytest.mark.parametrize(
    "bytes_of_it",
    [
        b"",
        b"{}",
        b'{"seq":1,"type":"log"}',
        b'{"seq":one,"type":"log","job":"job_a","at":"then","data":{}}',
        b'{"type":"log","seq":"1","job":"job_a","at":"then","data":{}}',
        b'{"seq":1,"type":"log","job":"\xff","at":"then","data":{}}',
    ],
)
def test_what_is_no_envelope_is_refused(bytes_of_it: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - several kinds of it
        Event.parse(bytes_of_it)


@pytest.mark.parametrize("kind", ["error", "stream.gap", "text", "", "JOB.QUEUED"])
def test_a_type_that_is_not_in_the_vocabulary_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="unknown event type"):
        Draft(kind, {})


@pytest.mark.parametrize("kind", ["text.delta", "reasoning.delta"])
@given(item=st.text(), text=st.text())
def test_a_delta_is_encoded_as_everything_else(kind: str, item: str, text: str) -> None:
    data = {"item": item, "text": text}
    assert Draft(kind, data).encoded == dumps(data)


@pytest.mark.parametrize("data", [{"item": "a", "text": 1}, {"item": None, "text": "a"}])
def test_a_delta_of_anything_but_text_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        Draft("text.delta", data)


def test_events_and_drafts_do_not_change() -> None:
    with pytest.raises(AttributeError):
        delta().type = "log"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        Event.of("job_a", 1, delta()).seq = 2  # type: ignore[misc]


def test_a_draft_has_the_time_of_its_making() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", delta().at)


@pytest.mark.parametrize(
    ("epoch_s", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_700_000_000.5, "2023-11-14T22:13:20.500Z"),
        (1_700_000_000.0005, "2023-11-14T22:13:20.000Z"),
    ],
)
def test_times_are_rfc_3339_with_milliseconds(epoch_s: float, text: str) -> None:
    assert rfc3339(epoch_s) == text


def test_three_types_end_a_job() -> None:
    assert set(TERMINAL) == {"job.completed", "job.failed", "job.cancelled"}
    assert Event.of("job_a", 1, completed()).terminal
    assert not Event.of("job_a", 1, delta()).terminal


def test_the_vocabulary_is_that_of_the_contract() -> None:
    job = {"queued", "started", "progress", "cancel_requested", "completed", "failed", "cancelled"}
    others = (
        "step.updated text.delta text.reset reasoning.delta tool.call tool.result metric alert "
        "artifact log input.requested input.received"
    )
    assert {f"job.{name}" for name in job} | set(others.split()) == TYPES
    assert {"stream.snapshot", "stream.gap", "stream.degraded", "stream.closing"} == CONTROL


def test_every_status_after_an_event_is_a_status() -> None:
    assert set(STATUS_AFTER.values()) == set(STATUSES)
    assert set(STATUS_AFTER) <= TYPES


def test_an_id_is_a_prefix_and_a_ulid() -> None:
    assert re.fullmatch(r"job_[0-7][0-9A-HJKMNP-TV-Z]{25}", new_id("job_"))


def test_ids_rise_and_never_repeat_among_threads() -> None:
    made = together([lambda: [new_id("job_") for _ in range(500)]] * 4)

    assert all(ids == sorted(ids) for ids in made)
    assert len({each for ids in made for each in ids}) == 2000


def test_each_type_has_a_constructor() -> None:
    for kind in TYPES:
        assert callable(getattr(make, kind.replace(".", "_"), None)), kind


def test_the_client_has_a_class_for_each_type() -> None:
    classes = {}
    for each in get_args(client_types.Event):
        members = get_type_hints(each)
        [kind] = get_args(members["type"])
        classes[kind] = members["data"]

    told = {kind: data for kind, data in DATA.items() if kind != "stream.closing"}
    assert classes == told  # the follower takes `stream.closing` itself
