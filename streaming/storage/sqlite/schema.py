"""The tables, their version, and how to open the file."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from streaming.errors import Damaged, InvalidSettings
from streaming.events.summary import Summary
from streaming.storage.private import make_file, make_folder
from streaming.storage.rows import JobRow
from streaming.storage.sqlite.health import REMEDY, is_damage

#: Marks the file as ours ("SSEL"), so that we never write into another program's database.
APPLICATION_ID = 0x5353454C

#: What `row_of` reads.
ROW = "id, owner, summary, seq, base, size, expires_at, expired"

#: One script per version; a file of version N is migrated by the scripts after the Nth.
MIGRATIONS = (
    """
    CREATE TABLE jobs (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        owner TEXT NOT NULL,
        task TEXT NOT NULL,
        status TEXT NOT NULL,
        seq INTEGER NOT NULL,
        base INTEGER NOT NULL,
        size INTEGER NOT NULL,
        expires_at REAL,
        expired INTEGER NOT NULL DEFAULT 0,
        key TEXT,
        digest TEXT NOT NULL,
        summary TEXT NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX jobs_by_key ON jobs (owner, key) WHERE key IS NOT NULL;
    CREATE INDEX jobs_by_owner ON jobs (owner, id) WHERE NOT expired;
    CREATE INDEX jobs_by_status ON jobs (owner, status, id) WHERE NOT expired;
    CREATE INDEX jobs_by_task ON jobs (owner, task, id) WHERE NOT expired;
    CREATE INDEX jobs_unfinished ON jobs (status, id) WHERE expires_at IS NULL;
    CREATE INDEX jobs_by_expiry ON jobs (expires_at) WHERE expires_at IS NOT NULL;
    CREATE INDEX jobs_by_length ON jobs (seq - base) WHERE NOT expired;
    CREATE TABLE events (
        job INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        type TEXT NOT NULL,
        json BLOB NOT NULL,
        PRIMARY KEY (job, seq)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE bases (job INTEGER PRIMARY KEY, state BLOB NOT NULL) STRICT;
    CREATE TABLE records (
        job INTEGER NOT NULL,
        name TEXT NOT NULL,
        value BLOB NOT NULL,
        PRIMARY KEY (job, name)
    ) STRICT, WITHOUT ROWID;
    """,
    # Events in pages, behind a journal.
    """
    CREATE TABLE pages (
        job INTEGER NOT NULL,
        last INTEGER NOT NULL,
        data BLOB NOT NULL,
        PRIMARY KEY (job, last)
    ) STRICT;
    CREATE TABLE journal (id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
    INSERT INTO pages SELECT job, seq, json FROM events ORDER BY job, seq;
    DROP TABLE events;
    """,
    # Calls of webhooks, by the job's id: they outlast its row. Jobs whose receivers want no more.
    """
    CREATE TABLE outbox (
        id TEXT PRIMARY KEY,
        job TEXT NOT NULL,
        url TEXT NOT NULL,
        body BLOB NOT NULL,
        made_at REAL NOT NULL,
        tries INTEGER NOT NULL DEFAULT 0,
        due_at REAL NOT NULL
    ) STRICT;
    CREATE INDEX outbox_by_time ON outbox (due_at);
    CREATE INDEX outbox_by_job ON outbox (job);
    CREATE TABLE refused (job TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
    """,
    # What changes while a job goes on is in no index: each change was a page of the file more.
    """
    DROP INDEX jobs_by_status;
    DROP INDEX jobs_unfinished;
    DROP INDEX jobs_by_length;
    CREATE INDEX jobs_by_status ON jobs (owner, status, id)
        WHERE expires_at IS NOT NULL AND NOT expired;
    CREATE INDEX jobs_unfinished ON jobs (owner, id) WHERE expires_at IS NULL;
    CREATE INDEX jobs_by_length ON jobs (seq - base) WHERE expires_at IS NOT NULL AND NOT expired;
    """,
)


def connect(path: Path) -> sqlite3.Connection:
    """A connection in autocommit mode, usable from any one thread at a time."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
    # FULL: what was acknowledged outlasts a power cut; group commit shares the cost.
    connection.executescript("PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF;")
    return connection


def prepare(path: Path, migrations: Sequence[str] = MIGRATIONS) -> None:
    """Make or migrate the file; `InvalidSettings` names it when it is not usable."""
    make_folder(path.parent)
    make_file(path)  # SQLite gives its other files the same mode
    try:
        with contextlib.closing(connect(path)) as connection:
            _migrate(connection, path, migrations)
    except sqlite3.DatabaseError as error:
        raise refused(path, error) from error


def refused(path: Path, error: BaseException) -> InvalidSettings:
    """Why a server does not start on this file, and what to do where it is damaged."""
    if is_damage(error):
        return InvalidSettings(f"the event log {path} is damaged ({error}): {REMEDY}")
    return InvalidSettings(f"cannot use {path} as the event log: {error}")


def _migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[str]) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    owner = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if tables and owner != APPLICATION_ID:
        raise InvalidSettings(f"{path} is another program's database; set STREAMING_LOG_URL")
    if version > len(migrations):
        raise InvalidSettings(
            f"{path} has schema version {version}; this program knows {len(migrations)}. "
            "Run the newer version, or set STREAMING_LOG_URL to another file."
        )

    if not tables:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("PRAGMA journal_mode = WAL")
    for number, script in enumerate(migrations[version:], start=version + 1):
        connection.executescript(f"BEGIN; {script}; PRAGMA user_version = {number}; COMMIT;")


def row_of(found: Sequence[Any]) -> JobRow:
    """A row of the table, selected as `ROW`; `Damaged` when it cannot be read."""
    job, owner, text, seq, base, size, expires_at, expired = found
    try:
        summary = Summary.from_json(json.loads(text))
    except (ValueError, TypeError, LookupError) as error:
        raise Damaged(f"the row of job {job} cannot be read") from error
    return JobRow(job, owner, summary, seq, base, size, expires_at, expired=bool(expired))
