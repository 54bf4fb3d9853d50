"""The uploaded files of one owner."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated

from pydantic import Field

from streaming.errors import NotFound, TaskError
from streaming.events.vocabulary import JsonObject
from streaming.storage.blobs import Blobs

#: An uploaded file's id in a task's input: forms made from the schema offer an upload for it.
FileId = Annotated[
    str, Field(pattern=r"^file_[A-Za-z0-9]{1,64}$", json_schema_extra={"format": "file-id"})
]


class Uploads:
    """Files of other owners do not exist here: `TaskError` with code `file_not_found`."""

    def __init__(self, blobs: Blobs, owner: str) -> None:
        self._blobs = blobs
        self._owner = owner

    def info(self, file: str) -> JsonObject:
        """`name`, `media_type` and `size`."""
        try:
            with self._blobs.open(f"{file}/meta.json") as meta:
                known = json.loads(meta.read())
        except NotFound:
            known = {}
        if known.pop("owner", None) != self._owner:
            raise _missing(file)
        return dict(known)

    def open(self, file: str) -> IO[bytes]:
        """The bytes, for reading and seeking."""
        self.info(file)
        try:
            return self._blobs.open(f"{file}/content")
        except NotFound:
            raise _missing(file) from None

    @contextlib.contextmanager
    def path(self, file: str) -> Iterator[Path]:
        """Within the block: the file on this machine's disk, the stored one or a temporary copy."""
        with self.open(file) as upload:
            name = getattr(upload, "name", None)
            if isinstance(name, str):
                yield Path(name)
                return
            with tempfile.NamedTemporaryFile() as copy:
                shutil.copyfileobj(upload, copy)
                copy.flush()
                yield Path(copy.name)


def _missing(file: str) -> TaskError:
    return TaskError(f"there is no file {file}", code="file_not_found")
