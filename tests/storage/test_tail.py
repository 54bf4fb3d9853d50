"""What is kept in memory of each log: bounded, shared, and never of a removed job."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from streaming.concurrency.waking import make_waker
from streaming.errors import Closed, NotFound, Unavailable
from streaming.events.event import Event
from streaming.storage.rows import JobRow, first_row, follow
from streaming.storage.sqlite import SqliteStorage
from streaming.storage.tail import CLOSED_TAILS, TAIL_BYTES, TAIL_EVENTS, Tail, Tails
from tests.jobs import completed, delta, ended_job, events_of, new_job, seqs, submission
from tests.storage.conftest import make_sqlite


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[SqliteStorage]:
    opened = make_sqlite(tmp_path)
    opened.open(timeout=1)
    yield opened
    opened.close()


def tail_of(storage: SqliteStorage, job: str) -> Tail:
    return storage.database.tails.get(job)


def test_a_bounded_number_of_events_is_kept(storage: SqliteStorage) -> None:
    job = new_job(storage)

    for _ in range(10):
        storage.log.append(job, [delta("x") for _ in range(100)])

    assert len(kept(tail_of(storage, job))) <= 2 * TAIL_EVENTS
    assert seqs(events_of(storage, job)) == list(range(1, 1002))


def test_a_bounded_number_of_bytes_is_kept(storage: SqliteStorage) -> None:
    job = new_job(storage)

    for _ in range(50):
        storage.log.append(job, [delta("x" * 10_000)])

    size = sum(len(event.json) for event in in_memory(tail_of(storage, job)))
    assert size <= TAIL_BYTES + 11_000
    assert seqs(events_of(storage, job)) == list(range(1, 52))


def test_a_page_that_was_given_out_is_not_changed_by_what_follows(storage: SqliteStorage) -> None:
    job = new_job(storage)
    storage.log.append(job, [delta(str(n)) for n in range(50)])
    page = storage.log.page(job, 0, 500)
    before = list(page.events)

    storage.log.append(job, [delta("later") for _ in range(500)])

    assert list(page.events) == before


def test_a_tail_that_was_loaded_before_its_events_are_published_does_not_go_back() -> None:
    ahead = first_row(submission())._replace(seq=3)
    tail = Tail(ahead, keep=True)

    tail.publish(ahead._replace(seq=2), [Event.of(ahead.id, 2, delta("a"))])

    assert tail.row == ahead


#: A log of one event.
LOG = first_row(submission())._replace(seq=1)


def empty_tail(*, keep: bool = False) -> Tail:
    return Tail(first_row(submission())._replace(seq=0), keep=keep)


def told(tail: Tail, *numbers: int, text: str = "word ") -> list[Event]:
    """Events of these numbers."""
    return [Event.of(tail.row.id, number, delta(text)) for number in numbers]


def publish(tail: Tail, events: list[Event]) -> None:
    """Each of them by itself."""
    for event in events:
        tail.publish(tail.row._replace(seq=event.seq), [event])


def in_memory(tail: Tail) -> Sequence[Event]:
    """The events for which storage need not be asked."""
    pages = (tail.page(after, tail.row.seq) for after in range(tail.row.seq))
    return next(page.events for page in pages if page is not None)


def kept(tail: Tail) -> list[int]:
    """The numbers of the events that are in memory."""
    return seqs(in_memory(tail))


def test_a_tail_is_cut_when_it_has_twice_the_events_that_it_keeps() -> None:
    tail = empty_tail()

    publish(tail, told(tail, *range(1, 2 * TAIL_EVENTS + 1)))
    assert kept(tail) == list(range(1, 2 * TAIL_EVENTS + 1))

    publish(tail, told(tail, 2 * TAIL_EVENTS + 1))
    assert kept(tail) == list(range(TAIL_EVENTS + 2, 2 * TAIL_EVENTS + 2))


def test_a_tail_of_few_events_is_cut_when_their_bytes_are_too_many() -> None:
    tail = empty_tail()
    [blank] = told(tail, 1, text="")
    half = "x" * (TAIL_BYTES // 2 - len(blank.json))

    publish(tail, told(tail, 1, 2, text=half))
    assert kept(tail) == [1, 2]

    publish(tail, told(tail, 3, text=half))
    assert kept(tail) == [3]


@pytest.mark.parametrize(
    ("row", "waits"),
    [
        (LOG, True),
        (LOG._replace(seq=2), False),
        (LOG._replace(seq=0), False),
        (follow(LOG, [Event.of(LOG.id, 1, completed())]), False),
        (LOG._replace(expired=True), False),
    ],
    ids=["at its end", "behind", "ahead", "closed", "removed"],
)
def test_only_a_reader_at_the_end_of_a_log_that_goes_on_has_to_wait(
    row: JobRow, waits: bool
) -> None:
    tail, waker = Tail(row, keep=True), make_waker()

    assert tail.watch(1, waker) is waits

    tail.wake()
    assert waker.wait(0) is waits


def test_the_newest_event_stays_however_large_it_is() -> None:
    tail = empty_tail()

    publish(tail, told(tail, 1, 2, text="x" * 2 * TAIL_BYTES))

    assert kept(tail) == [2]


def test_events_that_are_told_twice_are_shown_once() -> None:
    tail = empty_tail()

    for numbers in (1, 2), (2, 3), (1, 2, 3), ():
        assert tail.follow(told(tail, *numbers), follow)

    assert kept(tail) == [1, 2, 3]
    assert tail.row.seq == 3


def test_behind_a_hole_nothing_is_shown_until_it_is_filled() -> None:
    tail = empty_tail()
    assert tail.follow(told(tail, 1), follow)

    assert not tail.follow(told(tail, 3, 4), follow)
    assert (kept(tail), tail.row.seq) == ([1], 1)

    assert tail.follow(told(tail, 2, 3, 4), follow)
    assert (kept(tail), tail.row.seq) == ([1, 2, 3, 4], 4)


def test_who_waits_is_woken_by_what_is_new_and_not_by_what_is_told_again() -> None:
    tail, waker = empty_tail(), make_waker()
    tail.follow(told(tail, 1), follow)
    assert tail.watch(1, waker)

    tail.follow(told(tail, 1), follow)
    assert not waker.wait(0)

    tail.follow(told(tail, 2), follow)
    assert waker.wait(0)


def test_a_log_that_was_cut_goes_on_behind_the_cut_and_who_waits_is_woken() -> None:
    tail, waker = empty_tail(), make_waker()
    tail.follow(told(tail, 1, 2, 3), follow)
    assert tail.watch(3, waker)

    tail.restart(tail.row._replace(seq=2))

    assert waker.wait(0)
    assert tail.page(0, 9) is None  # storage has to be asked
    assert tail.follow(told(tail, 3, text="another"), follow)
    assert kept(tail) == [3]


def test_readers_share_one_copy_of_an_event(storage: SqliteStorage) -> None:
    job = new_job(storage)

    first, second = (storage.log.page(job, 0, 9).events[0] for _ in range(2))

    assert first is second


def test_a_bounded_number_of_ended_logs_is_kept(storage: SqliteStorage) -> None:
    tails = storage.database.tails
    with ThreadPoolExecutor(30) as threads:  # they share commits
        jobs = list(threads.map(lambda _: ended_job(storage), range(CLOSED_TAILS + 5)))
    for job in jobs:
        storage.log.page(job, 0, 9)

    assert len(tails.rows()) == CLOSED_TAILS
    assert all(row.closed for row in tails.rows())


def test_who_has_gone_is_remembered_by_no_log(storage: SqliteStorage) -> None:
    job = new_job(storage)
    for _ in range(5):
        storage.log.wait({job: 1}, 0.001, make_waker())

    tail = tail_of(storage, job)
    assert not tail.show(tail.row._replace(seq=2), told(tail, 2)), "nobody is to be woken"


def test_a_job_that_is_removed_while_it_is_loaded_does_not_come_back() -> None:
    rows: dict[str, JobRow] = {}

    def load(job: str) -> JobRow | None:
        row = rows.pop(job, None)  # read by us; removed by another before we have it
        tails.drop(job)
        return row

    row = first_row(submission())
    rows[row.id] = row
    tails = Tails(load)
    tails.drop("job_before")  # it was not the first to be removed

    with pytest.raises(NotFound):
        tails.get(row.id)
    assert tails.find(row.id) is None


def test_the_rows_in_memory_are_those_of_jobs_that_go_on_and_of_ended_ones(
    storage: SqliteStorage,
) -> None:
    jobs = {new_job(storage): "queued", ended_job(storage): "completed"}

    assert {row.id: row.status for row in storage.database.tails.rows()} == jobs


def test_a_file_that_cannot_be_read_is_told_as_storage_away(storage: SqliteStorage) -> None:
    job = new_job(storage)
    storage.log.append(job, [delta("x" * 1000) for _ in range(500)])
    size = storage.path.stat().st_size
    storage.path.with_name("streaming.db-wal").write_bytes(b"")
    storage.path.write_bytes(b"\0" * size)

    with pytest.raises(Unavailable) as refused:
        storage.index.list()

    assert refused.value.code == "storage_away"


def test_a_tail_that_somebody_holds_is_not_let_go() -> None:
    row = first_row(submission())
    tails = Tails({row.id: row}.get)
    held = tails.get(row.id)

    assert not tails.let_go(row.id)
    assert tails.get(row.id) is held

    del held
    assert tails.let_go(row.id)
    assert tails.find(row.id) is None
    assert tails.let_go(row.id)  # there is none any more


ENDED = follow(LOG, [Event.of(LOG.id, 1, completed())])


@pytest.mark.parametrize("row", [LOG, ENDED], ids=["goes on", "ended"])
def test_a_tail_that_is_there_stays_the_one_of_its_log(row: JobRow) -> None:
    tails = Tails({}.get)
    tail = tails.add(row)

    assert tails.add(row) is tail
    assert tails.find(row.id) is tail
    assert tails.get(row.id) is tail


def test_of_ended_logs_those_stay_that_were_used_last() -> None:
    tails = Tails({}.get)
    first, second, *_ = ended = [ENDED._replace(id=f"job_{n}") for n in range(CLOSED_TAILS)]
    for row in ended:
        tails.add(row)

    tails.get(first.id)
    tails.add(ENDED)

    assert tails.find(second.id) is None
    assert tails.find(first.id) is not None
    assert len(tails.closed()) == CLOSED_TAILS


def test_who_holds_the_tail_of_a_removed_job_sees_that_it_is_gone_and_is_woken() -> None:
    tails, waker = Tails({}.get), make_waker()
    tail = tails.add(LOG)
    tail.watch(1, waker)

    tails.drop(LOG.id)

    assert tail.row.expired
    assert waker.wait(0)


def test_a_reader_ahead_of_its_log_gets_an_empty_page_and_no_look_into_storage() -> None:
    page = Tail(LOG, keep=False).page(LOG.seq + 1, 9)

    assert page is not None
    assert (page.events, page.last) == ((), LOG.seq)


def test_closed_tails_refuse_and_wake_who_waits() -> None:
    tails, waker = Tails({}.get), make_waker()
    tails.add(LOG).watch(1, waker)

    tails.close()

    assert waker.wait(0)
    with pytest.raises(Closed):
        tails.find(LOG.id)
