"""What `EventLog.read`, `page` and `wait` promise, for every storage."""

from __future__ import annotations

import itertools
import threading
import time

import pytest

from streaming.concurrency.waking import Waker, make_waker
from streaming.errors import NotFound
from streaming.storage.base import Storage
from streaming.storage.rows import PAGE_BYTES, Page
from tests.jobs import completed, delta, ended_job, events_of, new_job, seqs
from tests.threads import TIMEOUT_S, Background, eventually, together

#: Longer than any test waits: a read that should have been woken fails the test.
LONG_S = 3 * TIMEOUT_S


def test_a_page_has_the_events_behind_the_position(storage: Storage) -> None:
    job = new_job(storage)
    storage.log.append(job, [delta() for _ in range(5)])

    page = storage.log.page(job, 2, 500)

    assert seqs(page.events) == [3, 4, 5, 6]
    assert (page.base, page.last, page.closed) == (0, 6, False)


def test_a_page_has_no_more_events_than_its_limit(storage: Storage) -> None:
    job = new_job(storage)
    storage.log.append(job, [delta() for _ in range(9)])

    page = storage.log.page(job, 3, 4)

    assert seqs(page.events) == [4, 5, 6, 7]
    assert page.last == 10


@pytest.mark.parametrize("age", ["fresh", "old"])
def test_a_page_has_no_more_bytes_than_its_limit_but_one_event(storage: Storage, age: str) -> None:
    job = new_job(storage)
    sizes = [PAGE_BYTES // 3, PAGE_BYTES // 3, PAGE_BYTES // 2, 2 * PAGE_BYTES, 10]
    storage.log.append(job, [delta("x" * size) for size in sizes])
    if age == "old":  # pushed out of what is kept in memory
        storage.log.append(job, [delta() for _ in range(300)])

    assert seqs(storage.log.page(job, 1, 500).events) == [2, 3]
    assert seqs(storage.log.page(job, 3, 500).events) == [4]
    assert seqs(storage.log.page(job, 4, 500).events) == [5]


def test_a_long_log_reads_the_same_page_by_page(storage: Storage) -> None:
    job = new_job(storage)
    for start in range(0, 1200, 40):
        storage.log.append(job, [delta(str(n)) for n in range(start, start + 40)])

    events = []
    for limit in itertools.cycle((1, 7, 100, 250)):
        page = storage.log.page(job, len(events) + 1, limit)
        events += page.events
        if not page.events:
            break

    assert [event.data["text"] for event in events] == [str(n) for n in range(1200)]


def test_an_event_never_changes(storage: Storage) -> None:
    job = new_job(storage)
    storage.log.append(job, [delta(str(n)) for n in range(50)])
    before = {event.seq: event.json for event in events_of(storage, job)}

    storage.log.append(job, [delta() for _ in range(400)])  # the first now come from elsewhere

    assert {event.seq: event.json for event in events_of(storage, job)[:51]} == before


def test_a_closed_log_says_so_on_every_page(storage: Storage) -> None:
    job = ended_job(storage)

    assert storage.log.page(job, 0, 1) == Page(storage.log.page(job, 0, 1).events, 0, 2, True)
    assert storage.log.page(job, 2, 1) == Page((), 0, 2, True)


def test_there_is_no_page_of_an_unknown_job(storage: Storage) -> None:
    with pytest.raises(NotFound):
        storage.log.page("job_unknown", 0, 10)
    with pytest.raises(NotFound):
        storage.log.read("job_unknown", 0, timeout=LONG_S)


def test_a_read_returns_at_once_where_there_are_events(storage: Storage) -> None:
    job = new_job(storage)

    assert seqs(storage.log.read(job, 0, timeout=LONG_S).events) == [1]


def test_a_read_returns_at_once_from_a_closed_log(storage: Storage) -> None:
    job = ended_job(storage)

    page = storage.log.read(job, 2, timeout=LONG_S)

    assert (list(page.events), page.closed) == ([], True)


def test_a_read_ahead_of_the_log_returns_at_once(storage: Storage) -> None:
    job = new_job(storage)

    page = storage.log.read(job, 99, timeout=LONG_S)

    assert (list(page.events), page.last) == ([], 1)


def test_a_read_behind_the_base_returns_at_once(storage: Storage) -> None:
    job = new_job(storage)
    storage.log.append(job, [delta()])
    storage.log.trim(job, 2, b"{}")

    page = storage.log.read(job, 1, timeout=LONG_S)

    assert (list(page.events), page.base, page.last) == ([], 2, 2)


def test_a_read_with_nothing_to_read_takes_its_time_and_is_empty(storage: Storage) -> None:
    job = new_job(storage)
    began = time.monotonic()

    page = storage.log.read(job, 1, timeout=0.05)

    assert time.monotonic() - began >= 0.045
    assert (list(page.events), page.closed) == ([], False)


def test_a_waiting_read_is_woken_by_an_append(storage: Storage) -> None:
    job = new_job(storage)
    reader = waiting_reader(storage, job)

    storage.log.append(job, [delta("news")])

    assert [event.data["text"] for event in reader.result().events] == ["news"]


def test_an_append_of_nothing_wakes_nobody(storage: Storage) -> None:
    job = new_job(storage)
    reader = waiting_reader(storage, job)

    storage.log.append(job, [], records={"checkpoint:": b"1"})

    assert not reader.ends_within(0.03)
    storage.log.append(job, [delta("news")])
    assert [event.data["text"] for event in reader.result().events] == ["news"]


def test_a_waiting_read_is_woken_by_the_end(storage: Storage) -> None:
    job = new_job(storage)
    reader = waiting_reader(storage, job)

    storage.log.append(job, [completed()])

    assert reader.result().closed


@pytest.mark.parametrize("tombstone", [True, False], ids=["expired", "deleted"])
def test_a_waiting_read_ends_when_the_job_is_removed(storage: Storage, tombstone: bool) -> None:
    job = new_job(storage)
    reader = waiting_reader(storage, job)

    storage.index.remove(job, tombstone=tombstone)

    with pytest.raises(NotFound):
        reader.result()


def test_a_waker_ends_a_waiting_read(storage: Storage) -> None:
    job, wakers = new_job(storage), []

    def read() -> Page:
        wakers.append(make_waker())
        return storage.log.read(job, 1, timeout=LONG_S, waker=wakers[0])

    reader = Background(read)
    eventually(lambda: wakers)[0].wake()

    assert list(reader.result().events) == []


def test_a_wake_before_the_read_counts(storage: Storage) -> None:
    job = new_job(storage)

    def read() -> Page:
        waker: Waker = make_waker()
        waker.wake()
        return storage.log.read(job, 1, timeout=LONG_S, waker=waker)

    assert list(Background(read).result().events) == []


def test_no_wake_up_is_lost_between_looking_and_waiting(storage: Storage) -> None:
    job, rounds = new_job(storage), 150
    given = threading.Semaphore(0)

    def read() -> None:
        for seq in range(2, rounds + 2):  # each append comes while the read begins
            given.release()
            assert seqs(storage.log.read(job, seq - 1, timeout=LONG_S).events) == [seq]

    reader = Background(read)
    for _ in range(rounds):
        assert given.acquire(timeout=TIMEOUT_S)
        storage.log.append(job, [delta()])

    reader.result()


def test_all_of_many_readers_get_all_in_a_storm_of_appends(storage: Storage) -> None:
    job = new_job(storage)

    def read() -> list[int]:
        found: list[int] = []
        page = None
        while page is None or not (page.closed and len(found) == page.last):
            page = storage.log.read(job, len(found), limit=7, timeout=LONG_S)
            found += seqs(page.events)
        return found

    readers = [Background(read) for _ in range(12)]
    together([lambda: [storage.log.append(job, [delta()]) for _ in range(50)]] * 2)
    storage.log.append(job, [completed()])

    assert all(reader.result() == list(range(1, 103)) for reader in readers)


def test_a_wait_on_many_logs_ends_when_one_of_them_moves(storage: Storage) -> None:
    jobs = [new_job(storage) for _ in range(5)]
    waiting = Background(lambda: storage.log.wait(dict.fromkeys(jobs, 1), LONG_S))

    storage.log.append(jobs[3], [delta()])

    waiting.result()


def test_a_wait_ends_at_once_when_a_log_has_moved_before(storage: Storage) -> None:
    quiet, moved = new_job(storage), new_job(storage)
    storage.log.append(moved, [delta()])

    Background(lambda: storage.log.wait({quiet: 1, moved: 1}, LONG_S)).result()


def test_a_wait_on_an_unknown_log_is_refused(storage: Storage) -> None:
    with pytest.raises(NotFound):
        storage.log.wait({new_job(storage): 1, "job_unknown": 0}, LONG_S)


def test_a_wait_that_is_over_leaves_nothing_behind(storage: Storage) -> None:
    job = new_job(storage)
    waker = make_waker()
    storage.log.wait({job: 1}, 0.001, waker)

    storage.log.append(job, [delta()])

    assert not waker.wait(0), "a wait that was over was woken"


def waiting_reader(storage: Storage, job: str) -> Background[Page]:
    """A read that waits for the second event of a job."""
    begun = threading.Event()

    def read() -> Page:
        begun.set()
        return storage.log.read(job, 1, timeout=LONG_S)

    reader = Background(read)
    assert begun.wait(TIMEOUT_S)
    return reader
