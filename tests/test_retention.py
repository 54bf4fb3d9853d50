"""Retention: by age, by count, by size; tombstones, bases and old uploads."""

from __future__ import annotations

import time

from streaming.jobs.retention import FILES_S, Retention
from streaming.storage.base import Storage
from streaming.storage.memory import MemoryStorage
from streaming.storage.snapshots import Snapshots
from streaming.watching.cursor import Cursor
from tests.clocks import Clock
from tests.jobs import artifact, completed, delta, ended_job, events_of, new_job, seqs
from tests.threads import eventually


class Keeper:
    """A storage and its retention, with a clock that is moved by hand."""

    def __init__(self, storage: Storage, *, events: int = 1000, size: int = 1 << 30) -> None:
        self.storage = storage
        self.clock = Clock(time.time())
        self.snapshots = Snapshots(storage.log, storage.index)
        self.retention = Retention(
            storage,
            self.snapshots,
            forget=self.forget,
            retention_s=1000.0,
            events=events,
            size=size,
            now=self.clock,
        )

    def forget(self, job: str) -> None:
        self.storage.index.remove(job, tombstone=True)
        self.storage.blobs.delete(job)
        self.snapshots.drop(job)

    def sweep(self, after_s: float = 0) -> None:
        self.clock.advance(after_s)
        self.retention.sweep()

    def kept(self) -> list[str]:
        """Jobs that are there, the oldest first."""
        return [row.id for row in self.storage.index.list()][::-1]


