"""An attempt's events, on their way to the log."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import ParamSpec

from streaming.concurrency.locks import Mutex
from streaming.concurrency.pending import Pending
from streaming.concurrency.platform import forks
from streaming.concurrency.stop_signal import StopSignal
from streaming.errors import LogRefusal, NotFound, StreamingError, Superseded, TaskError, Unexpected
from streaming.events.event import Draft
from streaming.events.plain import plain_text
from streaming.storage.base import EventLog
from streaming.storage.rows import Expect, JobRow

P = ParamSpec("P")

#: Events and bytes that a task may be ahead of their commit.
POSTS, POSTED_BYTES = 64, 1 << 20


class Emitter:
    """The events of one attempt, in order. A stop, or a refusal by the log, ends its task."""

    def __init__(
        self,
        log: EventLog,
        job: str,
        *,
        attempt: int,
        stop: StopSignal,
        max_event_bytes: int,
        spend: Callable[[int, int], None],
    ) -> None:
        """`spend(events, bytes)` raises when the job may write no more."""
        self._log = log
        self._job = job
        self._attempt = attempt
        self._stop = stop
        self._max_event_bytes = max_event_bytes
        self._spend = spend
        #: Those under way with their bytes, the oldest first.
        self._under_way: deque[tuple[Pending[object], int]] = deque()
        self._bytes = 0
        #: Held by the one thread of the task that posts or settles.
        self._turn = Mutex()
        self._forks = forks()

    def draft(self, make: Callable[P, Draft], *args: P.args, **kwargs: P.kwargs) -> Draft:
        """The event of a constructor; `TaskError` for what cannot be one."""
        try:
            return make(*args, **kwargs)
        except (TypeError, ValueError) as error:
            raise _invalid(make, error) from error

    def emit(self, make: Callable[P, Draft], *args: P.args, **kwargs: P.kwargs) -> None:
        """Post an event: returns before its commit, but lets the task run only so far ahead."""
        try:
            draft = make(*args, **kwargs)
        except (TypeError, ValueError) as error:
            raise _invalid(make, error) from error
        if self._stop.reason is not None:
            self._stop.check()
        self._refuse_forks()
        size, under_way = self._check(draft), self._under_way
        with self._turn:
            try:
                if under_way:
                    self._settle(POSTS - 1, POSTED_BYTES)
                last = under_way[-1][0] if under_way else None
                post = self._log.post(self._job, (draft,), attempt=self._attempt, after=last)
            except (LogRefusal, NotFound) as refusal:
                raise self._superseded(refusal) from refusal
            under_way.append((post, size))
            self._bytes += size

    def append(
        self,
        drafts: Sequence[Draft],
        *,
        records: Mapping[str, bytes] | None = None,
        expect: Expect | None = None,
    ) -> JobRow:
        """Append after everything that was posted; returns after the commit.

        `Unexpected` when the job is not as `expect` says.
        """
        self._stop.check()
        self._refuse_forks()
        for draft in drafts:
            self._check(draft)
        with self._turn:
            try:
                self._settle(0, 0)
                return self._log.append(
                    self._job, drafts, attempt=self._attempt, records=records, expect=expect
                )
            except Unexpected:
                raise
            except (LogRefusal, NotFound) as refusal:
                raise self._superseded(refusal) from refusal

    def _refuse_forks(self) -> None:
        """A forked child shares no working connection to the log: nothing it emits would arrive."""
        if forks() != self._forks:
            raise TaskError(
                "a forked process has no job: let the task itself report what its children do",
                code="forked",
            )

    def settle(self) -> None:
        """Wait until all that was posted is committed; raises what a post raised."""
        with self._turn:
            try:
                self._settle(0, 0)
            except (LogRefusal, NotFound) as refusal:
                raise self._superseded(refusal) from refusal

    def _settle(self, posts: int, size: int) -> None:
        """Wait until at most so many posts and bytes are under way."""
        under_way = self._under_way
        if under_way and not posts:
            under_way[-1][0].wait()  # the others are settled before it: one wait, not many
        while under_way:
            post, bytes_of_it = under_way[0]
            if not post.done and len(under_way) <= posts and self._bytes <= size:
                return
            if not post.done or post.error is not None:
                post.result()
            under_way.popleft()
            self._bytes -= bytes_of_it

    def _superseded(self, refusal: StreamingError) -> Superseded:
        reason = Superseded(refusal.detail)
        self._stop.set(reason)
        return reason

    def _check(self, draft: Draft) -> int:
        """Refuse an event that is too large, and charge it; its bytes."""
        size, limit = len(draft.encoded), self._max_event_bytes
        if size > limit:
            raise TaskError(
                f"a {draft.type} event of {size} bytes is over the limit of {limit}; "
                "emit smaller pieces, or an artifact",
                code="output_too_large",
            )
        self._spend(1, size)
        return size


def _invalid(make: Callable[..., Draft], error: Exception) -> TaskError:
    kind = getattr(make, "__name__", "event").replace("_", ".", 1)
    return TaskError(f"{kind} is not valid: {plain_text(error, 400)}", code="invalid_output")


class Budget:
    """Events and bytes (artifacts, too) that an attempt may still write; for its task's thread."""

    def __init__(self, *, events: float = math.inf, size: float = math.inf) -> None:
        self._events = events
        self._size = size

    def spend(self, events: int, size: int) -> None:
        """`TaskError` once more was spent than was left, and at every call after that."""
        self._events -= events
        self._size -= size
        if self._events < 0:
            raise TaskError(
                "the job has more events than it may have (STREAMING_MAX_JOB_EVENTS); "
                "emit larger pieces",
                code="job_too_large",
            )
        if self._size < 0:
            raise TaskError(
                "the job has written more bytes than it may (STREAMING_MAX_JOB_BYTES)",
                code="job_too_large",
            )
