"""Events between journal and pages: whenever the process ends, all are there, once, in order."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from streaming.events.event import Draft, Event
from streaming.storage.rows import first_row
from streaming.storage.sqlite import SqliteStorage
from streaming.storage.sqlite.journal import (
    DROP_COMMITS,
    LOOSE_COMMITS,
    PAGE_EVENTS,
    Append,
    Journal,
)
from streaming.storage.sqlite.schema import MIGRATIONS, connect, prepare
from tests.jobs import completed, delta, events_of, new_job, seqs, started, submission
from tests.storage.conftest import make_sqlite
from tests.threads import TIMEOUT_S, Background, eventually


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[SqliteStorage]:
    opened = make_sqlite(tmp_path)
    opened.open(timeout=1)
    yield opened
    opened.close()


def copied(storage: SqliteStorage, folder: Path) -> SqliteStorage:
    """A storage on the file as it is now, as after a kill."""
    folder.mkdir()
    with sqlite3.connect(storage.path) as file, sqlite3.connect(folder / "streaming.db") as copy:
        file.backup(copy)
    again = make_sqlite(folder)
    again.open(timeout=1)
    return again


def progress(percent: float) -> Draft:
    return Draft("job.progress", {"percent": percent, "eta_s": None, "basis": "measured"})


def percent_in_file(storage: SqliteStorage, job: str) -> float:
    with sqlite3.connect(storage.path) as file:
        found = file.execute("SELECT summary FROM jobs WHERE id = ?", (job,)).fetchone()
    percent: float = json.loads(found[0])["progress"]["percent"]
    return percent


def rows_of(storage: SqliteStorage, table: str) -> int:
    with sqlite3.connect(storage.path) as file:
        count: int = file.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        return count


@pytest.mark.parametrize("count", [1, PAGE_EVENTS - 3, PAGE_EVENTS - 2, 3 * PAGE_EVENTS])
def test_a_copy_made_at_any_time_has_what_was_acknowledged(
    storage: SqliteStorage, tmp_path: Path, count: int
) -> None:
    job, other = new_job(storage), new_job(storage)
    storage.log.append(job, [started()], attempt=1)
    for number in range(count):
        storage.log.append(job, [delta(f"{number} ")], attempt=1)
        storage.log.append(other, [delta(f"{number} ")])

    again = copied(storage, tmp_path / "copy")

    for each in (job, other):
        assert again.index.get(each) == storage.index.get(each)
        bodies = [event.json for event in events_of(again, each)]
        assert bodies == [event.json for event in events_of(storage, each)]
    assert again.size() == storage.size()
    assert again.log.append(job, [delta("on")], attempt=1).seq == count + 3
    again.close()


@pytest.mark.parametrize("count", [1, PAGE_EVENTS // 2, 2 * PAGE_EVENTS])
def test_what_a_row_does_not_say_yet_follows_from_the_journal(
    storage: SqliteStorage, tmp_path: Path, count: int
) -> None:
    job = new_job(storage)
    storage.log.append(job, [started()], attempt=1)
    for number in range(count):
        storage.log.append(job, [progress(float(number % 100)), delta()], attempt=1)
        storage.log.append(job, [Draft("metric", {"name": "loss", "value": number})], attempt=1)
    storage.log.append(job, [Draft("artifact", {"name": "a.txt", "size": 1000})], attempt=1)
    storage.log.append(job, [progress(99.5)], attempt=1)

    again = copied(storage, tmp_path / "copy")
    twice = copied(again, tmp_path / "twice")

    known = storage.index.get(job)
    assert known.summary.progress["percent"] == 99.5
    for each in (again, twice):
        assert each.index.get(job) == known
        assert each.size() == storage.size()
        each.close()


def test_a_row_is_written_when_its_status_changes_and_with_pages(storage: SqliteStorage) -> None:
    job = new_job(storage)
    storage.log.append(job, [started(), progress(1.0)], attempt=1)
    storage.log.append(job, [progress(50.0)], attempt=1)

    assert percent_in_file(storage, job) == 1.0

    storage.log.append(job, [delta() for _ in range(PAGE_EVENTS)], attempt=1)
    assert percent_in_file(storage, job) == 50.0


def test_a_quiet_storage_has_all_in_pages(storage: SqliteStorage) -> None:
    job = new_job(storage)
    storage.log.append(job, [delta()])

    eventually(lambda: rows_of(storage, "journal") == 0)

    assert rows_of(storage, "pages") == 1
    storage.log.append(job, [delta()])
    assert seqs(events_of(storage, job)) == [1, 2, 3]


def test_an_ended_job_is_in_pages_at_once(storage: SqliteStorage) -> None:
    job = new_job(storage)
    storage.log.append(job, [delta(), completed()])

    with sqlite3.connect(storage.path) as file:
        assert file.execute("SELECT last FROM pages").fetchall() == [(3,)]


def test_the_journal_is_bounded_by_those_who_say_little(tmp_path: Path) -> None:
    prepare(tmp_path / "streaming.db")
    journal, row = Journal(), first_row(submission())

    with closing(connect(tmp_path / "streaming.db")) as file:

        def commit(number: int, seq: int) -> None:
            events = [Event.of(row.id, seq, delta())]
            append = Append(number, row._replace(seq=seq), events, written=False, changed=False)
            journal.begin()
            journal.write(file, {f"job_{number}": append})
            journal.committed()

        file.execute("BEGIN")  # one for all: they are many
        commit(number=1, seq=1)
        for seq in range(1, LOOSE_COMMITS + DROP_COMMITS):
            commit(number=2, seq=seq)

        [rows] = file.execute("SELECT count(*) FROM journal").fetchone()
        assert rows <= LOOSE_COMMITS
        assert file.execute("SELECT last FROM pages WHERE job = 1").fetchall() == [(1,)]


def test_what_is_trimmed_while_it_is_loose_does_not_come_back(
    storage: SqliteStorage, tmp_path: Path
) -> None:
    job = new_job(storage)
    storage.log.append(job, [delta(str(number)) for number in range(9)])
    storage.log.trim(job, 6, b"fold")
    storage.log.append(job, [delta("new")])

    again = copied(storage, tmp_path / "copy")

    assert seqs(events_of(again, job)) == seqs(events_of(storage, job)) == [7, 8, 9, 10, 11]
    assert again.index.get(job) == storage.index.get(job)
    assert again.size() == storage.size()
    again.close()


def test_a_removed_job_leaves_nothing_that_another_could_get(
    storage: SqliteStorage, tmp_path: Path
) -> None:
    removed = new_job(storage)
    storage.log.append(removed, [delta("secret"), completed()])
    storage.index.remove(removed, tombstone=False)
    fresh = new_job(storage)

    again = copied(storage, tmp_path / "copy")

    assert seqs(events_of(again, fresh)) == [1]
    assert again.index.get(removed) is None
    again.close()


def test_a_file_of_the_first_version_is_brought_up(tmp_path: Path) -> None:
    path = tmp_path / "streaming.db"
    prepare(path, MIGRATIONS[:1])
    with sqlite3.connect(path) as old:
        old.execute(
            "INSERT INTO jobs (id, owner, task, status, seq, base, size, digest, summary)"
            " VALUES ('job_a', 'me', 'write', 'queued', 3, 0, 30, '', '{}')"
        )
        old.executemany(
            "INSERT INTO events (job, seq, type, json) VALUES (1, ?, 'text.delta', ?)",
            [
                (seq, b'{"seq":%d,"type":"text.delta","job":"job_a","at":"","data":{}}' % seq)
                for seq in (2, 3, 1)
            ],
        )

    prepare(path)

    connection = connect(path)
    found = connection.execute("SELECT last, data FROM pages ORDER BY last").fetchall()
    assert [last for last, _ in found] == [1, 2, 3]
    assert all(b'"seq":%d,' % last in data for last, data in found)
    connection.close()


def test_a_trim_in_a_batch_of_appends_leaves_the_others_their_rows(
    storage: SqliteStorage, tmp_path: Path
) -> None:
    first, second = new_job(storage), new_job(storage)
    for job in (first, second):
        storage.log.append(job, [delta(str(number)) for number in range(5)])
    writer = storage.database.writer
    begun, hold = threading.Event(), threading.Event()
    writer.post(lambda _: begun.set() or hold.wait(TIMEOUT_S), patience_s=0)  # type: ignore[func-returns-value]
    assert begun.wait(TIMEOUT_S)
    trim = Background(storage.log.trim, first, 3, b"fold")
    eventually(lambda: writer.waiting == 1)
    append = storage.log.post(first, [delta("new")], attempt=0)
    hold.set()  # the trim and the append are one batch
    trim.result()
    append.result()

    ended = new_job(storage)
    storage.log.append(ended, [completed()])
    storage.index.remove(ended, tombstone=False)  # the journal drops what it can
    again = copied(storage, tmp_path / "copy")

    assert seqs(events_of(again, first)) == [4, 5, 6, 7]
    assert seqs(events_of(again, second)) == [1, 2, 3, 4, 5, 6]
    again.close()


def test_two_crashes_in_a_row_lose_nothing(storage: SqliteStorage, tmp_path: Path) -> None:
    paged, quiet = new_job(storage), new_job(storage)
    storage.log.append(quiet, [delta(str(number)) for number in range(5)])
    storage.log.append(paged, [delta() for _ in range(PAGE_EVENTS)])
    storage.log.append(paged, [delta("loose")])
    once = copied(storage, tmp_path / "once")

    ended = new_job(once)
    once.log.append(ended, [completed()])
    once.index.remove(ended, tombstone=False)
    twice = copied(once, tmp_path / "twice")

    for job in (paged, quiet):
        assert seqs(events_of(twice, job)) == seqs(events_of(storage, job))
    once.close()
    twice.close()
