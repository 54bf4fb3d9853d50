"""Blobs as files in a folder: written beside their place, synced, then renamed into it."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from streaming.concurrency.threads import offload
from streaming.errors import Closed, NotFound, Unavailable
from streaming.storage.blobs import Blobs, Folder
from streaming.storage.private import FILE_MODE, FOLDER_MODE, make_folder


class FolderBlobs(Blobs):
    """Each key `folder/name` is a file of that path under the root."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._closed = False

    def start(self, *, age_s: float = 0.0) -> None:
        """Make the folder, and delete unfinished files older than `age_s`."""
        make_folder(self._root)
        self.clean(age_s=age_s)

    def close(self) -> None:
        """Refuse every later call."""
        self._closed = True

    @property
    def root(self) -> Path:
        """The folder, for other processes of this machine."""
        return self._root

    def put(self, key: str, chunks: Iterable[bytes]) -> int:
        path = self._path(key)
        part: str | None = None
        try:
            # Not those above the root: a folder that was moved away must not come back half.
            for folder in (self._root, path.parent):
                if not folder.is_dir():
                    folder.mkdir(FOLDER_MODE, exist_ok=True)
                    folder.chmod(FOLDER_MODE)
            # Beside the folders, so that no listing and no delete meets a half-written file.
            handle, part = tempfile.mkstemp(dir=self._root, prefix=".part-")
            os.fchmod(handle, FILE_MODE)  # the umask may have taken more
            with os.fdopen(handle, "wb") as file:
                size = sum(file.write(chunk) for chunk in chunks)
                file.flush()
                offload(lambda: os.fsync(file.fileno()))
            os.replace(part, path)
        except OSError as error:
            _discard(part)
            raise Unavailable(
                f"cannot store {key}: {error.strerror}", code="storage_away"
            ) from error
        except BaseException:  # also a stop of the task that yields the chunks
            _discard(part)
            raise
        return size

    def open(self, key: str) -> IO[bytes]:
        try:
            return self._path(key).open("rb")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise NotFound(f"there is no {key.rpartition('/')[2]}") from None

    def delete(self, folder: str) -> None:
        shutil.rmtree(self._path(folder), ignore_errors=True)

    def folders(self, prefix: str) -> Iterable[Folder]:
        if self._closed:
            raise Closed()
        if not self._root.is_dir():
            return
        for path in self._root.iterdir():
            if path.name.startswith(prefix) and path.is_dir():
                size = sum(file.stat().st_size for file in path.iterdir())
                yield Folder(path.name, path.stat().st_mtime, size)

    def clean(self, *, age_s: float = 0.0) -> None:
        """Delete unfinished files of dead processes, those older than `age_s`."""
        now = time.time()
        for part in self._root.glob(".part-*"):
            with contextlib.suppress(FileNotFoundError):  # finished or dropped by another process
                if now - part.stat().st_mtime >= age_s:
                    part.unlink()

    def _path(self, key: str) -> Path:
        if self._closed:
            raise Closed()
        parts = key.split("/")
        if not all(parts) or any(part.startswith(".") for part in parts):
            raise NotFound(f"{key!r} is not a name")
        return self._root.joinpath(*parts)


def _discard(part: str | None) -> None:
    if part is not None:
        Path(part).unlink(missing_ok=True)
