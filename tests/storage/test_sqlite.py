"""What the SQLite storage promises beyond the contract: durability, batches, plans."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Semaphore
from typing import Any

import psutil
import pytest

from streaming.errors import Closed, Fenced, LogRefusal, Unavailable
from streaming.events.event import Draft, Event
from streaming.storage.sqlite import SqliteStorage
from streaming.storage.sqlite.database import READERS
from streaming.storage.sqlite.schema import prepare
from streaming.storage.sqlite.transaction import Transaction
from streaming.storage.sqlite.writer import Writer
from tests.jobs import delta, ended_job, events_of, new_job, seqs, started, submission
from tests.storage.conftest import make_sqlite
from tests.threads import TIMEOUT_S, Background, eventually

#: Appends from four threads; prints the number of each event when it is acknowledged.
WRITES_FOR_EVER = """
import os, sys, threading
from functools import partial
from pathlib import Path
from tests.jobs import delta, new_job
from tests.storage.conftest import make_sqlite

storage = make_sqlite(Path(sys.argv[1]))
storage.open(timeout=0)
job = new_job(storage)
print(job, flush=True)

def write():
    while True:
        row = storage.log.append(job, [delta("x" * 50)])
        os.write(1, b"%d\\n" % row.seq)

for _ in range(4):
    threading.Thread(target=write).start()
