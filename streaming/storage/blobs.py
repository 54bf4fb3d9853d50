"""The interface of blobs: files by key, in folders."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import IO


@dataclass(frozen=True, slots=True)
class Folder:
    """What blobs know of a folder."""

    name: str
    #: Epoch seconds of its creation.
    made_at: float
    #: Bytes in it.
    size: int


class Blobs(ABC):
    """Files by key (`owner/name`): artifacts and uploads. Whole or not there."""

    @abstractmethod
    def put(self, key: str, chunks: Iterable[bytes]) -> int:
        """Store the bytes, replacing any others; their count. `Unavailable` when it cannot."""

    @abstractmethod
    def open(self, key: str) -> IO[bytes]:
        """The bytes, for reading and seeking. `NotFound` when there are none."""

    @abstractmethod
    def delete(self, folder: str) -> None:
        """Drop all keys of a folder; nothing happens where there is none."""

    @abstractmethod
    def folders(self, prefix: str) -> Iterable[Folder]:
        """Folders whose name starts with `prefix`."""
