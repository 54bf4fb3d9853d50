"""The file beside the log that holds its secret."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from streaming.storage.base import SECRET_BYTES
from streaming.storage.private import FILE_MODE


def read_or_make(path: Path) -> bytes:
    """The bytes of the file; made, whole and for its owner alone, where it is missing."""
    if not path.exists():
        _make(path)
    return path.read_bytes()


def _make(path: Path) -> None:
    descriptor, name = tempfile.mkstemp(prefix=path.name, dir=path.parent)  # for its owner alone
    draft = Path(name)
    try:
        os.fchmod(descriptor, FILE_MODE)  # the umask may have taken more
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # another process has made it first
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
