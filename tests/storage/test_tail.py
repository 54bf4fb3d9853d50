"""The tail: what readers of a process share."""

from __future__ import annotations

from dataclasses import replace

from streaming.events import Draft, Event
from streaming.storage.base import JobRow
from streaming.storage.tail import Tail
from streaming.summary import blank

ROW = JobRow("job_a", "me", blank("writing", "2026-01-01T00:00:00.000Z"))


def event(seq: int) -> Event:
    return Event.of("job_a", seq, Draft("text.delta", {"item": "answer", "text": str(seq)}))


def test_a_tail_that_was_loaded_after_a_commit_does_not_go_back_when_it_is_published() -> None:
    tail = Tail(replace(ROW, seq=7), keep=False)

    tail.publish(replace(ROW, seq=6), [event(6)])

    assert tail.row.seq == 7
    page = tail.page(7, 10)
    assert page is not None
    assert (page.events, page.last) == ((), 7)


def test_what_is_published_late_is_given_once_and_in_order() -> None:
    tail = Tail(replace(ROW, seq=7), keep=False)
    tail.publish(replace(ROW, seq=6), [event(6)])
    tail.publish(replace(ROW, seq=7), [event(7)])

    page = tail.page(5, 10)

    assert page is not None
    assert [each.seq for each in page.events] == [6, 7]
