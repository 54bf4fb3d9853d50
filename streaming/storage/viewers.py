"""Viewers of a single process."""

from __future__ import annotations

import itertools
from dataclasses import replace

from streaming.concurrency import native_lock
from streaming.events import now_rfc3339
from streaming.storage.base import Viewer, Viewers


class LocalViewers(Viewers):
    """Who watches which job, in this process's memory."""

    def __init__(self) -> None:
        self._lock = native_lock()
        self._jobs: dict[str, dict[str, Viewer]] = {}
        self._ids = itertools.count(1)

    def enter(self, job: str, transport: str, position: int) -> str:
        viewer = Viewer(str(next(self._ids)), transport, now_rfc3339(), position)
        with self._lock:
            self._jobs.setdefault(job, {})[viewer.id] = viewer
        return viewer.id

    def move(self, job: str, viewer: str, position: int) -> None:
        with self._lock:
            known = self._jobs.get(job, {})
            if viewer in known:
                known[viewer] = replace(known[viewer], position=position)

    def leave(self, job: str, viewer: str) -> None:
        with self._lock:
            known = self._jobs.get(job, {})
            known.pop(viewer, None)
            if not known:
                self._jobs.pop(job, None)

    def of(self, job: str) -> list[Viewer]:
        with self._lock:
            return list(self._jobs.get(job, {}).values())
