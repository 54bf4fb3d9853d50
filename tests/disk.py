"""A disk that is full, and on which room can be made."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from streaming.storage.sqlite import SqliteStorage
from streaming.storage.sqlite.schema import prepare


class Disk:
    """A storage whose file may not grow; other data in it take room that can be made."""

    def __init__(self, folder: Path, *, patience_s: float = 60.0) -> None:
        self._path = folder / "streaming.db"
        prepare(self._path)
        self._run("CREATE TABLE other (data); INSERT INTO other VALUES (zeroblob(4000000));")
        self.storage = SqliteStorage(
            self._path, blobs=folder / "blobs", patience_s=patience_s, tombstone_s=60
        )
        self.storage.open(timeout=1)

    def fill(self) -> None:
        """The file is as large as it may become."""
        self.storage.database.writer.call(
            # Fetched, so that no statement stays open and pins what the file was.
            lambda transaction: transaction.connection.execute(
                "PRAGMA max_page_count = 1"
            ).fetchall()
        )

    def make_room(self) -> None:
        self._run("DELETE FROM other")

    def _run(self, script: str) -> None:
        connection = sqlite3.connect(self._path)
        connection.executescript(script)
        connection.close()
