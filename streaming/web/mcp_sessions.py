"""Sessions of MCP's older revision: in the storage, so that any process knows them, later too."""

from __future__ import annotations

import hashlib
import json

from streaming.errors import NotFound
from streaming.events.event import dumps
from streaming.events.vocabulary import JsonObject
from streaming.jobs.conversations import SESSIONS
from streaming.storage.ids import new_id
from streaming.web.auth import owner
from streaming.web.services import services

_NAME = "session"


def begin(state: JsonObject) -> str:
    """A new session's id, which nobody can guess. `Unavailable` when storage is away."""
    id = new_id("mcp_")
    services().storage.blobs.put(f"{_folder(id)}/{_NAME}", [dumps({**state, "owner": owner()})])
    return id


def find(id: str) -> JsonObject | None:
    """What its beginning said; None where there is none, or another's."""
    try:
        with services().storage.blobs.open(f"{_folder(id)}/{_NAME}") as file:
            state: JsonObject = json.loads(file.read())
    except NotFound:
        return None
    return state if state["owner"] == owner() else None


def end(id: str) -> None:
    """Forget it; its calls go on."""
    services().storage.blobs.delete(_folder(id))


def _folder(id: str) -> str:
    return f"{SESSIONS}{hashlib.sha256(id.encode()).hexdigest()[:40]}"
