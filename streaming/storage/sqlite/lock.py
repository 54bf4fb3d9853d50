"""The lock on the file: one serving process at a time writes it."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import IO

from streaming.concurrency.waking import make_waker
from streaming.errors import InUse
from streaming.storage.private import make_file

#: Seconds between two tries to get the lock from a predecessor.
RETRY_S = 0.05


class FileLock:
    """Held by the serving process, and freed when that ends, however it ends.

    The file says which server (the parent of the serving process) holds it. A successor in the
    same server waits; another server gets `InUse`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + ".lock")
        self._database = path
        self._file: IO[str] | None = None

    def acquire(self, *, timeout: float) -> None:
        """Take it. `InUse` when another server has it, or the predecessor does not leave."""
        make_file(self._path)
        file = self._path.open("a+")
        try:
            self._take(file, time.monotonic() + timeout)
        except BaseException:
            file.close()
            raise
        self._file = file

    def _take(self, file: IO[str], until: float) -> None:
        server, waker = str(os.getppid()), make_waker()
        while not _try_lock(file):
            holder = self._path.read_text().strip()
            ours = holder in ("", server)
            if not ours or time.monotonic() > until:
                file.close()
                raise InUse(_refusal(self._database, holder, ours=ours), by_predecessor=ours)
            waker.wait(RETRY_S)
        file.truncate(0)
        file.write(server)
        file.flush()

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _refusal(database: Path, holder: str, *, ours: bool) -> str:
    if ours:
        return (
            f"{database} is in use by another process of this server: one process writes it. "
            "Set workers = 1 and, with gunicorn, take the hooks of streaming.hooks into "
            "gunicorn.conf.py; or keep the log in Redis (STREAMING_REDIS_URL)."
        )
    return (
        f"{database} is in use by another server (process {holder or '?'}). "
        "Stop it, or set STREAMING_LOG_URL or STREAMING_VAR_DIR to another place."
    )


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
