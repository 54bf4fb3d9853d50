"""Why there is no answer over a protocol, or no more of it."""

from __future__ import annotations

from streaming.errors import StreamingError, TaskError, TooMany, Unavailable
from streaming.protocols.frames import Encoder
from streaming.storage.rows import JobRow
from streaming.watching.lifetime import Closing, retry_s
from streaming.watching.streams import Refusal


def refused(refusal: Refusal) -> StreamingError:
    """Why there is no room, as an error that clients may try again after."""
    if refusal.why in ("rate_exceeded", "too_many_streams_of_owner"):
        return TooMany("you have too many requests under way", code=refusal.why)
    code = "draining" if refusal.why == "drain" else refusal.why
    return Unavailable("there is no room for another answer; try again", code=code)


def closed(closing: Closing, encoder: Encoder) -> Unavailable:
    """Why the server ends a stream, for its reader: the job goes on."""
    code = "draining" if closing.reason == "drain" else closing.reason
    job = encoder.about.job
    return Unavailable(f"the server ends this stream; job {job} goes on", code=code, job=job)


def draining(row: JobRow) -> Unavailable:
    """The server leaves; the job goes on."""
    return Unavailable(
        f"the server is restarting; job {row.id} goes on: come back for it",
        code="draining",
        job=row.id,
        retry_after_s=retry_s(),
    )


def gone(job: str) -> TaskError:
    """The log is not whole any more, or not there."""
    return TaskError(
        f"the beginning of job {job} was removed by retention; its snapshot has what is left",
        code="position_expired",
        job=job,
    )
