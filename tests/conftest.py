"""Fixtures for tests without servers."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from streaming.snapshot import Snapshots
from streaming.storage.memory import MemoryStorage

# How long an example takes says nothing on a machine under load.
settings.register_profile(
    "suite", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("suite")


@pytest.fixture
def memory() -> MemoryStorage:
    """A storage, open and empty."""
    return MemoryStorage()


@pytest.fixture
def snapshots(memory: MemoryStorage) -> Snapshots:
    """The folds of its logs."""
    return Snapshots(memory.log, memory.index)
