"""The event log at the other end: posts travel many in a frame, and are acknowledged by number."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping, Sequence

from streaming.concurrency.pending import Pending, settle
from streaming.concurrency.waking import Wakeable
from streaming.errors import Unavailable
from streaming.events.event import Draft
from streaming.storage.base import EventLog, Live
from streaming.storage.link.peer import Peer
from streaming.storage.link.wire import (
    Packed,
    pack_draft,
    unpack_error,
    unpack_page,
    unpack_row,
)
from streaming.storage.rows import Expect, JobRow, Page


class LinkLog(EventLog):
    """A post returns at once; what it would have raised, its result raises."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._ids = itertools.count(1)
        #: Under way, by number.
        self._posts: dict[int, _Post] = {}
        self._wakers: dict[int, Wakeable] = {}
        peer.add(notes={"acks": self._take_acks, "moved": self._moved})
        peer.when_over(self._fail)

    def append(
        self,
        job: str,
        drafts: Sequence[Draft],
        *,
        attempt: int | None = None,
        expect: Expect | None = None,
        records: Mapping[str, bytes] | None = None,
        patient: bool = True,
    ) -> JobRow:
        expected = None if expect is None else {path: list(v) for path, v in expect.items()}
        kept = None if records is None else dict(records)
        packed = [pack_draft(draft) for draft in drafts]
        return unpack_row(self._peer.call("append", job, packed, attempt, expected, kept, patient))

    def post(
        self,
        job: str,
        drafts: Sequence[Draft],
        *,
        attempt: int,
        after: Pending[object] | None = None,
    ) -> Pending[object]:
        if after is not None and after.error is not None:
            raise after.error
        number = next(self._ids)
        post = _Post(self._peer, number)
        self._posts[number] = post  # before the look whether there is an end: see `_fail`
        packed = [pack_draft(draft) for draft in drafts]
        try:
            self._peer.share("posts", (number, job, attempt, after is not None, packed))
        except Unavailable:
            self._posts.pop(number, None)
            raise
        return post

    def page(self, job: str, after: int, limit: int) -> Page:
        return unpack_page(job, self._peer.call("page", job, after, limit))

    def live(self, job: str) -> Live:
        return _LinkLive(self, unpack_row(self._peer.call("live", job)))

    def trim(self, job: str, before: int, base: bytes) -> None:
        self._peer.call("trim", job, before, base)

    def base(self, job: str) -> bytes | None:
        base: bytes | None = self._peer.call("base", job)
        return base

    def records(self, job: str) -> Mapping[str, bytes]:
        records: Mapping[str, bytes] = self._peer.call("records", job)
        return records

    def row(self, job: str) -> JobRow:
        """The job's row at present; `NotFound` without such a job."""
        return unpack_row(self._peer.call("live", job))

    def watch(self, job: str, after: int, waker: Wakeable) -> int | None:
        """What `unwatch` takes; None when the log is not at `after` any more."""
        number = next(self._ids)
        self._wakers[number] = waker
        watched = False
        try:
            watched = self._peer.call("watch", number, job, after)
        finally:
            if not watched:
                self._wakers.pop(number, None)
        return number if watched else None

    def unwatch(self, number: int) -> None:
        """Wake nobody any more."""
        if self._wakers.pop(number, None) is not None and not self._peer.over.is_open:
            self._peer.note("unwatch", number)

    def _moved(self, number: int) -> None:
        waker = self._wakers.pop(number, None)
        if isinstance(waker, _Looking):
            self._peer.apart(waker.wake)
        elif waker is not None:
            waker.wake()

    def _take_acks(self, groups: Sequence[tuple[Sequence[int], Sequence[Packed]]]) -> None:
        settled: list[_Post] = []
        for stored, refused in groups:
            for number, error in refused:
                self._posts[number].error = unpack_error(error)
            for number in itertools.chain(stored, (number for number, _ in refused)):
                settled.append(self._posts.pop(number))
        settle(settled)

    def _fail(self) -> None:
        """The other end is gone: no post is committed any more, no log moves.

        Later posts are refused, so that none comes to those that are settled here.
        """
        posts = []
        while self._posts:
            _, post = self._posts.popitem()
            post.error = Unavailable("the other end of the link is gone", code="link_lost")
            posts.append(post)
        settle(posts)
        while self._wakers:
            _, waker = self._wakers.popitem()
            waker.wake()  # here: a look does not wait for who is gone, it raises


class _Post(Pending[object]):
    """A post under way: the other end tells of its end soon, and at once when somebody waits."""

    __slots__ = ("_number", "_peer")

    def __init__(self, peer: Peer, number: int) -> None:
        super().__init__()
        self._peer = peer
        self._number = number

    def hurry(self) -> None:
        with contextlib.suppress(Unavailable):  # it is settled in a moment
            self._peer.note("wanted", self._number)


class _Looking:
    """Wakes one who looks at the log at once, which is at the other end."""

    def __init__(self, waker: Wakeable) -> None:
        self.wake = waker.wake


class _LinkLive:
    """A log's newest events, at the other end."""

    def __init__(self, log: LinkLog, row: JobRow) -> None:
        self._log = log
        self._job = row.id
        self._watches: dict[int, int] = {}

    @property
    def row(self) -> JobRow:
        return self._log.row(self._job)

    def page(self, after: int, limit: int) -> Page | None:  # noqa: ARG002
        """None: not in this process's memory."""
        return None

    def watch(self, after: int, waker: Wakeable) -> bool:
        number = self._log.watch(self._job, after, _Looking(waker))
        if number is None:
            return False
        self._watches[id(waker)] = number
        return True

    def unwatch(self, waker: Wakeable) -> None:
        number = self._watches.pop(id(waker), None)
        if number is not None:
            self._log.unwatch(number)
