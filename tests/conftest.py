"""Fixtures for tests without servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from streaming.snapshot import Snapshots
from streaming.storage.memory import MemoryStorage
from streaming.tasks.registry import Task
from tests.gate import Gate, held_at

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


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Opened at the end, whatever happens."""
    made = Gate()
    yield made
    made.open()


@pytest.fixture
def held(gate: Gate) -> Task:
    """A task that runs until the gate opens."""
    return held_at(gate)
