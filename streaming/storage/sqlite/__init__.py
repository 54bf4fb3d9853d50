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
    """Survives kill -9 and power cuts; used by one serving process at a time."""

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
        #: The file.
        self.path = path
        self._closed = False
        self._lock = FileLock(path)
        #: Its writer, tails and readers.
        self.database = Database(path)
        self.index = SqliteIndex(self.database, tombstone_s=tombstone_s)
        self.log = SqliteLog(self.database, patience_s=patience_s)
        self.outbox: Outbox = SqliteOutbox(self.database)
        self.blobs = self._folder = FolderBlobs(blobs)
        self.viewers = LocalViewers()
        self.leases = LocalLeases(resources)

    def open(self, *, timeout: float) -> None:
        try:
            make_folder(self.path.parent)
            self._lock.acquire(timeout=timeout)
        except OSError as error:
            raise refused(self.path, error) from error
        try:
            prepare(self.path)
            self._folder.start()
            self.database.open()
        except OSError as error:
            self._let_go()
            raise refused(self.path, error) from error
        except Damaged as error:
            self._let_go()
            raise InvalidSettings(f"cannot start on {self.path}: {error.detail}") from error
        except StreamingError:
            self._let_go()
            raise

    def close(self) -> None:
        self._closed = True
        self._let_go()

    def _let_go(self) -> None:
        self.database.close()
        self._folder.close()
        self._lock.release()

    def size(self) -> int:
        return int(self.database.size)

    def secret(self) -> bytes:
        if self._closed:
            raise Closed()
        return read_or_make(self.path.with_name(self.path.name + ".secret"))

    def appended(self) -> int:
        return self.database.tails.published

    def fault(self) -> str | None:
        return self.database.writer.fault

    def dead(self) -> list[str]:
        return self.database.writer.dead()
