"""Stopping a job, and waiting a little for its end."""

from __future__ import annotations

import time

from streaming.storage.rows import JobRow
from streaming.web.commands import CancelBody, cancel
from streaming.web.services import services

#: Seconds that a cancel waits for the end, so that it can be told.
CANCEL_S = 2.0


def stopped(row: JobRow) -> JobRow:
    """The job cancelled, and ended where that is soon."""
    row = cancel(row, CancelBody())
    until, after, closed = time.monotonic() + CANCEL_S, row.seq, row.closed
    while not closed and (left := until - time.monotonic()) > 0:
        page = services().storage.log.read(row.id, after, timeout=left)
        after, closed = page.events[-1].seq if page.events else after, page.closed
    return services().storage.index.get(row.id) or row
