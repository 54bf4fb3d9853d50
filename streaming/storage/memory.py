"""Storage in memory: everything is gone with the process. For tests and for trying things."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import IO

from streaming.concurrency.platform import native_lock
from streaming.errors import Closed, NotFound
from streaming.events.event import Draft, Event
from streaming.storage.base import SECRET_BYTES, EventLog, JobIndex, Live, Storage
from streaming.storage.blobs import Blobs, Folder
from streaming.storage.leases import LocalLeases
from streaming.storage.outbox import Call, Outbox, calls_of
from streaming.storage.rows import (
    Expect,
    JobRow,
    Page,
    Submission,
    check_digest,
    extend,
    first_row,
)
from streaming.storage.tail import Tails
from streaming.storage.viewers import LocalViewers


class MemoryStorage(Storage):
    """Log, index and blobs in dictionaries; the tails keep every event."""

    durable = False

    def __init__(
        self, *, tombstone_s: float = 86400.0, resources: Mapping[str, int] | None = None
    ) -> None:
        self._jobs = jobs = _Jobs()
        self.index = MemoryIndex(jobs, tombstone_s=tombstone_s)
        self.log = MemoryLog(jobs)
        self.outbox: MemoryOutbox = MemoryOutbox(jobs)
        self.blobs = self._blobs = MemoryBlobs()
        self.viewers = LocalViewers()
        self.leases = LocalLeases(resources)
        self._secret = os.urandom(SECRET_BYTES)

    def open(self, *, timeout: float) -> None:  # noqa: ARG002
        return None

    def close(self) -> None:
        with self._jobs:
            self._jobs.closed = True
        self._jobs.tails.close()
        self._blobs.close()

    def size(self) -> int:
        with self._jobs:
            return sum(row.size for row in self._jobs.rows.values())

    def secret(self) -> bytes:
        with self._jobs:
            return self._secret

    def appended(self) -> int:
        return self._jobs.tails.published

    def fault(self) -> str | None:
        return None


class _Jobs:
    """What log and index share. Entering it takes the lock of all commits, or raises `Closed`."""

    def __init__(self) -> None:
        self.lock = native_lock()
        self.closed = False
        self.rows: dict[str, JobRow] = {}
        self.keys: dict[tuple[str, str], Submission] = {}
        self.records: dict[str, dict[str, bytes]] = {}
        self.bases: dict[str, bytes] = {}
        #: Calls of webhooks by their ids, and when they are due.
        self.calls: dict[str, tuple[float, Call]] = {}
        #: Unfinished jobs whose receivers want no more calls.
        self.refused: set[str] = set()
        self.tails = Tails(self.rows.get, keep=True)

    def __enter__(self) -> None:
        self.lock.acquire()
        if self.closed:
            self.lock.release()
            raise Closed()

    def __exit__(self, *_: object) -> None:
        self.lock.release()


class MemoryLog(EventLog):
    """The log in the tails."""

    def __init__(self, jobs: _Jobs) -> None:
        self._jobs = jobs

    def append(
        self,
        job: str,
        drafts: Sequence[Draft],
        *,
        attempt: int | None = None,
        expect: Expect | None = None,
        records: Mapping[str, bytes] | None = None,
        patient: bool = True,  # noqa: ARG002 - it is never away
    ) -> JobRow:
        with self._jobs:
            row = self._jobs.rows.get(job)
            if row is None or row.expired:
                raise NotFound(f"there is no job {job}", code="job_not_found")
            row, events = extend(row, drafts, attempt=attempt, expect=expect)
            self._jobs.rows[job] = row
            self._jobs.records.setdefault(job, {}).update(records or {})
            self._keep_calls(row, events)
            self._jobs.tails.publish(row, events)
        return row

    def page(self, job: str, after: int, limit: int) -> Page:
        page = self._jobs.tails.get(job).page(after, limit)
        if page is None:
            raise NotFound(f"there is no job {job}", code="job_not_found")
        return page

    def live(self, job: str) -> Live:
        return self._jobs.tails.get(job)

    def trim(self, job: str, before: int, base: bytes) -> None:
        with self._jobs:
            row = self._jobs.rows.get(job)
            if row is None or row.expired or not row.base < before <= row.seq:
                return
            tail = self._jobs.tails.get(job)
            trimmed = tail.page(row.base, before - row.base)
            size = sum(len(event.json) for event in trimmed.events) if trimmed else 0
            self._jobs.rows[job] = row = row._replace(base=before, size=row.size - size)
            self._jobs.bases[job] = base
            tail.publish(row, ())
            tail.trim(before)

    def base(self, job: str) -> bytes | None:
        with self._jobs:
            return self._jobs.bases.get(job)

    def _keep_calls(self, row: JobRow, events: Sequence[Event]) -> None:
        if row.id not in self._jobs.refused:
            for call in calls_of(row, events):
                self._jobs.calls[call.id] = (call.made_at, call)
        if row.closed:
            self._jobs.refused.discard(row.id)

    def records(self, job: str) -> Mapping[str, bytes]:
        with self._jobs:
            return dict(self._jobs.records.get(job, {}))


class MemoryIndex(JobIndex):
    """The rows in a dictionary."""

    def __init__(self, jobs: _Jobs, *, tombstone_s: float) -> None:
        self._jobs = jobs
        self._tombstone_s = tombstone_s

    def submit(self, submission: Submission, *, only_known: bool = False) -> tuple[JobRow, bool]:
        key = (submission.owner, submission.key or "")
        with self._jobs:
            if submission.key is not None and key in self._jobs.keys:
                known = self._jobs.keys[key]
                check_digest(known.digest, submission)
                return self._jobs.rows[known.id], False
            if only_known:
                raise NotFound("no job has this key")
            row, events = extend(first_row(submission), [submission.queued])
            self._jobs.rows[row.id] = row
            if submission.records:
                self._jobs.records[row.id] = dict(submission.records)
            if submission.key is not None:
                self._jobs.keys[key] = submission
            self._jobs.tails.publish(row, events)
        return row, True

    def get(self, job: str) -> JobRow | None:
        with self._jobs:
            return self._jobs.rows.get(job)

    def list(
        self,
        *,
        owner: str | None = None,
        statuses: Collection[str] = (),
        task: str | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> list[JobRow]:
        with self._jobs:
            rows = list(self._jobs.rows.values())
        found = [
            row
            for row in sorted(rows, key=lambda row: row.id, reverse=True)
            if (owner is None or row.owner == owner)
            and (not statuses or row.status in statuses)
            and (task is None or row.task == task)
            and (before is None or row.id < before)
            and not row.expired
        ]
        return found[:limit]

    def remove(self, job: str, *, tombstone: bool) -> None:
        with self._jobs:
            row = self._jobs.rows.pop(job, None)
            self._jobs.records.pop(job, None)
            self._jobs.bases.pop(job, None)
            for key in [key for key, known in self._jobs.keys.items() if known.id == job]:
                del self._jobs.keys[key]
            if row is not None and tombstone:
                lasts = time.time() + self._tombstone_s
                self._jobs.rows[job] = row._replace(expired=True, size=0, expires_at=lasts)
        self._jobs.tails.drop(job)

    def due(self, now: float) -> Iterable[str]:
        with self._jobs:
            rows = list(self._jobs.rows.values())
        ends = [(row.expires_at, row.id) for row in rows if row.expires_at is not None]
        return [job for expires_at, job in sorted(ends) if expires_at <= now]

    def long(self, events: int) -> Iterable[JobRow]:
        with self._jobs:
            rows = list(self._jobs.rows.values())
        return [row for row in rows if row.seq - row.base > events and not row.expired]


class MemoryOutbox(Outbox):
    """The calls in a dictionary."""

    def __init__(self, jobs: _Jobs) -> None:
        self._jobs = jobs

    def due(self, now: float, *, limit: int) -> Sequence[Call]:
        with self._jobs:
            found = [(at, call.id) for at, call in self._jobs.calls.values() if at <= now]
            return [self._jobs.calls[id][1] for _, id in sorted(found)[:limit]]

    def waiting(self) -> list[tuple[float, Call]]:
        """All calls, each with the time (epoch seconds) when it is due."""
        with self._jobs:
            return list(self._jobs.calls.values())

    def put_off(self, call: Call, until: float) -> None:
        with self._jobs:
            if call.id in self._jobs.calls:
                self._jobs.calls[call.id] = (until, call)

    def drop(self, call: Call) -> None:
        with self._jobs:
            self._jobs.calls.pop(call.id, None)

    def refuse(self, call: Call) -> None:
        with self._jobs:
            row = self._jobs.rows.get(call.job)
            if row is not None and not row.closed:
                self._jobs.refused.add(call.job)
            for id in [id for id, (_, each) in self._jobs.calls.items() if each.job == call.job]:
                del self._jobs.calls[id]


class MemoryBlobs(Blobs):
    """The bytes in a dictionary."""

    def __init__(self) -> None:
        self._lock = native_lock()
        self._closed = False
        self._blobs: dict[str, tuple[bytes, float]] = {}

    def close(self) -> None:
        """Refuse every later call."""
        self._closed = True

    def put(self, key: str, chunks: Iterable[bytes]) -> int:
        data = b"".join(chunks)
        with self._lock:
            if self._closed:
                raise Closed()
            self._blobs[key] = (data, time.time())
        return len(data)

    def open(self, key: str) -> IO[bytes]:
        with self._lock:
            if self._closed:
                raise Closed()
            if key not in self._blobs:
                raise NotFound(f"there is no {key.rpartition('/')[2]}")
            return io.BytesIO(self._blobs[key][0])

    def delete(self, folder: str) -> None:
        with self._lock:
            for key in [key for key in self._blobs if key.startswith(folder + "/")]:
                del self._blobs[key]

    def folders(self, prefix: str) -> Iterable[Folder]:
        found: dict[str, Folder] = {}
        with self._lock:
            for key, (data, made_at) in self._blobs.items():
                name = key.partition("/")[0]
                known = found.get(name, Folder(name, made_at, 0))
                found[name] = replace(known, size=known.size + len(data))
        return [folder for name, folder in found.items() if name.startswith(prefix)]
