"""A log whose file is damaged, gone, or open to everybody."""

from __future__ import annotations

import contextlib
import operator
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from streaming.errors import Damaged, InvalidSettings, Unavailable
from streaming.storage.base import Storage
from streaming.storage.sqlite import SqliteStorage
from streaming.storage.sqlite.lock import FileLock
from streaming.storage.sqlite.transaction import Transaction
from streaming.storage.sqlite.writer import Writer
from tests.jobs import completed, delta, events_of, new_job, seqs
from tests.storage.conftest import make_sqlite
from tests.threads import TIMEOUT_S, Background, eventually

PAGE = 4096


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[SqliteStorage]:
    made = make_sqlite(tmp_path)
    made.open(timeout=1)
    yield made
    made.close()


def root_page(path: Path, table: str) -> int:
    connection = sqlite3.connect(path)
    [page] = connection.execute(
        "SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)
    ).fetchone()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return int(page)


def spoil(path: Path, table: str) -> None:
    """Write nonsense over the first page of a table."""
    page = root_page(path, table)
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(b"\xa5" * PAGE)


def rows_of(path: Path, table: str) -> int:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        count: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        return count


def set_summary(path: Path, job: str, text: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE jobs SET summary = ? WHERE id = ?", (text, job))
    connection.close()


@pytest.mark.parametrize("table", ["jobs", "pages", "journal"])
def test_a_start_on_a_damaged_file_names_it_and_the_remedy(tmp_path: Path, table: str) -> None:
    storage = make_sqlite(tmp_path)
    storage.open(timeout=1)
    job = new_job(storage)
    storage.log.append(job, [delta("text")])
    path = tmp_path / "streaming.db"
    storage.database.writer.stop()
    with sqlite3.connect(path) as connection:  # as a process that was killed leaves it
        connection.execute("INSERT INTO journal (id, data) VALUES (9, x'7b')")
    connection.close()
    storage.close()
    spoil(path, table)

    again = make_sqlite(tmp_path)
    with pytest.raises(InvalidSettings) as refused:
        again.open(timeout=1)

    assert str(path) in refused.value.detail
    assert "backup" in refused.value.detail
    lock = FileLock(path)  # and it is free
    lock.acquire(timeout=0)
    lock.release()


@pytest.mark.parametrize("table", ["journal", "pages", "jobs"])
def test_damage_while_it_runs_is_told_and_ends_no_thread(
    storage: SqliteStorage, tmp_path: Path, table: str
) -> None:
    job = new_job(storage)
    storage.log.append(job, [delta("text")])
    path = tmp_path / "streaming.db"
    eventually(lambda: rows_of(path, "journal") == 0)  # all is in pages
    spoil(path, table)

    def write() -> bool:
        for _ in range(3):
            try:
                storage.log.append(new_job(storage), [completed()])
            except Unavailable:
                return True
        return storage.fault() is not None

    eventually(write)
    eventually(lambda: "damaged" in (storage.fault() or ""))
    assert "streaming.db" in (storage.fault() or "")
    with pytest.raises(Damaged):  # no job is taken into it
        new_job(storage)
    with contextlib.suppress(Unavailable):  # answered, not held
        storage.log.append(job, [delta("more")] * 1000)
    assert storage.dead() == []


def test_a_job_that_memory_knows_is_listed_whatever_its_row_says(
    storage: SqliteStorage, tmp_path: Path
) -> None:
    job = new_job(storage)
    set_summary(tmp_path / "streaming.db", job, "{")

    assert [row.id for row in storage.index.list()] == [job]


@pytest.mark.parametrize("text", ["no json", "null", "{}", "[1]"])
def test_a_row_that_says_nothing_hurts_one_job(
    storage: SqliteStorage, tmp_path: Path, text: str
) -> None:
    bad, good = new_job(storage), new_job(storage)
    storage.log.append(bad, [completed()])
    storage.database.tails.forget(bad)
    set_summary(tmp_path / "streaming.db", bad, text)

    assert [row.id for row in storage.index.list()] == [good]
    with pytest.raises(Damaged):
        storage.index.get(bad)
    with pytest.raises(Damaged):
        storage.log.append(bad, [delta("more")])
    assert storage.log.append(good, [delta("more")]).seq == 2
    assert storage.fault() is None
    storage.index.remove(bad, tombstone=False)
    assert storage.index.get(bad) is None


def test_whatever_a_command_raises_the_others_go_on(storage: SqliteStorage) -> None:
    job = new_job(storage)

    for error in (SystemExit(3), RecursionError(), ValueError("no"), KeyboardInterrupt()):

        def fail(_: object, error: BaseException = error) -> None:
            raise error

        with pytest.raises(type(error)):
            storage.database.writer.call(fail)

    assert storage.log.append(job, [delta("text")]).seq == 2


def test_whatever_ends_the_thread_that_writes_everybody_is_answered(tmp_path: Path) -> None:
    writer = Writer(tmp_path, committed=lambda _: None)  # a folder: it cannot be opened
    given = writer.post(lambda _: None, patience_s=60)

    writer.start()

    with pytest.raises(Unavailable, match="restart the server") as answered:
        Background(given.result).result()
    assert answered.value.code == "storage_away"
    with pytest.raises(Unavailable, match="restart the server"):
        writer.call(lambda _: None)
    assert "restart the server" in (writer.fault or "")
    eventually(writer.dead)


@pytest.mark.parametrize("place", ["_committed", "health.note_health"])
@pytest.mark.parametrize("raised", [SystemExit(3), ValueError("no")], ids=["exit", "error"])
def test_who_has_written_is_told_so_whatever_is_raised_behind_the_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, raised: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise raised

    with contextlib.closing(make_sqlite(tmp_path)) as storage:
        storage.open(timeout=1)
        job = new_job(storage)
        writer = storage.database.writer
        *parts, name = place.split(".")
        monkeypatch.setattr(operator.attrgetter(*parts)(writer) if parts else writer, name, fail)
        post = storage.log.post(job, [delta("text")], attempt=0)
        eventually(lambda: post.done)
        eventually(lambda: isinstance(raised, Exception) or writer.dead())

        assert post.result().seq == 2
        monkeypatch.undo()
    with contextlib.closing(make_sqlite(tmp_path)) as again:
        again.open(timeout=1)
        assert seqs(events_of(again, job)) == [1, 2]


def test_a_file_that_has_gone_is_told_and_takes_nothing(
    storage: SqliteStorage, tmp_path: Path
) -> None:
    job = new_job(storage)
    away = tmp_path / "away"
    away.mkdir()
    names = [path.name for path in tmp_path.glob("streaming.db*")]
    for name in names:
        os.rename(tmp_path / name, away / name)

    eventually(lambda: "gone" in (storage.fault() or ""))  # though nobody writes
    with pytest.raises(Unavailable):
        new_job(storage)
    for name in names:
        os.rename(away / name, tmp_path / name)

    eventually(lambda: storage.fault() is None)
    assert storage.log.append(job, [delta("text")]).seq == 2


def test_another_file_in_its_place_takes_nothing(storage: SqliteStorage, tmp_path: Path) -> None:
    new_job(storage)  # the writer has its file open
    (tmp_path / "streaming.db").unlink()
    (tmp_path / "streaming.db").touch()

    with pytest.raises(Unavailable):
        new_job(storage)
    assert "another file" in (storage.fault() or "")


def test_a_folder_that_has_gone_takes_no_blob(storage: SqliteStorage, tmp_path: Path) -> None:
    os.rename(tmp_path, tmp_path.with_name("elsewhere"))
    try:
        with pytest.raises(Unavailable):
            storage.blobs.put("job_a/x", [b"data"])
        assert not tmp_path.exists()
    finally:
        os.rename(tmp_path.with_name("elsewhere"), tmp_path)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o277])
