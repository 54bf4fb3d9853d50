"""The read loop: catch up, live, end; gaps, filters, many logs."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from streaming.concurrency.waking import Waker, make_waker
from streaming.storage.base import EventLog
from streaming.storage.memory import MemoryLog, MemoryStorage
from streaming.storage.rows import Page
from streaming.storage.snapshots import Snapshots
from streaming.watching.cursor import Cursor, Delivery
from tests.jobs import completed, delta, ended_job, new_job, said, started
from tests.threads import TIMEOUT_S, Background, eventually


class CountedLog(MemoryLog):
    """Another's log, whose looks are counted."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self.looks = 0

    def page(self, job: str, after: int, limit: int) -> Page:
        self.looks += 1
        return self._log.page(job, after, limit)

    def wait(
        self, positions: Mapping[str, int], timeout: float, waker: Waker | None = None
    ) -> None:
        self._log.wait(positions, timeout, waker)


class Reading:
    """Cursors on a storage."""

    def __init__(self, memory: MemoryStorage, snapshots: Snapshots) -> None:
        self._memory, self._snapshots = memory, snapshots

    def cursor(self, positions: dict[str, int], *types: str, log: EventLog | None = None) -> Cursor:
        return Cursor(
            log or self._memory.log,
            positions,
            snapshot=self._snapshots.public,
            base=self._snapshots.public_base,
            types=types,
        )

    def trim(self, job: str, before: int) -> None:
        base = self._snapshots.state_at(job, before)
        self._memory.log.trim(job, before, base.dump())


@pytest.fixture
def reading(memory: MemoryStorage, snapshots: Snapshots) -> Reading:
    return Reading(memory, snapshots)


def shown(deliveries: list[Delivery]) -> list[tuple[str, int]]:
    """Type and position of each."""
    return [(delivery.type, delivery.position) for delivery in deliveries]


def positions(deliveries: list[Delivery]) -> list[int]:
    return [delivery.position for delivery in deliveries]


def job_of(memory: MemoryStorage, events: int) -> str:
    """A job of so many events."""
    job = new_job(memory)
    memory.log.append(job, [delta(str(n)) for n in range(2, events + 1)])
    return job


def test_a_reader_from_the_start_gets_the_whole_log(
    memory: MemoryStorage, reading: Reading
) -> None:
    job = job_of(memory, 4)
    cursor = reading.cursor({job: 0})

    assert positions(cursor.read(0)) == [1, 2, 3, 4]
    assert cursor.read(0) == []
    assert cursor.positions == {job: 4}


def test_a_reader_with_a_position_gets_the_rest(memory: MemoryStorage, reading: Reading) -> None:
    job = job_of(memory, 6)

    assert positions(reading.cursor({job: 4}).read(0)) == [5, 6]


def test_a_read_gives_no_more_than_its_limit(memory: MemoryStorage, reading: Reading) -> None:
    cursor = reading.cursor({job_of(memory, 7): 0})

    assert [positions(cursor.read(0, limit=3)) for _ in range(3)] == [[1, 2, 3], [4, 5, 6], [7]]


def test_a_live_reader_is_given_what_comes(memory: MemoryStorage, reading: Reading) -> None:
    job = job_of(memory, 2)
    cursor = reading.cursor({job: 2})
    reader = Background(lambda: cursor.read(3 * TIMEOUT_S))

    memory.log.append(job, [delta("news")])

    assert positions(reader.result()) == [3]


def test_an_event_is_encoded_once_for_all_readers(memory: MemoryStorage, reading: Reading) -> None:
    job = job_of(memory, 2)

    first, second = (reading.cursor({job: 0}).read(0)[1].json for _ in range(2))

    assert first is second


def test_a_reader_has_ended_when_the_log_is_closed_and_read(
    memory: MemoryStorage, reading: Reading
) -> None:
    job = job_of(memory, 3)
    cursor = reading.cursor({job: 0})
    cursor.read(0)
    assert not cursor.ended

    memory.log.append(job, [delta(), completed()])
    cursor.read(0, limit=1)
    assert not cursor.ended

    assert shown(cursor.read(0, limit=1)) == [("job.completed", 5)]
    assert cursor.ended
    assert cursor.positions == {job: 5}
    assert cursor.read(3 * TIMEOUT_S) == []


def test_a_reader_has_caught_up_when_a_read_has_left_nothing_in_any_log(
    memory: MemoryStorage, reading: Reading
) -> None:
    longer = job_of(memory, 5)
    cursor = reading.cursor({longer: 0, job_of(memory, 1): 0})
    states = [cursor.caught_up]
    for _ in range(3):
        cursor.read(0, limit=2)
        states.append(cursor.caught_up)
    memory.log.append(longer, [delta(str(n)) for n in range(3)])
    for _ in range(2):
        cursor.read(0, limit=2)
        states.append(cursor.caught_up)

    assert states == [False, False, False, True, False, True]


