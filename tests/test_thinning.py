"""Thinning: ranges tile the log, and what is folded from it is the same."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, strategies as st

from streaming.events.event import Draft, Event
from streaming.events.snapshot import Snapshot
from streaming.events.summary import blank
from streaming.events.thinning import MERGED_BYTES, Thinned, thin
from streaming.events.wire import event_json
from tests.jobs import completed, delta, metric, progress, reset, said, started, step, thought

JOB = "job_1"


def log_of(*drafts: Draft, first: int = 1) -> list[Event]:
    return [Event.of(JOB, seq, draft) for seq, draft in enumerate(drafts, start=first)]


def shown(thinned: list[Thinned]) -> list[tuple[int | None, int, str]]:
    return [(each.since, each.event.seq, each.event.type) for each in thinned]


def test_adjacent_deltas_of_an_item_become_one() -> None:
    thinned = thin(log_of(delta("a"), delta("b"), delta("c")), 0, skip=False)

    assert shown(thinned) == [(1, 3, "text.delta")]
    envelope = json.loads(event_json(thinned[0].event, since=thinned[0].since))
    assert (envelope["from"], envelope["data"]) == (1, {"item": "answer", "text": "abc"})


def test_other_items_other_types_and_what_lies_between_keep_deltas_apart() -> None:
    log = log_of(delta("a"), delta("b", "other"), thought("c", "other"), said(), delta("d"))

    assert thin(log, 0, skip=True) == [Thinned(event) for event in log]


def test_an_attempt_begins_a_new_delta() -> None:
    log = log_of(delta("a"), delta("b"), started(2), reset(), delta("c"), delta("d"))

    assert shown(thin(log, 0, skip=True)) == [
        (1, 2, "text.delta"),
        (None, 3, "job.started"),
        (None, 4, "text.reset"),
        (5, 6, "text.delta"),
    ]


def test_what_a_later_event_replaces_is_skipped_only_where_that_is_asked() -> None:
    log = log_of(progress(1), metric("m", 1), step("s", "running"), progress(2), metric("m", 2))

    assert thin(log, 0, skip=False) == [Thinned(event) for event in log]
    assert shown(thin(log, 0, skip=True)) == [
        (1, 3, "step.updated"),
        (None, 4, "job.progress"),
        (None, 5, "metric"),
    ]


def test_metrics_with_other_labels_and_other_steps_are_kept() -> None:
    log = log_of(
        metric("m", 1, shop="a"),
        metric("m", 2, shop="b"),
        step("s", "running"),
        step("t", "running"),
    )

    assert len(thin(log, 0, skip=True)) == 4


def test_deltas_are_merged_over_what_is_skipped_between_them() -> None:
    log = log_of(delta("a"), progress(1), delta("b"), progress(2))

    assert shown(thin(log, 0, skip=True)) == [(1, 3, "text.delta"), (None, 4, "job.progress")]


def test_a_merged_delta_has_an_end() -> None:
    thinned = thin(log_of(*[delta("x" * (MERGED_BYTES // 20))] * 50), 0, skip=False)

    assert len(thinned) > 2
    assert all(len(each.event.json) <= MERGED_BYTES for each in thinned)


DRAFTS = st.one_of(
    st.builds(delta, st.text(max_size=4), st.sampled_from("ab")),
    st.builds(delta, st.text(max_size=4), st.sampled_from("ab")),
    st.builds(thought, st.text(max_size=4), st.sampled_from("ab")),
    st.builds(reset, st.sampled_from("ab")),
    st.builds(progress, st.integers(0, 100)),
    st.builds(metric, st.sampled_from("mn"), st.integers(0, 9)),
    st.builds(step, st.sampled_from("st"), st.sampled_from(["running", "completed"])),
    st.builds(said),
    st.builds(started, st.integers(1, 3)),
)


@given(
    st.lists(DRAFTS, max_size=40),
    st.lists(st.tuples(st.integers(1, 12), st.sampled_from([None, False, True]))),
)
def test_a_reader_who_is_thinned_at_any_level_ends_with_the_same(
    drafts: list[Draft], batches: list[tuple[int, bool | None]]
) -> None:
    log = log_of(*drafts, completed())
    given_events: list[Thinned] = []
    after = 0
    for size, skip in [*batches, (len(log), True)]:
        batch = log[after : after + size]
        whole = [Thinned(event) for event in batch]
        given_events += whole if skip is None else thin(batch, after, skip=skip)
        after = min(len(log), after + size)

    assert_tiled(given_events, len(log))
    assert given_events[-1].event == log[-1]
    assert folded([each.event for each in given_events]) == folded(log)


def assert_tiled(given_events: list[Thinned], last: int) -> None:
    """Each seq is covered once, in order."""
    position = 0
    for each in given_events:
        begins = each.event.seq if each.since is None else each.since
        assert begins == position + 1
        assert each.since is None or each.since < each.event.seq
        position = each.event.seq
    assert position == last


def folded(events: list[Event]) -> dict[str, Any]:
    """What is known after the events; order of first appearance aside where clients sort."""
    state = Snapshot(JOB, blank("t", "2024-01-01T00:00:00.000Z"))
    thoughts: dict[str, str] = {}
    for event in events:
        state.apply(event)
        if event.type == "reasoning.delta":
            item = event.data["item"]
            thoughts[item] = thoughts.get(item, "") + event.data["text"]
    found = {**state.public(), "thoughts": thoughts}
    for name in ("started_at", "finished_at"):
        found.pop(name)
    for name, key in (("steps", "id"), ("metrics", "name")):
        found[name] = sorted(found[name], key=lambda each: each[key])
    return found
