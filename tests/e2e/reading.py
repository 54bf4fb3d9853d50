"""What a reader makes of the envelopes it was given, as the contract has it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from tests.e2e.clients import TERMINAL, Envelope


def upto(events: Iterator[Envelope], *types: str) -> list[Envelope]:
    """The events up to and with the first of one of these types; the stream stays open."""
    seen = []
    for event in events:
        seen.append(event)
        if event["type"] in types:
            return seen
    raise AssertionError(f"the stream ended before {types}: {types_of(seen)}")


def matching(events: Iterator[Envelope], condition: Callable[[Envelope], bool]) -> Envelope:
    """The first event that is as wanted."""
    for event in events:
        if condition(event):
            return event
    raise AssertionError("the stream ended before the wanted event")


def types_of(events: Iterable[Envelope]) -> list[str]:
    return [event["type"] for event in events]


def stored(events: Iterable[Envelope]) -> list[Envelope]:
    """Without the stream's own events."""
    return [event for event in events if not event["type"].startswith("stream.")]


def of_type(events: Iterable[Envelope], *types: str) -> list[Envelope]:
    return [event for event in events if event["type"] in types]


def assert_whole(events: Iterable[Envelope], after: int = 0) -> int:
    """Each number behind `after` is covered exactly once, in order, without a gap; the last one."""
    events = list(events)
    assert not of_type(events, "stream.gap"), of_type(events, "stream.gap")
    for event in stored(events):
        assert event.get("from", event["seq"]) == after + 1, (after, event)
        assert event["seq"] >= event.get("from", event["seq"])
        after = event["seq"]
    return after


def assert_ended(events: list[Envelope]) -> None:
    """The last event, and no other, is a terminal one."""
    ends = [event["type"] in TERMINAL for event in events]
    assert ends[-1:] == [True], types_of(events)
    assert not any(ends[:-1]), types_of(events)


def texts(events: Iterable[Envelope]) -> dict[str, str]:
    """The text of each item, in order of first appearance."""
    items: dict[str, str] = {}
    for event in events:
        data = event["data"]
        if event["type"] == "text.delta":
            items[data["item"]] = items.get(data["item"], "") + data["text"]
        elif event["type"] == "text.reset":
            items[data["item"]] = ""
        elif event["type"] == "stream.snapshot":
            items = {each["item"]: each["text"] for each in data["job"]["texts"]}
    return items
