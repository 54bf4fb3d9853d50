"""What `EventLog.trim` and `base` promise, for every storage."""

from __future__ import annotations

from streaming.storage.base import Storage
from tests.jobs import artifact, completed, delta, events_of, new_job, said, seqs
from tests.threads import TIMEOUT_S, Background


def long_job(storage: Storage, events: int = 10) -> str:
    """A job of so many events."""
    job = new_job(storage)
    storage.log.append(job, [delta(str(n)) for n in range(2, events + 1)])
    return job


def test_a_whole_log_has_no_base(storage: Storage) -> None:
    assert storage.log.base(long_job(storage)) is None


def test_a_trimmed_log_starts_behind_its_base(storage: Storage) -> None:
    job = long_job(storage)

    storage.log.trim(job, 6, b'{"the":"fold"}')

    page = storage.log.page(job, 0, 500)
    assert seqs(page.events) == [7, 8, 9, 10]
    assert (page.base, page.last) == (6, 10)
    assert storage.log.base(job) == b'{"the":"fold"}'


def test_the_row_of_a_trimmed_log_knows_the_base(storage: Storage) -> None:
    job = long_job(storage)

    storage.log.trim(job, 6, b"{}")

    row = storage.index.get(job)
    assert row is not None
    assert (row.base, row.seq) == (6, 10)
    assert storage.index.list() == [row]


def test_a_log_is_trimmed_again_and_keeps_the_newest_base(storage: Storage) -> None:
    job = long_job(storage)

    storage.log.trim(job, 3, b"older")
    storage.log.trim(job, 8, b"newer")

    assert seqs(events_of(storage, job, after=8)) == [9, 10]
    assert storage.log.base(job) == b"newer"


def test_a_trim_that_is_behind_the_base_changes_nothing(storage: Storage) -> None:
    job = long_job(storage)
    storage.log.trim(job, 8, b"newer")

    storage.log.trim(job, 3, b"older")
    storage.log.trim(job, 8, b"the same")

    assert storage.log.page(job, 0, 500).base == 8
    assert storage.log.base(job) == b"newer"


def test_a_trim_ahead_of_the_log_changes_nothing(storage: Storage) -> None:
    job = long_job(storage)

    storage.log.trim(job, 11, b"{}")

    assert storage.log.page(job, 0, 500).base == 0
    assert storage.log.base(job) is None


def test_numbers_go_on_when_all_was_trimmed(storage: Storage) -> None:
    job = long_job(storage)
    storage.log.trim(job, 10, b"{}")

    row = storage.log.append(job, [delta("eleven")])

    assert (row.seq, row.base) == (11, 10)
    assert [event.data["text"] for event in storage.log.page(job, 0, 9).events] == ["eleven"]


def test_records_outlast_a_trim(storage: Storage) -> None:
    job = long_job(storage)
    storage.log.append(job, [said()], records={"step:a": b"1"})

    storage.log.trim(job, 11, b"{}")

    assert storage.log.records(job) == {"step:a": b"1"}


def test_a_closed_log_is_trimmed_too(storage: Storage) -> None:
    job = long_job(storage)
    storage.log.append(job, [completed()])

    storage.log.trim(job, 5, b"{}")

    page = storage.log.page(job, 0, 500)
    assert (seqs(page.events), page.closed) == ([6, 7, 8, 9, 10, 11], True)


def test_a_trim_gives_back_the_bytes_of_its_events(storage: Storage) -> None:
    job = new_job(storage)
    storage.log.append(job, [artifact("a.txt", size=5000), delta("x" * 3000), delta("end")])

    storage.log.trim(job, 3, b"{}")

    left = sum(len(event.json) for event in events_of(storage, job, after=3)) + 5000
    row = storage.index.get(job)
    assert row is not None
    assert row.size == storage.size() == left


def test_the_size_stays_right_when_a_trimmed_log_grows(storage: Storage) -> None:
    job = long_job(storage)
    storage.log.trim(job, 4, b"{}")

    row = storage.log.append(job, [delta("more")])

    assert row.size == storage.size() == sum(len(e.json) for e in events_of(storage, job, after=4))


def test_a_trim_does_not_wake_or_hurt_a_reader_who_is_live(storage: Storage) -> None:
    job = long_job(storage)
    reader = Background(lambda: storage.log.read(job, 10, timeout=60))

    storage.log.trim(job, 9, b"{}")

    assert not reader.ends_within(0.03)
    storage.log.append(job, [delta("news")])
    assert [event.data["text"] for event in reader.result().events] == ["news"]


def test_pages_have_no_holes_while_the_log_grows_and_is_trimmed(storage: Storage) -> None:
    job = new_job(storage)

    def read() -> None:
        after, page = 0, None
        while page is None or not (page.closed and after == page.last):
            page = storage.log.read(job, after, limit=5, timeout=TIMEOUT_S)
            first = max(after, page.base) + 1
            assert seqs(page.events) == list(range(first, first + len(page.events)))
            after = page.events[-1].seq if page.events else max(after, page.base)

    readers = [Background(read) for _ in range(3)]
    for number in range(100):
        row = storage.log.append(job, [delta("x" * 300) for _ in range(3)])
        if number % 3 == 0:
            storage.log.trim(job, row.seq - 5, b"{}")
    storage.log.append(job, [completed()])

    for reader in readers:
        reader.result()
