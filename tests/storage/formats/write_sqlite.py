"""Writes down what a version of this program keeps in SQLite, for the versions after it to read.

Run in the tree of that version; the fixtures here were made so:

    git archive a0f4303 | tar x -C older && cd older
    python ../tests/storage/formats/write_sqlite.py >../a0f4303.sql
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path.cwd()))

from streaming.events.event import Draft
from streaming.storage.rows import Submission
from streaming.storage.sqlite import SqliteStorage

#: The version of the schema, and whose file it is: a dump leaves them out.
PRAGMAS = ("user_version", "application_id")


def write_jobs(storage: SqliteStorage) -> None:
    """A job under way with a record, and one that has ended."""
    asked = {"position": 0, "task": "diary", "input": {}, "metadata": {}, "ttl_s": 1e9}
    for n in range(2):
        job = f"job_01M8A0000000000000000000{n:02}"
        queued = Draft("job.queued", asked)
        storage.index.submit(Submission(job, "owner", "diary", queued, f"key-{n}"))
        storage.log.append(job, [Draft("job.started", {"attempt": 1, "worker": "host:1"})])
        text = Draft("text.delta", {"item": "one", "text": "grüß Gott 🚀"})
        storage.log.append(job, [text], attempt=1, records={"checkpoint:": b'{"at":7}'})
    storage.log.append(job, [Draft("job.completed", {"output": {"n": 1}, "usage": None})])


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "streaming.db"
        storage = SqliteStorage(path, blobs=Path(folder) / "blobs")
        storage.open(timeout=1)
        write_jobs(storage)
        storage.close()
        connection = sqlite3.connect(path)
        for name in PRAGMAS:
            (value,) = connection.execute(f"PRAGMA {name}").fetchone()
            sys.stdout.write(f"PRAGMA {name} = {value};\n")
        sys.stdout.writelines(f"{line}\n" for line in connection.iterdump())


if __name__ == "__main__":
    main()
