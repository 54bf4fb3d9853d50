"""The storages that need no server; the contract suite runs on these and on Redis."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from streaming.storage.base import Storage
from streaming.storage.memory import MemoryStorage
from streaming.storage.sqlite import SqliteStorage
from tests.links import LinkedStorage


def make_sqlite(folder: Path) -> SqliteStorage:
    """One that keeps its file in `folder`."""
    return SqliteStorage(folder / "streaming.db", blobs=folder / "blobs")


#: Storages that need no server. Each function makes one that is not yet open; what it keeps on
#: a disk is in the folder.
STORAGES: dict[str, Callable[[Path], Storage]] = {
    "memory": lambda _: MemoryStorage(),
    "sqlite": make_sqlite,
}
#: Those that readers are served from.
SERVED = dict(STORAGES)
#: A task host's end of the link to them, where tasks write and no reader is served.
STORAGES |= {
    "link-memory": lambda _: LinkedStorage(MemoryStorage()),
    "link-sqlite": lambda folder: LinkedStorage(make_sqlite(folder)),
}
