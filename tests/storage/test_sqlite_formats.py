"""SQLite files that older versions left: they are brought up, and everything in them is there."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streaming.storage.sqlite import SqliteStorage
from tests.jobs import completed, events_of, new_job, types
from tests.storage.conftest import make_sqlite

FORMATS = sorted((Path(__file__).parent / "formats").glob("*.sql"))
UNDER_WAY, ENDED = (f"job_01M8A0000000000000000000{n:02}" for n in range(2))


@pytest.fixture(params=FORMATS, ids=lambda path: path.stem)
def older(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqliteStorage]:
    """A storage on a file of an older version."""
    connection = sqlite3.connect(tmp_path / "streaming.db")
    connection.executescript(request.param.read_text(encoding="utf-8"))
    connection.close()
    storage = make_sqlite(tmp_path)
    storage.open(timeout=1)
    yield storage
    storage.close()


def test_its_jobs_are_there_with_their_events_and_records(older: SqliteStorage) -> None:
    assert [row.id for row in older.index.list(owner="owner")] == [ENDED, UNDER_WAY]
    assert types(events_of(older, ENDED)) == [
        "job.queued", "job.started", "text.delta", "job.completed",
    ]  # fmt: skip
    assert events_of(older, UNDER_WAY)[2].data["text"] == "grüß Gott 🚀"
    assert older.log.records(UNDER_WAY) == {"checkpoint:": b'{"at":7}'}


def test_its_jobs_go_on_and_make_no_calls(older: SqliteStorage) -> None:
    row = older.log.append(UNDER_WAY, [completed()], attempt=1)

    assert (row.seq, row.status) == (4, "completed")
    assert older.outbox.due(time.time() + 1, limit=10) == []


def test_new_jobs_in_it_have_all_that_is_new(older: SqliteStorage) -> None:
    job = new_job(older, webhook={"url": "https://hooks.example.com"})

    older.log.append(job, [completed()])

    assert [call.job for call in older.outbox.due(time.time() + 1, limit=10)] == [job]
