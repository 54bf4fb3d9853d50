"""Listing many jobs: one query, by an index, and nothing is folded."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from streaming.events.event import dumps
from streaming.events.summary import blank
from streaming.jobs.supervisor import UNFINISHED
from streaming.storage.ids import new_id
from streaming.storage.sqlite import SqliteStorage
from streaming.storage.sqlite.schema import connect, prepare
from tests.storage.conftest import make_sqlite

JOBS = 10_000
STATUSES = ("completed", "completed", "completed", "failed", "cancelled")


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteStorage]:
    """One with 10,000 jobs, of which a hundred go on."""
    folder = tmp_path_factory.mktemp("many")
    prepare(folder / "streaming.db")
    connection = connect(folder / "streaming.db")
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO jobs (id, owner, task, status, seq, base, size, expires_at, digest, summary)"
        " VALUES (?, ?, ?, ?, 9, 0, 900, ?, '', ?)",
        [made_up_job(number) for number in range(JOBS)],
    )
    connection.execute("COMMIT")
    connection.close()
    opened = make_sqlite(folder)
    opened.open(timeout=1)
    yield opened
    opened.close()


def made_up_job(number: int) -> tuple[Any, ...]:
    goes_on = number % 100 == 0
    status = "running" if goes_on else STATUSES[number % 5]
    task, owner = ("write", "report")[number % 2], f"owner{number % 3}"
    summary = {**blank(task, "2026-01-01T00:00:00.000Z").to_json(), "status": status}
    expires_at = None if goes_on else 4e9 + number
    return new_id("job_"), owner, task, status, expires_at, dumps(summary).decode()


def statements(storage: SqliteStorage, **filters: Any) -> list[str]:
    """What SQLite is asked when jobs are listed."""
    traced: list[str] = []
    trace(storage, traced.append)
    assert storage.index.list(**filters)
    trace(storage, None)
    return traced


def trace(storage: SqliteStorage, callback: Any) -> None:
    storage.database.query(lambda connection: connection.set_trace_callback(callback))


def plan(storage: SqliteStorage, statement: str) -> str:
    connection = sqlite3.connect(storage.path)
    try:
        rows = connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
    finally:
        connection.close()
    return "; ".join(row[-1] for row in rows)


@pytest.mark.parametrize(
    "filters",
    [
        {"owner": "owner1"},
        {"owner": "owner1", "statuses": ["failed"]},
        {"owner": "owner1", "statuses": ["failed", "running"]},
        {"owner": "owner1", "task": "report"},
        {"owner": "owner1", "task": "report", "statuses": ["completed"]},
        {"owner": "owner1", "statuses": UNFINISHED},
    ],
    ids=lambda filters: "+".join(filters) + "s" * (len(filters.get("statuses", ())) - 1),
)
@pytest.mark.parametrize("paged", [False, True], ids=["first", "next"])
def test_a_list_is_one_indexed_query(
    storage: SqliteStorage, filters: dict[str, Any], paged: bool
) -> None:
    before = {"before": storage.index.list(**filters, limit=5)[-1].id} if paged else {}

    asked = statements(storage, **filters, **before, limit=50)

    assert len(asked) == 1
    assert "SEARCH jobs USING INDEX" in plan(storage, asked[0])
    assert "SCAN" not in plan(storage, asked[0])


def test_a_list_reads_no_events(storage: SqliteStorage) -> None:
    [asked] = statements(storage, owner="owner1", statuses=["completed"])

    for table in ("pages", "journal", "bases", "records"):
        assert table not in asked


@pytest.mark.parametrize("owner", [None, "owner1"])
def test_the_jobs_that_go_on_are_found_by_themselves(
    storage: SqliteStorage, owner: str | None
) -> None:
    [asked] = statements(storage, owner=owner, statuses=UNFINISHED)
    found = storage.index.list(owner=owner, statuses=UNFINISHED, limit=1000)

    assert "jobs USING INDEX jobs_unfinished" in plan(storage, asked)
    assert len(found) == pytest.approx(JOBS / 100 / (1 if owner is None else 3), abs=1)
    assert {row.status for row in found} == {"running"}


@pytest.mark.parametrize("column", ["seq", "size", "summary", "status"])
def test_what_changes_while_a_job_goes_on_is_in_no_index(
    storage: SqliteStorage, column: str
) -> None:
    """Each index of it would be a page of the file that such a change writes."""
    query = "SELECT sql FROM sqlite_schema WHERE type = 'index' AND sql LIKE ?"
    found = storage.database.query(lambda c: c.execute(query, (f"%({column}%",)).fetchall())
    found += storage.database.query(lambda c: c.execute(query, (f"%, {column}%",)).fetchall())

    assert all("WHERE expires_at IS NOT NULL" in sql for (sql,) in found)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT id FROM jobs WHERE expires_at <= 5e9 ORDER BY expires_at LIMIT 1000",
        "SELECT id FROM jobs"
        " WHERE seq - base > 5 AND expires_at IS NOT NULL AND NOT expired LIMIT 100",
    ],
    ids=["due", "long"],
)
def test_retention_looks_by_an_index(storage: SqliteStorage, query: str) -> None:
    assert "SEARCH jobs USING" in plan(storage, query)


def test_calls_that_are_due_are_found_by_their_time(storage: SqliteStorage) -> None:
    query = "SELECT id FROM outbox WHERE due_at <= 5e9 ORDER BY due_at LIMIT 100"

    assert "SEARCH outbox USING INDEX outbox_by_time" in plan(storage, query)
    assert "TEMP B-TREE" not in plan(storage, query)