def test_only_a_reader_that_may_have_missed_something_looks_before_it_waits(
    memory: MemoryStorage, reading: Reading
) -> None:
    log, job = CountedLog(memory.log), job_of(memory, 2)
    cursor = reading.cursor({job: 0}, log=log)
    looks = []
    for events in (0, 1, 0):
        memory.log.append(job, [delta()] * events)
        cursor.read(0.001)
        looks.append(log.looks)

    assert looks == [1, 2, 3]


def test_a_reader_at_the_end_of_a_closed_log_ends_at_once(
    memory: MemoryStorage, reading: Reading
) -> None:
    cursor = reading.cursor({ended_job(memory): 2})

    assert cursor.read(3 * TIMEOUT_S) == []
    assert cursor.ended


def test_a_filter_passes_what_is_wanted_and_the_end(
    memory: MemoryStorage, reading: Reading
) -> None:
    job = new_job(memory)
    memory.log.append(job, [started(), delta(), said(), delta(), completed()])

    found = reading.cursor({job: 0}, "log").read(0)

    assert shown(found) == [("log", 4), ("job.completed", 6)]
    assert all("from" not in found[n].event.envelope for n in range(2) if found[n].event)


def test_a_filter_moves_the_position_over_what_it_keeps_back(
    memory: MemoryStorage, reading: Reading
) -> None:
    job = job_of(memory, 5)
    cursor = reading.cursor({job: 0}, "log")

    assert cursor.read(0) == []
    assert cursor.positions == {job: 5}


def test_a_filtered_read_gives_the_next_event_that_passes(
    memory: MemoryStorage, reading: Reading
) -> None:
    job = job_of(memory, 2)
    cursor = reading.cursor({job: 2}, "log")
    reader = Background(lambda: cursor.read(3 * TIMEOUT_S))

    memory.log.append(job, [delta("kept back")])

    memory.log.append(job, [said()])
    assert shown(reader.result() or cursor.read(0)) == [("log", 4)]


def test_a_filter_passes_gap_and_snapshot(memory: MemoryStorage, reading: Reading) -> None:
    job = job_of(memory, 5)
    reading.trim(job, 3)

    found = reading.cursor({job: 0}, "log").read(0)

    assert shown(found) == [("stream.gap", 3), ("stream.snapshot", 3)]


def test_a_reader_behind_the_base_gets_gap_and_snapshot_and_goes_on(
    memory: MemoryStorage, reading: Reading
) -> None:
    job = job_of(memory, 6)
    reading.trim(job, 4)
    cursor = reading.cursor({job: 2})

    gap, snapshot = cursor.read(0)

    assert (gap.type, gap.data) == ("stream.gap", {"from": 3, "to": 4})
    assert snapshot.type == "stream.snapshot"
    assert snapshot.data is not None
    assert (snapshot.data["seq"], snapshot.data["job"]["text"]) == (4, "234")
    memory.log.append(job, [delta("news")])
    assert positions(cursor.read(0)) == [5, 6, 7]


def test_a_reader_at_the_base_misses_nothing(memory: MemoryStorage, reading: Reading) -> None:
    job = job_of(memory, 6)
    reading.trim(job, 4)

    assert positions(reading.cursor({job: 4}).read(0)) == [5, 6]


def test_a_reader_who_is_trimmed_away_under_way_is_told(
    memory: MemoryStorage, reading: Reading
) -> None:
    job = job_of(memory, 9)
    cursor = reading.cursor({job: 0})
    cursor.read(0, limit=2)

    reading.trim(job, 5)

    gap, snapshot = cursor.read(0, limit=2)
    assert gap.data == {"from": 3, "to": 5}
    assert snapshot.position == 5


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_a_reader_ahead_of_the_log_gets_gap_and_snapshot_at_once(
    memory: MemoryStorage, reading: Reading, closed: bool
) -> None:
    job = job_of(memory, 3)
    if closed:
        memory.log.append(job, [completed()])
    last = 4 if closed else 3
    cursor = reading.cursor({job: 99})

    gap, snapshot = cursor.read(3 * TIMEOUT_S)

    assert (gap.type, gap.data) == ("stream.gap", {"from": last + 1, "to": 99})
    assert (snapshot.type, snapshot.position) == ("stream.snapshot", last)
    assert cursor.positions == {job: last}
    assert cursor.read(0) == []
    assert cursor.ended == closed