def large_job(storage: Storage, *, ended: bool, size: int = 10_000) -> str:
    """A job of about so many bytes, in ten events."""
    job = new_job(storage, ttl_s=1000)
    for _ in range(10):
        storage.log.append(job, [delta("x" * (size // 10))])
    if ended:
        storage.log.append(job, [completed()])
    return job


def test_a_job_is_kept_for_its_time_and_leaves_a_tombstone(memory: MemoryStorage) -> None:
    keeper = Keeper(memory)
    soon, late, goes_on = ended_job(memory, ttl_s=10), ended_job(memory, ttl_s=99), new_job(memory)

    keeper.sweep(after_s=5)
    assert keeper.kept() == [soon, late, goes_on]
    keeper.sweep(after_s=50)

    assert keeper.kept() == [late, goes_on]
    row = memory.index.get(soon)
    assert row is not None
    assert row.expired


def test_a_job_that_goes_on_is_never_too_old(memory: MemoryStorage) -> None:
    keeper = Keeper(memory)
    job = new_job(memory, ttl_s=0)

    keeper.sweep(after_s=1e9)

    assert keeper.kept() == [job]


def test_a_tombstone_goes_when_it_has_lasted(memory: MemoryStorage) -> None:
    keeper = Keeper(memory)
    job = ended_job(memory, ttl_s=10)
    keeper.sweep(after_s=50)

    keeper.sweep(after_s=86_000)
    assert memory.index.get(job) is not None
    keeper.sweep(after_s=1000)

    assert memory.index.get(job) is None


def test_an_expired_job_takes_its_artifacts_along(memory: MemoryStorage) -> None:
    keeper = Keeper(memory)
    job = ended_job(memory, ttl_s=10)
    memory.blobs.put(f"{job}/a", [b"x"])

    keeper.sweep(after_s=50)

    assert list(memory.blobs.folders(job)) == []


def test_a_long_log_keeps_its_newest_events_and_the_fold_of_the_others(
    memory: MemoryStorage,
) -> None:
    keeper = Keeper(memory, events=20)
    job = new_job(memory)
    memory.log.append(job, [delta(f"{n} ") for n in range(50)])
    before = keeper.snapshots.public(job)

    keeper.sweep()

    page = memory.log.page(job, 0, 500)
    assert (seqs(page.events), page.base) == (list(range(32, 52)), 31)
    assert Snapshots(memory.log, memory.index).public(job) == before


def test_a_log_that_grows_is_trimmed_again(memory: MemoryStorage) -> None:
    keeper = Keeper(memory, events=10)
    job = new_job(memory)

    for _ in range(20):
        memory.log.append(job, [delta("ab") for _ in range(7)])
        keeper.sweep()

    assert len(events_of(memory, job, after=memory.log.page(job, 0, 1).base)) == 10
    assert Snapshots(memory.log, memory.index).public(job)["text"] == "ab" * 140


def test_a_reader_behind_what_is_kept_is_told(memory: MemoryStorage) -> None:
    keeper = Keeper(memory, events=10)
    job = new_job(memory)
    memory.log.append(job, [delta("x") for _ in range(30)])
    folds = keeper.snapshots
    cursor = Cursor(memory.log, {job: 5}, snapshot=folds.public, base=folds.public_base)

    keeper.sweep()

    gap, snapshot = cursor.read(0)
    assert gap.data == {"from": 6, "to": 21}
    assert snapshot.data is not None
    assert snapshot.data["job"]["text"] == "x" * 20
    assert len(cursor.read(0)) == 10


def test_under_size_pressure_the_oldest_ended_jobs_go_first(memory: MemoryStorage) -> None:
    keeper = Keeper(memory, size=50_000)
    jobs = [large_job(memory, ended=True) for _ in range(6)]
    goes_on = large_job(memory, ended=False)

    keeper.sweep()

    kept = keeper.kept()
    assert memory.size() <= 50_000
    assert kept[-1] == goes_on
    assert kept == [*jobs, goes_on][-len(kept) :]
    assert len(kept) >= 3


def test_then_the_heads_of_the_largest_logs(memory: MemoryStorage) -> None:
    keeper = Keeper(memory, size=80_000)
    small, large = (
        large_job(memory, ended=False, size=9_000),
        large_job(memory, ended=False, size=90_000),
    )
    before = keeper.snapshots.public(large)

    keeper.sweep()

    assert memory.size() <= 80_000
    assert memory.log.page(small, 0, 1).base == 0
    assert memory.log.page(large, 0, 1).base > 0
    assert keeper.snapshots.public(large) == before


def test_a_size_that_is_reached_is_not_reached_again_at_once(memory: MemoryStorage) -> None:
    for _ in range(40):
        large_job(memory, ended=True, size=1000)
    reached = memory.size() - 1
    keeper = Keeper(memory, size=reached)

    keeper.sweep()

    assert 0.8 * reached < memory.size() <= 0.9 * reached


def test_within_the_size_nothing_is_removed(memory: MemoryStorage) -> None:
    keeper = Keeper(memory, size=200_000)
    jobs = [large_job(memory, ended=True) for _ in range(6)]

    keeper.sweep()

    assert keeper.kept() == jobs
    assert all(memory.log.page(job, 0, 1).base == 0 for job in jobs)


def test_artifacts_count_for_the_size(memory: MemoryStorage) -> None:
    keeper = Keeper(memory, size=100_000)
    old = new_job(memory)
    memory.log.append(old, [artifact("a", size=200_000), completed()])
    new = ended_job(memory)

    keeper.sweep()

    assert keeper.kept() == [new]


def test_tombstones_do_not_grow_older_under_size_pressure(memory: MemoryStorage) -> None:
    keeper = Keeper(memory, size=1000)
    job = ended_job(memory)
    keeper.forget(job)
    before = memory.index.get(job)
    large_job(memory, ended=False)

    keeper.sweep(after_s=10)

    assert memory.index.get(job) == before


def test_old_uploads_are_dropped(memory: MemoryStorage) -> None:
    keeper = Keeper(memory)
    memory.blobs.put("file_a/content", [b"x"])
    keeper.sweep(after_s=500)
    assert [folder.name for folder in memory.blobs.folders("file_")] == ["file_a"]

    keeper.sweep(after_s=501 + FILES_S)

    assert list(memory.blobs.folders("file_")) == []


def test_too_many_uploads_are_dropped_the_oldest_first(memory: MemoryStorage) -> None:
    keeper = Keeper(memory, size=2500)
    for name in ("file_b", "file_a", "file_c"):
        memory.blobs.put(f"{name}/content", [b"x" * 1000])

    keeper.sweep()

    assert sorted(folder.name for folder in memory.blobs.folders("file_")) == ["file_a", "file_c"]


def test_artifacts_of_no_job_are_dropped(memory: MemoryStorage) -> None:
    keeper = Keeper(memory)
    job = new_job(memory)
    for folder in (job, "job_unknown"):
        memory.blobs.put(f"{folder}/a", [b"x"])

    keeper.sweep()

    assert [folder.name for folder in memory.blobs.folders("job_")] == [job]


def test_it_sweeps_by_itself(memory: MemoryStorage) -> None:
    keeper = Keeper(memory)
    job = ended_job(memory, ttl_s=10)
    keeper.clock.advance(50)

    keeper.retention.loop.start()

    eventually(lambda: job not in keeper.kept())
    keeper.retention.loop.stop()


def test_every_storage_is_kept_within_its_limits(storage: Storage) -> None:
    keeper = Keeper(storage, events=8, size=60_000)
    for number in range(12):
        large_job(storage, ended=number % 3 == 0)

    for _ in range(6):
        keeper.sweep()

    assert storage.size() <= 60_000
    assert storage.size() == sum(row.size for row in storage.index.list())
    for row in storage.index.list():
        assert row.seq - row.base <= 8
        assert len(Snapshots(storage.log, storage.index).public(row.id)["text"]) == 10_000