def test_only_its_own_user_may_read_the_log(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        folder = tmp_path / "some" / "var"
        storage: Storage = SqliteStorage(folder / "streaming.db", blobs=folder / "blobs")
        storage.open(timeout=1)
        job = new_job(storage)
        storage.blobs.put(f"{job}/x", [b"data"])
        storage.secret()
        storage.log.append(job, [completed()])
        modes = {path: path.stat().st_mode & 0o777 for path in folder.rglob("*")}
        modes[folder] = folder.stat().st_mode & 0o777
        assert seqs(events_of(storage, job)) == [1, 2]
        storage.close()
    finally:
        os.umask(before)

    assert {name.name for name in modes} >= {"streaming.db", "streaming.db-wal", "blobs", "x"}
    for path, mode in modes.items():
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_a_file_of_an_older_version_is_closed_to_others(tmp_path: Path) -> None:
    older = make_sqlite(tmp_path)
    older.open(timeout=1)
    older.close()
    path = tmp_path / "streaming.db"
    path.chmod(0o644)

    storage = make_sqlite(tmp_path)
    storage.open(timeout=1)
    storage.close()

    assert path.stat().st_mode & 0o777 == 0o600


def test_a_trim_that_readers_have_not_been_told_of_is_no_damage(storage: SqliteStorage) -> None:
    job = new_job(storage)
    for _ in range(6):  # pages of a hundred
        storage.log.append(job, [delta("more")] * 100)
    writer = storage.database.writer
    committed, told = threading.Event(), threading.Event()
    publish = writer._committed

    def publish_later(transaction: Transaction) -> None:
        committed.set()
        assert told.wait(TIMEOUT_S)
        publish(transaction)

    writer._committed = publish_later
    trim = Background(storage.log.trim, job, 400, b"{}")
    assert committed.wait(TIMEOUT_S)
    reading = Background(storage.log.page, job, 0, 500)
    eventually(lambda: writer.waiting or reading.ends_within(0))
    told.set()

    page = reading.result()
    trim.result()
    assert (page.base, seqs(page.events)[:2]) == (400, [401, 402])
