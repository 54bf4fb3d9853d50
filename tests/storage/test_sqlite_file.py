"""The SQLite file: its schema's version, whose file it is, and who may open it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streaming.errors import InUse, InvalidSettings
from streaming.storage.sqlite import SqliteStorage
from streaming.storage.sqlite.schema import APPLICATION_ID, MIGRATIONS, prepare
from tests.jobs import new_job
from tests.storage.conftest import make_sqlite
from tests.threads import Background

#: Opens the storage in argv[1] when it is told to; holds it until its input ends.
HOLDS_THE_FILE = """
import sys
from pathlib import Path
from tests.storage.conftest import make_sqlite

storage = make_sqlite(Path(sys.argv[1]))
sys.stdin.readline()
storage.open(timeout=60)
print("open", flush=True)
sys.stdin.read()
"""


def one(path: Path, query: str) -> object:
    """The one value that a query gives."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchone()[0]
    finally:
        connection.close()


def run(path: Path, script: str) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()


class Holder:
    """A process that opens the storage: a child of this one, as the workers of a server are."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDS_THE_FILE, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self) -> None:
        """Have it open the storage; it may have to wait."""
        assert self.process.stdin is not None
        self.process.stdin.write("open\n")
        self.process.stdin.flush()

    def has_opened(self) -> bool:
        """Waits until it has; False when it has ended instead."""
        assert self.process.stdout is not None
        return self.process.stdout.readline() == "open\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def new_holder(tmp_path: Path) -> Iterator[Callable[[], Holder]]:
    holders: list[Holder] = []

    def start() -> Holder:
        holders.append(Holder(tmp_path))
        return holders[-1]

    yield start
    for each in holders:
        each.kill()


def test_a_new_file_is_marked_as_ours_and_has_the_newest_version(tmp_path: Path) -> None:
    path = tmp_path / "new.db"

    prepare(path)

    assert one(path, "PRAGMA application_id") == APPLICATION_ID
    assert one(path, "PRAGMA user_version") == len(MIGRATIONS)
    assert one(path, "PRAGMA journal_mode") == "wal"


def test_the_folder_of_a_new_file_is_made(tmp_path: Path) -> None:
    storage = make_sqlite(tmp_path / "a" / "b")
    storage.open(timeout=0)
    storage.close()

    assert (tmp_path / "a" / "b" / "streaming.db").exists()


def test_a_file_of_a_newer_version_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "newer.db"
    prepare(path, (*MIGRATIONS, "CREATE TABLE later (x)"))

    with pytest.raises(InvalidSettings, match=rf"newer\.db has .*{len(MIGRATIONS) + 1}.*"):
        prepare(path)

    assert one(path, "PRAGMA user_version") == len(MIGRATIONS) + 1


def test_a_file_of_an_older_version_is_brought_up_with_what_it_has(tmp_path: Path) -> None:
    storage = make_sqlite(tmp_path)
    storage.open(timeout=0)
    job = new_job(storage)
    storage.close()

    newer = (*MIGRATIONS, "ALTER TABLE jobs ADD COLUMN colour TEXT DEFAULT 'blue'")
    prepare(tmp_path / "streaming.db", newer)

    assert one(tmp_path / "streaming.db", f"SELECT colour FROM jobs WHERE id = '{job}'") == "blue"
    assert one(tmp_path / "streaming.db", "PRAGMA user_version") == len(newer)


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    prepare(path)

    with pytest.raises(InvalidSettings, match=r"old\.db"):
        prepare(path, (*MIGRATIONS, "CREATE TABLE later (x); SELECT nonsense FROM nowhere"))

    assert one(path, "PRAGMA user_version") == len(MIGRATIONS)
    assert one(path, "SELECT count(*) FROM sqlite_schema WHERE name = 'later'") == 0


def test_another_programs_database_is_refused_by_name_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "accounts.db"
    run(path, "CREATE TABLE accounts (money)")
    before = path.read_bytes()

    with pytest.raises(InvalidSettings, match=r"accounts\.db is another program's"):
        prepare(path)

    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_by_name_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no database " * 1000)

    with pytest.raises(InvalidSettings, match=r"notes\.txt"):
        prepare(path)

    assert path.read_text() == "no database " * 1000


def test_a_refused_file_is_not_held(tmp_path: Path) -> None:
    path = tmp_path / "accounts.db"
    run(path, "CREATE TABLE accounts (money)")

    for _ in range(2):
        with pytest.raises(InvalidSettings, match="another program's"):
            SqliteStorage(path, blobs=tmp_path / "blobs").open(timeout=0)


def test_a_folder_that_cannot_be_made_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("a file, where a folder should be")

    with pytest.raises(InvalidSettings, match="var"):
        make_sqlite(tmp_path / "var").open(timeout=0)


def test_another_server_is_told_at_once_who_has_the_file(
    tmp_path: Path, new_holder: Callable[[], Holder]
) -> None:
    holder = new_holder()
    holder.tell()
    assert holder.has_opened()

    with pytest.raises(InUse, match=r"streaming\.db is in use") as refused:
        make_sqlite(tmp_path).open(timeout=60)  # this process is no sibling of the holder

    assert not refused.value.by_predecessor


def test_a_successor_waits_until_its_predecessor_is_gone_however_it_goes(
    new_holder: Callable[[], Holder],
) -> None:
    first, second = new_holder(), new_holder()
    first.tell()
    assert first.has_opened()

    second.tell()
    opening = Background(second.has_opened)
    assert not opening.ends_within(0.05)
    first.kill()

    assert opening.result()


def test_a_successor_that_has_waited_in_vain_is_told(tmp_path: Path) -> None:
    first, second = make_sqlite(tmp_path), make_sqlite(tmp_path)
    first.open(timeout=0)

    with pytest.raises(InUse) as refused:
        second.open(timeout=0.01)

    assert refused.value.by_predecessor
    first.close()
    second.open(timeout=0)
    second.close()
