"""Which job a conversation's answer is: found by the ids of clients, in any process, later too."""

from __future__ import annotations

import hashlib

from streaming.errors import NotFound
from streaming.storage.base import Storage
from streaming.storage.rows import JobRow

#: What stands before the folders of conversations.
PREFIX = "conv_"
#: The same of clients' sessions, of which no job tells how long they are kept.
SESSIONS = "session_"
_NAME = "job"


class Conversations:
    """The newest job by kind, owner and the client's own id of a conversation.

    An entry is a blob: it is as durable and as shared as the storage, and lives as long as its
    job does.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def note(self, kind: str, owner: str, id: str, job: str) -> None:
        """From now on it is this job. `Unavailable` when storage is away."""
        self._storage.blobs.put(f"{_folder(kind, owner, id)}/{_NAME}", [job.encode()])

    def find(self, kind: str, owner: str, id: str) -> JobRow | None:
        """The newest job, if it is still kept."""
        try:
            with self._storage.blobs.open(f"{_folder(kind, owner, id)}/{_NAME}") as file:
                job = file.read().decode()
        except NotFound:
            return None
        row = self._storage.index.get(job)
        return row if row is not None and not row.expired and row.owner == owner else None

    def drop_old(self, *, sessions_before: float) -> None:
        """Forget those whose job is gone, and sessions begun before that epoch second."""
        for session in self._storage.blobs.folders(SESSIONS):
            if session.made_at < sessions_before:
                self._storage.blobs.delete(session.name)
        for folder in self._storage.blobs.folders(PREFIX):
            try:
                with self._storage.blobs.open(f"{folder.name}/{_NAME}") as file:
                    row = self._storage.index.get(file.read().decode())
            except NotFound:  # another process has
                continue
            if row is None or row.expired:
                self._storage.blobs.delete(folder.name)


def _folder(kind: str, owner: str, id: str) -> str:
    digest = hashlib.sha256("\0".join((kind, owner, id)).encode()).hexdigest()
    return f"{PREFIX}{digest[:40]}"
