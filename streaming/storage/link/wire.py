"""What travels over a link: rows, events, errors as lists of plain values and bytes.

JSON values travel as the JSON that they are kept as: their integers have no limit.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeAlias

from streaming import errors
from streaming.errors import StreamingError
from streaming.events.event import Draft, Event, dumps
from streaming.events.summary import Summary
from streaming.storage.blobs import Folder
from streaming.storage.leases import Pool
from streaming.storage.rows import JobRow, Page, Submission
from streaming.storage.viewers import Viewer

#: As MessagePack gives it: what is in it, its pack_… and unpack_… know.
Packed: TypeAlias = Sequence[Any]


def pack_row(row: JobRow | None) -> Packed | None:
    return None if row is None else (row.id, row.owner, dumps(row.summary.to_json()), *row[3:])


def unpack_row(packed: Packed) -> JobRow:
    return JobRow(packed[0], packed[1], Summary.from_json(json.loads(packed[2])), *packed[3:])


def pack_draft(draft: Draft) -> Packed:
    return draft.type, draft.at, draft.encoded


def unpack_drafts(packed: Sequence[Packed]) -> list[Draft]:
    return [Draft.received(*each) for each in packed]


def pack_page(page: Page) -> Packed:
    events = [(event.seq, event.type, event.json) for event in page.events]
    return events, page.base, page.last, page.closed


def unpack_page(job: str, packed: Packed) -> Page:
    return Page(tuple(Event(job, *each) for each in packed[0]), *packed[1:])


def pack_submission(new: Submission) -> Packed:
    queued = pack_draft(new.queued)
    return new.id, new.owner, new.task, queued, new.key, new.digest, dict(new.records)


def unpack_submission(packed: Packed) -> Submission:
    id, owner, task, queued, key, digest, records = packed
    return Submission(id, owner, task, Draft.received(*queued), key, digest, records)


def pack_viewer(viewer: Viewer) -> Packed:
    return viewer.id, viewer.transport, viewer.since, viewer.position


def unpack_viewers(packed: Sequence[Packed]) -> list[Viewer]:
    return [Viewer(*each) for each in packed]


def pack_folder(folder: Folder) -> Packed:
    return folder.name, folder.made_at, folder.size


def pack_pool(pool: Pool) -> Packed:
    return pool.total, pool.taken, pool.waiting


def pack_error(error: BaseException) -> Packed:
    """A `StreamingError` with all that it says; of any other, its kind and its text."""
    if isinstance(error, StreamingError):
        said = {"retryable": error.retryable, "extra": error.extra}
        return type(error).__name__, error.detail, error.code, dumps(said)
    return type(error).__name__, str(error), "", b""


def unpack_error(packed: Packed) -> Exception:
    """The error as it was raised at the other end; of an unknown kind, a `StreamingError`."""
    name, detail, code, said = packed
    if name == "ValueError":
        return ValueError(detail)
    kind = getattr(errors, name, None)
    if not (isinstance(kind, type) and issubclass(kind, StreamingError) and said):
        return StreamingError(f"{name}: {detail}")
    more = json.loads(said)
    error = kind.__new__(kind)
    StreamingError.__init__(error, detail, code=code, **more["extra"])
    error.retryable = more["retryable"]
    return error
