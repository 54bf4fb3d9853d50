"""Requests that clients repeat by themselves: they join the job of the first, where it is free."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from datetime import datetime

from flask import request

from streaming.concurrency.platform import native_lock
from streaming.errors import LogRefusal, NotFound
from streaming.events import make
from streaming.jobs.registry import JobRegistry
from streaming.storage.base import Storage
from streaming.storage.rows import JobRow

#: What OpenAI's and Anthropic's SDKs count in, from 0.
HEADER = "X-Stainless-Retry-Count"
#: Tells identical requests of different people apart.
USER = "X-Request-User"
#: Seconds after which nobody comes back for a job.
JOIN_S = 60.0
#: Jobs of an owner that are looked at.
JOBS = 300
#: Joins of jobs that had ended which are remembered: a closed log cannot say it.
REMEMBERED = 10_000


class Retries:
    """Which jobs repeated requests have joined, where their closed logs cannot tell."""

    def __init__(self, registry: JobRegistry, storage: Storage) -> None:
        self._registry = registry
        self._storage = storage
        self._lock = native_lock()
        self._joined: OrderedDict[str, int] = OrderedDict()
        self._since = time.time()

    def find(self, owner: str, digest: str) -> JobRow | None:
        """The owner's job that the present request is to join, and nobody else then; or None."""
        count = retry_count()
        if not count:
            return None
        rows = self._registry.list(owner, limit=JOBS)
        for row in reversed(rows):
            origin = row.options.get("origin") or {}
            if origin.get("digest") == digest and self._is_free(row) and self._claim(row, count):
                return row
        return None

    def _is_free(self, row: JobRow) -> bool:
        if row.status in ("cancelled", "cancelling", "failed"):
            return False
        viewers = self._storage.viewers
        if viewers.of(row.id):
            return False
        absent_s = viewers.absent_s(row.id)
        if absent_s == math.inf:  # none came, or none that this process knows of
            accepted = datetime.fromisoformat(row.summary.created_at).timestamp()
            absent_s = time.time() - max(accepted, self._since)
        return absent_s < JOIN_S

    def _claim(self, row: JobRow, count: int) -> bool:
        """Whether no other request has joined it; a later try of the same request goes on."""
        if row.closed:
            return self._claim_closed(row.id, count)
        known = row.options.get("joined")
        if isinstance(known, int) and known >= count:
            return False
        note = make.log("a repeated request has joined", level="debug", joined=count)
        expect = {"options.joined": (known,), "status": ("queued", "running", "waiting_for_input")}
        try:
            self._storage.log.append(row.id, [note], expect=expect, patient=False)
        except (LogRefusal, NotFound):
            now = self._storage.index.get(row.id)
            if now is None or now.status != "completed":
                return False
            return self._claim_closed(row.id, count)
        return True

    def _claim_closed(self, job: str, count: int) -> bool:
        row = self._storage.index.get(job)
        logged = (row.options.get("joined") if row is not None else None) or 0
        with self._lock:
            if max(logged, self._joined.get(job, 0)) >= count:
                return False
            self._joined[job] = count
            while len(self._joined) > REMEMBERED:
                self._joined.popitem(last=False)
        return True


def retry_count() -> int:
    """Which repetition the present request is by its own account; 0 for the first."""
    text = request.headers.get(HEADER, "")
    return int(text) if text.isdecimal() and len(text) < 6 else 0
