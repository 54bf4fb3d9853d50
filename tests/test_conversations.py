"""Clients' conversations are found on every storage, and forgotten with their jobs."""

from __future__ import annotations

import time

from streaming.jobs.conversations import SESSIONS, Conversations
from streaming.storage.base import Storage
from tests.jobs import new_job


def test_a_conversation_is_its_newest_job(storage: Storage) -> None:
    first, second = (new_job(storage) for _ in range(2))
    known = Conversations(storage)
    known.note("ui", "somebody", "c", first)
    known.note("ui", "somebody", "c", second)

    found = Conversations(storage).find("ui", "somebody", "c")

    assert found is not None
    assert found.id == second
    assert known.find("ui", "somebody else", "c") is None
    assert known.find("agui", "somebody", "c") is None


def test_it_goes_with_its_job(storage: Storage) -> None:
    job = new_job(storage)
    known = Conversations(storage)
    known.note("ui", "somebody", "c", job)
    storage.index.remove(job, tombstone=False)

    assert known.find("ui", "somebody", "c") is None
    known.drop_old(sessions_before=0)
    assert not list(storage.blobs.folders("conv_"))


def test_old_sessions_go(storage: Storage) -> None:
    storage.blobs.put(f"{SESSIONS}one/session", [b"{}"])

    Conversations(storage).drop_old(sessions_before=time.time() - 60)
    assert list(storage.blobs.folders(SESSIONS))
    Conversations(storage).drop_old(sessions_before=time.time() + 60)
    assert not list(storage.blobs.folders(SESSIONS))
