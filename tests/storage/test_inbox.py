"""What the inbox of a writing thread promises."""

from __future__ import annotations

import pytest

from streaming.concurrency.inbox import Inbox
from streaming.errors import Unavailable
from tests.threads import Background, eventually


def opened(*items: int) -> Inbox[int]:
    inbox: Inbox[int] = Inbox()
    inbox.open()
    for item in items:
        inbox.give(item)
    return inbox


def test_a_batch_has_what_was_given_in_order_up_to_its_limits() -> None:
    inbox = opened(5, 1, 4, 2)

    assert inbox.take(2) == [5, 1]
    assert inbox.take(9, size=lambda item: item, most_bytes=4) == [4]
    assert inbox.take(9) == [2]
    assert inbox.take(9) == []


def test_what_is_put_back_goes_first() -> None:
    inbox = opened(1, 2, 3)
    batch = inbox.take(2)
    assert batch is not None

    inbox.put_back(batch)

    assert inbox.take(9) == [1, 2, 3]


def test_what_is_removed_is_in_no_batch() -> None:
    inbox = opened(1, 2, 3, 4)
    inbox.put_back(inbox.take(2) or [])

    assert inbox.remove(lambda item: item % 2 == 0) == [2, 4]
    assert inbox.take(9) == [1, 3]


def test_a_closed_inbox_gives_what_it_has_and_takes_nothing() -> None:
    inbox = opened(1)
    inbox.close()

    with pytest.raises(Unavailable) as refused:
        inbox.give(2)
    assert refused.value.code == "draining"
    assert inbox.take(9) == [1]
    assert inbox.take(9) is None


@pytest.mark.parametrize("act", ["give", "close"])
def test_a_thread_that_rests_is_woken(act: str) -> None:
    inbox: Inbox[int] = Inbox()

    def work() -> bool:
        inbox.open()
        return inbox.rest(60)

    resting = Background(work)
    eventually(lambda: inbox.resting)
    inbox.give(1) if act == "give" else inbox.close()

    assert resting.result()


def test_to_rest_with_something_to_do_is_no_rest() -> None:
    assert opened(1).rest(60)
    assert not opened().rest(0.001)


def test_what_is_given_gathers_until_somebody_is_in_a_hurry() -> None:
    inbox: Inbox[int] = Inbox()

    def collect() -> list[int] | None:
        inbox.open()
        inbox.gather(60)
        return inbox.take(9)

    batch = Background(collect)
    inbox.give(1)
    inbox.give(2)
    assert not batch.ends_within(0.1)

    inbox.hurry()

    assert batch.result() == [1, 2]


def test_who_was_in_a_hurry_before_is_not_waited_for() -> None:
    inbox = opened(1)
    inbox.hurry()

    inbox.gather(60)

    assert inbox.take(9) == [1]


def test_nothing_gathers_in_a_closed_inbox() -> None:
    inbox = opened(1)
    inbox.close()

    inbox.gather(60)

    assert inbox.take(9) == [1]
