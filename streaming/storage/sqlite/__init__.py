"""The default storage: one SQLite file (write-ahead log) and a folder of blobs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from streaming.errors import Closed, Damaged, InvalidSettings, StreamingError
from streaming.storage.base import Storage
from streaming.storage.folder import FolderBlobs
from streaming.storage.leases import LocalLeases
from streaming.storage.outbox import Outbox
from streaming.storage.private import make_folder
from streaming.storage.sqlite.database import Database
from streaming.storage.sqlite.index import SqliteIndex
from streaming.storage.sqlite.lock import FileLock
from streaming.storage.sqlite.log import SqliteLog
from streaming.storage.sqlite.outbox import SqliteOutbox
from streaming.storage.sqlite.schema import prepare, refused
from streaming.storage.sqlite.secret import read_or_make
from streaming.storage.viewers import LocalViewers


class SqliteStorage(Storage):
    """Durable over kill -9 and power cuts; used by one serving process at a time."""

    durable = True

    def __init__(
        self,
        path: Path,
        *,
        blobs: Path,
        patience_s: float = 300.0,
        tombstone_s: float = 86400.0,
        resources: Mapping[str, int] | None = None,
    ) -> None:
        self._path = path
        self._closed = False
        self._lock = FileLock(path)
        self._database = Database(path)
        self.index = SqliteIndex(self._database, tombstone_s=tombstone_s)
        self.log = SqliteLog(self._database, patience_s=patience_s)
        self.outbox: Outbox = SqliteOutbox(self._database)
        self.blobs = self._folder = FolderBlobs(blobs)
        self.viewers = LocalViewers()
        self.leases = LocalLeases(resources)

    def open(self, *, timeout: float) -> None:
        try:
            make_folder(self._path.parent)
            self._lock.acquire(timeout=timeout)
        except OSError as error:
            raise refused(self._path, error) from error
        try:
            prepare(self._path)
            self._folder.start()
            self._database.open()
        except OSError as error:
            self._let_go()
            raise refused(self._path, error) from error
        except Damaged as error:
            self._let_go()
            raise InvalidSettings(f"cannot start on {self._path}: {error.detail}") from error
        except StreamingError:
            self._let_go()
            raise

    def close(self) -> None:
        self._closed = True
        self._let_go()

    def _let_go(self) -> None:
        self._database.close()
        self._folder.close()
        self._lock.release()

    def size(self) -> int:
        return int(self._database.size)

    def secret(self) -> bytes:
        if self._closed:
            raise Closed()
        return read_or_make(self._path.with_name(self._path.name + ".secret"))

    def appended(self) -> int:
        return self._database.tails.published

    def fault(self) -> str | None:
        return self._database.writer.fault

    def dead(self) -> list[str]:
        return self._database.writer.dead()
