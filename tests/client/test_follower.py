"""What a client does next, step by step, without a network."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streaming.client.errors import ProblemError, ServerAway
from streaming.client.follower import Follower
from streaming.client.steps import LONGEST_S, QUIET_S, SMALL_PAGE, WAIT_S, Ask, Open, Pause
from tests.clocks import Clock

AWAY = ServerAway("http://host", "connection refused")
BUSY = ProblemError(503, {"code": "overloaded", "retryable": True}, 7.0)
GONE = ProblemError(404, {"code": "job_not_found", "retryable": False})


def follower(*jobs: str, clock: Clock | None = None, **options: Any) -> Follower:
    options.setdefault("uniform", lambda low, high: high)
    return Follower(dict.fromkeys(jobs or ("a",), 0), clock=clock or Clock(), **options)


def frame(seq: int, kind: str = "text.delta", job: str = "a") -> bytes:
    event = {"seq": seq, "type": kind, "job": job, "data": {"item": "x", "text": "y"}}
    return f"id: {seq}\ndata: {json.dumps(event)}\n\n".encode()


def page(*events: int, next: int, closed: bool = False) -> dict[str, Any]:
    found = [{"seq": seq, "type": "text.delta", "job": "a", "data": {}} for seq in events]
    return {"events": found, "next": next, "closed": closed, "status": "running"}


def test_a_stream_that_breaks_is_opened_again_behind_the_last_event() -> None:
    plan = follower()
    assert isinstance(plan.next(), Open)
    plan.opened()
    plan.take(frame(1) + frame(2) + frame(3)[:-3])
    plan.closed()

    assert plan.next() == Pause(0.1)
    again = plan.next()
    assert isinstance(again, Open)
    assert again.params["after"] == 2


def test_pauses_double_up_to_the_longest_and_an_event_sets_them_back() -> None:
    plan, pauses = follower(away_s=None), []
    for _ in range(10):
        assert isinstance(plan.next(), Open)
        plan.failed(AWAY)
        assert isinstance(plan.next(), Ask)  # is the server away, or does something refuse streams?
        plan.failed(AWAY)
        pause = plan.next()
        assert isinstance(pause, Pause)
        pauses.append(pause.seconds)
    plan.next()
    plan.opened()
    plan.take(frame(1))
    plan.closed()

    assert pauses[:3] == [0.2, 0.8, 3.2]
    assert pauses[-1] == LONGEST_S
    assert plan.next() == Pause(0.1)


def test_what_the_server_asks_for_is_waited_for() -> None:
    plan = follower()
    plan.next()
    plan.failed(BUSY)

    assert plan.next() == Pause(7.0)


def test_a_refusal_for_good_is_raised_at_once() -> None:
    plan = follower()
    plan.next()

    with pytest.raises(ProblemError):
        plan.failed(GONE)


def test_a_server_that_stays_away_is_given_up() -> None:
    clock = Clock()
    plan = follower(clock=clock, away_s=60)
    plan.next()
    plan.failed(AWAY)
    clock.advance(61)

    plan.next()
    with pytest.raises(ServerAway):
        plan.failed(AWAY)


def test_two_fruitless_streams_lead_to_polls() -> None:
    plan = follower()
    for seq in (1, 2):
        assert isinstance(plan.next(), Open)
        plan.closed()  # its head never came
        look = plan.next()
        assert isinstance(look, Ask)
        assert (look.params["wait"], look.params["limit"]) == (0.0, 1)
        assert [event["seq"] for event in plan.answered(page(seq, next=seq))] == [seq]
        if seq == 1:
            assert isinstance(plan.next(), Pause)

    first = plan.next()
    assert isinstance(first, Ask)
    assert (plan.transport, first.params["wait"], first.params["after"]) == ("poll", 0.0, 2)
    plan.answered(page(3, next=3))
    then = plan.next()
    assert isinstance(then, Ask)
    assert then.params["wait"] == WAIT_S


def test_a_quiet_job_is_no_reason_to_change_but_to_be_more_patient() -> None:
    plan = follower()
    for quiet_s in (QUIET_S, 2 * QUIET_S, 2 * QUIET_S):
        opened = plan.next()
        assert isinstance(opened, Open)
        assert opened.quiet_s == quiet_s
        plan.opened()
        plan.closed()  # no byte came
        assert isinstance(plan.next(), Ask)
        plan.answered(page(next=0))
        assert isinstance(plan.next(), Pause)

    assert plan.transport == "sse"


def test_a_job_that_has_ended_without_a_word_is_over() -> None:
    plan = follower()
    plan.next()
    plan.opened()
    plan.closed()
    plan.next()
    plan.answered(page(next=9, closed=True))

    assert plan.over
    assert plan.next() is None


def test_a_stream_that_the_server_closes_is_no_failure() -> None:
    plan = follower()
    plan.next()
    plan.opened()
    closing = {"type": "stream.closing", "data": {"reason": "rotation", "retry_s": 1.5}}
    found = plan.take(frame(1) + f"data: {json.dumps(closing)}\n\n".encode() + frame(2))
    plan.closed()

    assert [event["seq"] for event in found] == [1]
    assert (plan.leaving, plan.stats.failures) == (True, 0)
    assert plan.next() == Pause(1.5)


def test_after_a_cut_pages_are_small_and_grow() -> None:
    plan = follower(transports=["poll"])
    plan.next()
    plan.failed(AWAY)
    plan.next()
    limits = []
    for seq in range(1, 5):
        asked = plan.next()
        assert isinstance(asked, Ask)
        limits.append(asked.params["limit"])
        plan.answered(page(seq, next=seq))

    assert limits == [SMALL_PAGE, 2 * SMALL_PAGE, 4 * SMALL_PAGE, 8 * SMALL_PAGE]


def test_pages_that_come_empty_and_early_are_not_asked_for_again_at_once() -> None:
    clock = Clock()
    plan = follower(transports=["poll"], clock=clock)
    plan.next()
    plan.answered(page(1, next=1))
    plan.next()
    plan.answered(page(next=1))
    assert plan.next() == Pause(2.0)

    plan.next()
    clock.advance(WAIT_S)
    plan.answered(page(next=1))
    assert isinstance(plan.next(), Ask)


def test_many_jobs_have_their_turns() -> None:
    plan = follower("a", "b", "c", transports=["poll"])
    asked = []
    while len(asked) < 6:
        step = plan.next()
        if isinstance(step, Pause):
            continue
        assert isinstance(step, Ask)
        asked.append(step.path.split("/")[2])
        plan.answered({**page(next=0), "events": [], "closed": len(asked) == 2})

    assert asked == ["a", "b", "c", "a", "c", "a"]


def test_lost_and_repeated_events_are_counted() -> None:
    plan = follower()
    plan.next()
    plan.opened()
    found = plan.take(frame(1) + frame(1) + frame(4))

    assert [event["seq"] for event in found] == [1, 4]
    assert (plan.stats.repeated, plan.stats.lost) == (1, 2)


def test_what_is_no_event_of_ours_breaks_the_stream() -> None:
    plan = follower()
    plan.next()
    plan.opened()

    assert plan.take(b"data: <html>\n\n" + frame(1)) == []
    assert plan.leaving