"""


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[SqliteStorage]:
    opened = make_sqlite(tmp_path)
    opened.open(timeout=1)
    yield opened
    opened.close()


def reopened(storage: SqliteStorage, tmp_path: Path) -> SqliteStorage:
    """The same file after a restart."""
    storage.close()
    again = make_sqlite(tmp_path)
    again.open(timeout=1)
    return again


def held_up(storage: SqliteStorage) -> threading.Event:
    """Keeps the writer in a transaction until the event is set."""
    begun, go_on = threading.Event(), threading.Event()

    def hold(_: Any) -> None:
        begun.set()
        go_on.wait(TIMEOUT_S)

    Background(lambda: storage.database.writer.call(hold))
    assert begun.wait(TIMEOUT_S)
    return go_on


def waiting_commands(storage: SqliteStorage) -> int:
    return storage.database.writer.waiting


def test_everything_is_there_after_a_restart(storage: SqliteStorage, tmp_path: Path) -> None:
    job = new_job(storage, key="k", digest="d")
    storage.log.append(job, [started(), delta(), delta()], records={"step:a": b"1"})
    storage.log.trim(job, 2, b"fold")
    storage.index.remove(ended := ended_job(storage), tombstone=True)
    before = storage.index.get(job), storage.index.get(ended), storage.size()

    again = reopened(storage, tmp_path)

    assert (again.index.get(job), again.index.get(ended), again.size()) == before
    assert seqs(events_of(again, job)) == [3, 4]
    assert (again.log.base(job), again.log.records(job)) == (b"fold", {"step:a": b"1"})
    assert again.index.submit(submission(key="k", digest="d"))[0].id == job
    again.close()


def test_numbers_and_fences_go_on_after_a_restart(storage: SqliteStorage, tmp_path: Path) -> None:
    job = new_job(storage)
    storage.log.append(job, [started(2)], attempt=2)

    again = reopened(storage, tmp_path)

    with pytest.raises(Fenced):
        again.log.append(job, [delta()], attempt=1)
    assert again.log.append(job, [delta()], attempt=2).seq == 3
    again.close()


def test_a_reader_goes_on_after_a_restart(storage: SqliteStorage, tmp_path: Path) -> None:
    job = new_job(storage)
    again = reopened(storage, tmp_path)
    reader = Background(lambda: again.log.read(job, 1, timeout=60))

    again.log.append(job, [delta("news")])

    assert [event.data["text"] for event in reader.result().events] == ["news"]
    again.close()


def test_a_page_from_the_file_ends_where_the_log_is_published(
    storage: SqliteStorage, tmp_path: Path
) -> None:
    job = new_job(storage)
    storage.log.append(job, [delta(str(number)) for number in range(4)])
    again = reopened(storage, tmp_path)  # with nothing in memory, as for a reader far behind
    assert again.log.page(job, 5, 10).last == 5
    with sqlite3.connect(tmp_path / "streaming.db") as file:  # committed, not yet published
        later = Event.of(job, 6, delta("later")).json
        file.execute("INSERT INTO pages SELECT number, 6, ? FROM jobs WHERE id = ?", (later, job))

    page = again.log.page(job, 0, 10)

    assert ([each.seq for each in page.events], page.last) == ([1, 2, 3, 4, 5], 5)
    again.close()


def test_every_acknowledged_event_outlasts_kill_9(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITES_FOR_EVER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        job = child.stdout.readline().strip()
        acknowledged = [int(child.stdout.readline()) for _ in range(400)]
        child.kill()
        acknowledged += map(int, child.stdout.read().split())

    storage = make_sqlite(tmp_path)
    storage.open(timeout=5)  # the lock went with its process
    found = seqs(events_of(storage, job))
    row = storage.index.get(job)
    storage.close()
    assert found == list(range(1, len(found) + 1))
    assert set(acknowledged) <= set(found)
    assert row is not None
    assert row.seq == len(found)


def test_appends_that_come_while_it_commits_share_the_next_commit(storage: SqliteStorage) -> None:
    job, statements = new_job(storage), []
    storage.database.writer.call(lambda t: t.connection.set_trace_callback(statements.append))
    statements.clear()

    go_on = held_up(storage)
    appends = [Background(lambda: storage.log.append(job, [delta()]).seq) for _ in range(50)]
    eventually(lambda: waiting_commands(storage) == 50)
    go_on.set()

    assert sorted(append.result() for append in appends) == list(range(2, 52))
    assert statements.count("COMMIT") == 2  # that of the transaction before, and one for all


def test_commands_of_one_batch_see_each_other(storage: SqliteStorage) -> None:
    job = new_job(storage)
    go_on = held_up(storage)

    claims = []
    for number in (1, 2, 1):
        claims.append(Background(storage_append, storage, job, number))
        eventually(lambda: waiting_commands(storage) == len(claims))
    go_on.set()

    assert [claim.result() for claim in claims] == [2, 3, "fenced"]


def storage_append(storage: SqliteStorage, job: str, attempt: int) -> int | str:
    try:
        return storage.log.append(job, [started(attempt)], attempt=attempt).seq
    except LogRefusal as refusal:
        return refusal.code


def test_a_command_that_breaks_does_not_take_its_batch_with_it(storage: SqliteStorage) -> None:
    job, bad = new_job(storage), Draft("job.started", {"worker": "no attempt"})
    go_on = held_up(storage)

    drafts = [delta("before"), bad, delta("behind")]
    appends = [Background(storage.log.append, job, [draft]) for draft in drafts]
    eventually(lambda: waiting_commands(storage) == 3)
    go_on.set()

    with pytest.raises(KeyError):
        appends[1].result()
    assert sorted(append.result().seq for append in (appends[0], appends[2])) == [2, 3]
    assert seqs(events_of(storage, job)) == [1, 2, 3]


def test_when_the_unforeseen_happens_who_is_stored_is_told_so_and_the_others_are_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, commits = tmp_path / "streaming.db", 0
    begun, go_on = threading.Event(), threading.Event()

    def committed(_: Transaction) -> None:
        nonlocal commits
        commits += 1
        if commits == 2:
            raise ZeroDivisionError

    def hold(_: Transaction) -> None:
        begun.set()
        go_on.wait(TIMEOUT_S)

    def store(_: Transaction) -> str:
        return "stored"

    def break_down(_: Transaction) -> None:
        raise KeyError("no attempt")

    prepare(path)
    writer = Writer(path, committed=committed)
    writer.start()
    held = writer.post(hold, patience_s=0)
    assert begun.wait(TIMEOUT_S)
    batch = [writer.post(run, patience_s=0) for run in (store, break_down, store)]
    go_on.set()

    held.result()
    assert batch[0].result() == "stored"
    for command in batch[1:]:
        with pytest.raises(Unavailable, match="the server's log says why"):
            command.result()
    assert writer.call(store) == "stored"
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [
        ZeroDivisionError
    ]
    writer.stop()


def test_a_job_removed_in_the_batch_of_an_append_leaves_no_events(storage: SqliteStorage) -> None:
    job = new_job(storage)
    go_on = held_up(storage)

    Background(storage.log.append, job, [delta()])
    eventually(lambda: waiting_commands(storage) == 1)
    removal = Background(lambda: storage.index.remove(job, tombstone=False))
    eventually(lambda: waiting_commands(storage) == 2)
    go_on.set()
    removal.result()

    assert seqs(events_of(storage, new_job(storage))) == [1]
    assert storage.index.get(job) is None


def test_a_stop_answers_everyone(storage: SqliteStorage) -> None:
    job = new_job(storage)

    def write() -> int:
        for count in range(10_000):
            try:
                storage.log.append(job, [delta()])
            except Unavailable:
                return count
        raise AssertionError("it was never stopped")

    writers = [Background(write) for _ in range(8)]
    eventually(lambda: len(events_of(storage, job)) > 50)
    storage.close()

    written = sum(writer.result() for writer in writers)
    pages = sqlite3.connect(storage.path).execute("SELECT data FROM pages").fetchall()
    assert sum(data.count(b"\n") + 1 for (data,) in pages) == written + 1


def test_a_closed_storage_takes_no_job(storage: SqliteStorage) -> None:
    storage.close()

    with pytest.raises(Unavailable):
        new_job(storage)


def test_many_who_read_at_once_share_few_connections(storage: SqliteStorage) -> None:
    go_on, reading = threading.Event(), Semaphore(0)

    def read(_: object) -> None:
        reading.release()
        go_on.wait(TIMEOUT_S)

    before = psutil.Process().num_fds()
    readers = [Background(partial(storage.database.query, read)) for _ in range(20)]
    for _ in range(READERS):
        assert reading.acquire(timeout=TIMEOUT_S)
    assert psutil.Process().num_fds() - before <= 2 * READERS
    go_on.set()

    for reader in readers:
        reader.result()


def test_a_read_that_is_under_way_when_it_closes_ends_and_later_ones_are_refused(
    storage: SqliteStorage,
) -> None:
    go_on, reading = threading.Event(), threading.Event()

    def read(connection: sqlite3.Connection) -> int:
        reading.set()
        go_on.wait(TIMEOUT_S)
        return int(connection.execute("SELECT 7").fetchone()[0])

    before = Background(partial(storage.database.query, read))
    assert reading.wait(TIMEOUT_S)
    storage.close()
    with pytest.raises(Closed):
        storage.database.query(read)
    go_on.set()

    assert before.result() == 7
