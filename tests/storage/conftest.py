"""The storages that the contract suite runs on: a new one is a name and a function here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streaming.storage.base import Storage
from streaming.storage.memory import MemoryStorage
from streaming.storage.sqlite import SqliteStorage


def make_sqlite(folder: Path) -> SqliteStorage:
    """One that keeps its file in `folder`."""
    return SqliteStorage(folder / "streaming.db", blobs=folder / "blobs")


#: Each makes a storage that is not yet open; what it keeps on a disk is in the folder.
STORAGES: dict[str, Callable[[Path], Storage]] = {
    "memory": lambda _: MemoryStorage(),
    "sqlite": make_sqlite,
}


@pytest.fixture(params=STORAGES.values(), ids=STORAGES.keys())
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    """Each storage, open and empty."""
    opened: Storage = request.param(tmp_path)
    opened.open(timeout=1)
    yield opened
    opened.close()
