"""Whether the log's file can be written: full, gone, damaged, and what to do about it."""

from __future__ import annotations

import logging
import os
import sqlite3
from pathlib import Path

from streaming.errors import Damaged, Unavailable

logger = logging.getLogger(__name__)

#: SQLite's codes for a file with inconsistent pages, and for one that is no database.
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
#: The primary code is in the lowest byte.
_PRIMARY = 0xFF
#: What an operator can do.
REMEDY = (
    "stop the server, then restore the file from a backup, or rescue what can be read "
    "(sqlite3 FILE .recover), or move it away to begin with an empty log"
)


def is_damage(error: BaseException) -> bool:
    """Whether the file itself is broken: trying again does not help."""
    if not isinstance(error, sqlite3.DatabaseError):
        return False
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & _PRIMARY in _DAMAGED


def may_pass(error: BaseException) -> bool:
    """Whether the same command may succeed later: the disk is full, the file is locked, …"""
    return isinstance(error, sqlite3.OperationalError) and not is_damage(error)


def as_told(path: Path, error: BaseException) -> BaseException:
    """A driver's error as one of ours; any other error unchanged."""
    if is_damage(error):
        return Damaged(f"the event log {path} is damaged ({error}): {REMEDY}")
    if isinstance(error, sqlite3.DatabaseError):
        return Unavailable(f"the event log cannot be used: {path}: {error}", code="storage_away")
    return error


class Health:
    """What keeps the file from being written at present. Set by the writer's thread, read by all.

    Damage is remembered until the server restarts: more of the file may be broken.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._wal = path.with_name(path.name + "-wal")
        self._inode: int | None = None
        self._wal_seen = False
        #: A fault that may pass: a full disk, a file that was moved away.
        self.passing: str | None = None
        self.damage: str | None = None
        #: Why the writer's thread has died.
        self.end: str | None = None

    @property
    def fault(self) -> str | None:
        return self.end or self.damage or self.passing

    def opened(self) -> None:
        """Remember the file that is there now as the one to write."""
        self._inode = os.stat(self._path).st_ino

    def gone(self) -> sqlite3.OperationalError | None:
        """The fault if the file was moved or replaced: writes would be lost with the process."""
        try:
            if self._inode not in (None, os.stat(self._path).st_ino):
                return sqlite3.OperationalError("another file is in its place; restart the server")
            if self._wal_seen or self._wal.exists():
                self._wal_seen = True
                os.stat(self._wal)
        except OSError as error:
            return sqlite3.OperationalError(
                f"the file is gone ({error.strerror}: {error.filename}); put it back, or restart "
                "the server to begin with what is there"
            )
        return None

    def note(self, error: BaseException) -> None:
        """Note a failed write."""
        if is_damage(error):
            self.note_damage(error)
        elif may_pass(error):
            if self.passing is None:
                logger.error("the event log cannot be written: %s: %s", self._path, error)
            self.passing = f"{self._path}: {error}"

    def note_damage(self, error: BaseException) -> None:
        """Note a page that could not be read or written; from any thread."""
        if self.damage is None:
            logger.critical("the event log %s is damaged: %s: %s", self._path, error, REMEDY)
        self.damage = f"{self._path} is damaged ({error}): {REMEDY}"

    def note_health(self) -> None:
        """Note a successful write."""
        if self.passing is not None:
            logger.warning("the event log can be written again: %s", self._path)
        self.passing = None
