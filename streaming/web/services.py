"""What a request works with, found through the Flask app that serves it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from flask import current_app, has_request_context, request

from streaming.config import Settings
from streaming.events.snapshot import public_summary
from streaming.events.vocabulary import JsonMapping, JsonObject
from streaming.jobs.conversations import Conversations
from streaming.jobs.registry import JobRegistry
from streaming.running.runner import Runner
from streaming.running.task import TaskRegistry
from streaming.storage.base import Storage
from streaming.storage.rows import JobRow
from streaming.storage.snapshots import Snapshots
from streaming.watching.cursor import Cursor
from streaming.watching.pressure import Pressure
from streaming.web.body_places import BodyPlaces
from streaming.web.deadlines import Deadlines
from streaming.web.keys import KeyRing
from streaming.web.metrics import Metrics
from streaming.web.principal import Principal
from streaming.web.rates import Rates
from streaming.web.retries import Retries
from streaming.web.tickets import Tickets

if TYPE_CHECKING:
    from streaming.watching.streams import Streams

EXTENSION = "streaming"

#: Who makes the present request, as the host app says: a user's id, or with scopes; or nobody
#: (None, False, "").
Who = str | int | UUID | Principal | Literal[False] | None
Authorize = Callable[[], Who]


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of one server, built by the extension."""

    settings: Settings
    storage: Storage
    snapshots: Snapshots
    tasks: TaskRegistry
    runner: Runner
    registry: JobRegistry
    streams: Streams
    pressure: Pressure
    #: The path in front of every route: the extension's url_prefix and /v1.
    base_url: str
    #: Who asks, by the host app's own reckoning; None where API keys tell.
    authorize: Authorize | None
    #: Whether clients may start jobs of every task; else only of those that say `open`.
    open_submit: bool
    keys: KeyRing
    tickets: Tickets
    rates: Rates
    retries: Retries
    conversations: Conversations
    deadlines: Deadlines
    body_places: BodyPlaces
    metrics: Metrics
    #: Threads that have ended by themselves: this process cannot do its work any more.
    dead: Callable[[], list[str]]
    #: Where the app is mounted, for the present request: `SCRIPT_NAME`, in front of `base_url`.
    root: str = ""

    def links(self, job: str) -> dict[str, str]:
        """Where a job's resources are."""
        path = f"{self.root}{self.base_url}/jobs/{job}"
        return {
            "self": path,
            "events": f"{path}/events",
            "poll": f"{path}/poll",
            "ws": f"{path}/ws",
            "cancel": f"{path}/cancel",
        }

    def cursor(
        self, positions: Mapping[str, int], types: Collection[str] = (), *, slim: bool = False
    ) -> Cursor:
        """A reader of logs at these positions; `slim`: its snapshots are without `text`."""
        return Cursor(
            self.storage.log,
            positions,
            snapshot=self.slim_snapshot if slim else self.snapshot,
            base=self._slim_base if slim else self._base,
            types=types,
        )

    def slim_snapshot(self, job: str) -> JsonObject:
        """A job's present state without `text`, which `texts` has too: for one WebSocket frame."""
        return _slim(self.snapshot(job))

    def _slim_base(self, job: str) -> JsonObject:
        return _slim(self._base(job))

    def _base(self, job: str) -> JsonObject:
        return self._linked(self.snapshots.public_base(job))

    def snapshot(self, job: str) -> JsonObject:
        """A job's present state as clients get it."""
        return self._linked(self.snapshots.public(job))

    def _linked(self, state: JsonMapping) -> JsonObject:
        job = state["id"]
        return {
            **state,
            "queue_position": self._queue_position(job, state["status"]),
            "links": self.links(job),
        }

    def listed(self, row: JobRow) -> JsonMapping:
        """A job as lists show it: without text, texts, steps and output."""
        return {
            "id": row.id,
            **public_summary(row.summary),
            "queue_position": self._queue_position(row.id, row.status),
            "seq": row.seq,
            "links": self.links(row.id),
        }

    def _queue_position(self, job: str, status: str) -> int | None:
        """From 1 while it waits, 0 when it is about to start; None once it has (oddity 11)."""
        return (self.runner.position(job) or 0) if status == "queued" else None


def _slim(state: JsonObject) -> JsonObject:
    del state["text"]
    return state


def settings() -> Settings:
    """Those of the present app, whether or not it is started."""
    extension = current_app.extensions[EXTENSION]
    found: Settings = extension.services().settings if extension.started else extension.settings
    return found


def services() -> Services:
    """The services of the present app, started."""
    extension = current_app.extensions[EXTENSION]
    found: Services = extension.services()
    root = request.script_root if has_request_context() else ""
    return replace(found, root=root) if root else found