def test_a_reader_who_was_ahead_goes_on_behind_the_snapshot(
    memory: MemoryStorage, reading: Reading
) -> None:
    job = job_of(memory, 3)
    cursor = reading.cursor({job: 4})
    cursor.read(0)

    memory.log.append(job, [delta("news")])

    assert positions(cursor.read(0)) == [4]


def test_a_snapshot_on_demand_moves_the_reader_behind_it(
    memory: MemoryStorage, reading: Reading
) -> None:
    job = job_of(memory, 3)
    cursor = reading.cursor({job: 0})

    assert cursor.snapshot(job).position == 3
    memory.log.append(job, [delta()])
    assert positions(cursor.read(0)) == [4]


def test_a_waker_ends_a_read_with_nothing(memory: MemoryStorage, reading: Reading) -> None:
    cursor, wakers = reading.cursor({job_of(memory, 2): 2}), []

    def read() -> list[Delivery]:
        wakers.append(make_waker())
        return cursor.read(3 * TIMEOUT_S, wakers[0])

    reader = Background(read)
    eventually(lambda: wakers)[0].wake()

    assert reader.result() == []


def test_a_reader_of_many_logs_gets_each_of_them(memory: MemoryStorage, reading: Reading) -> None:
    first, second = job_of(memory, 3), job_of(memory, 5)
    cursor = reading.cursor({first: 1, second: 4})

    found = cursor.read(0)

    assert [(each.job, each.position) for each in found] == [(first, 2), (first, 3), (second, 5)]
    assert cursor.positions == {first: 3, second: 5}


def test_a_reader_of_many_logs_ends_with_the_last_of_them(
    memory: MemoryStorage, reading: Reading
) -> None:
    ended, other = ended_job(memory), job_of(memory, 2)
    cursor = reading.cursor({ended: 0, other: 2})
    cursor.read(0)
    assert not cursor.ended

    memory.log.append(other, [completed()])
    cursor.read(0)

    assert cursor.ended
    assert cursor.positions == {ended: 2, other: 3}


def test_the_only_job_is_the_one_whose_log_alone_goes_on(
    memory: MemoryStorage, reading: Reading
) -> None:
    ended, other = ended_job(memory), job_of(memory, 2)
    cursor = reading.cursor({ended: 0, other: 2})
    assert cursor.only_job is None

    cursor.read(0)
    assert cursor.only_job == other

    memory.log.append(other, [completed()])
    cursor.read(0)
    assert cursor.only_job is None


def test_a_busy_log_does_not_keep_a_reader_from_the_others(
    memory: MemoryStorage, reading: Reading
) -> None:
    busy, quiet = job_of(memory, 2000), job_of(memory, 2)

    found = reading.cursor({busy: 0, quiet: 0}).read(0)

    assert {each.job for each in found} == {busy, quiet}
    assert len(found) < 2000


def test_a_deleted_job_ends_for_its_reader_and_others_go_on(
    memory: MemoryStorage, reading: Reading
) -> None:
    deleted, other = job_of(memory, 2), job_of(memory, 2)
    cursor = reading.cursor({deleted: 2, other: 2})
    reader = Background(lambda: cursor.read(3 * TIMEOUT_S))

    memory.index.remove(deleted, tombstone=False)
    memory.log.append(other, [delta()])
    found = reader.result() or cursor.read(0)

    assert [(each.job, each.position) for each in found] == [(other, 3)]
    assert not cursor.ended


def test_a_reader_whose_only_job_is_deleted_has_ended(
    memory: MemoryStorage, reading: Reading
) -> None:
    job = job_of(memory, 2)
    cursor = reading.cursor({job: 2})
    reader = Background(lambda: cursor.read(3 * TIMEOUT_S))

    memory.index.remove(job, tombstone=True)

    assert reader.result() == []
    assert cursor.ended


def test_a_log_that_is_followed_later_is_read_too(memory: MemoryStorage, reading: Reading) -> None:
    first, second = job_of(memory, 2), job_of(memory, 3)
    cursor = reading.cursor({first: 2})

    cursor.follow(second, 1, ["text.delta"])

    assert [(each.job, each.position) for each in cursor.read(0)] == [(second, 2), (second, 3)]


def test_a_log_that_is_not_followed_any_more_is_not_read(
    memory: MemoryStorage, reading: Reading
) -> None:
    job = job_of(memory, 2)
    cursor = reading.cursor({job: 0})

    cursor.unfollow(job)
    cursor.unfollow("job_unknown")

    assert cursor.read(0) == []
    assert cursor.positions == {}
