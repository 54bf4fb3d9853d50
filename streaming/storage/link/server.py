"""The end of a link that has the storage: does what the other end asks for."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from streaming.concurrency.pending import Pending
from streaming.concurrency.platform import native_lock
from streaming.concurrency.waking import Wakeable, make_waker
from streaming.errors import StreamingError, Unavailable
from streaming.events.vocabulary import Json
from streaming.storage.base import Live, Storage
from streaming.storage.folder import FolderBlobs
from streaming.storage.link.peer import Method, Peer
from streaming.storage.link.wire import (
    Packed,
    pack_error,
    pack_folder,
    pack_page,
    pack_pool,
    pack_row,
    pack_viewer,
    unpack_drafts,
    unpack_submission,
)
from streaming.storage.snapshots import Snapshots

#: Posts of a job whose ends are told together: half of those that it may be ahead of their commit.
ACKS = 32
#: Bytes of a blob that are read at once.
CHUNK = 1 << 20


class LinkServer:
    """Serves one storage to one other process, whose leases end with the link."""

    def __init__(self, peer: Peer, storage: Storage, snapshots: Snapshots) -> None:
        self._peer = peer
        self._storage = storage
        self._snapshots = snapshots
        self._lock = native_lock()
        self._chains: dict[str, _Chain] = {}
        #: Posts that are settled, and of which the other end has not been told.
        self._held: deque[tuple[_Chain, int, Pending[object]]] = deque()
        #: The other end waits for posts up to this number.
        self._wanted = 0
        self._watches: dict[int, tuple[Live, Wakeable]] = {}
        #: Jobs that have requested leases.
        self._leased: set[str] = set()
        peer.add(
            methods=self._methods(),
            notes={"posts": self._take_posts, "wanted": self._want, "unwatch": self._unwatch},
        )

    def forget(self, job: str) -> None:
        """An attempt at the job is over at the other end."""
        self._chains.pop(job, None)

    def release(self) -> None:
        """The link is over: give back what the other end leased, and watch for it no more."""
        with self._lock:
            leased, self._leased = self._leased, set()
            watches, self._watches = self._watches, {}
        for job in leased:
            self._storage.leases.release(job)
        for live, waker in list(watches.values()):
            live.unwatch(waker)

    # -- posts, in the order of their coming

    def _take_posts(self, posts: Sequence[Packed]) -> None:
        last: Pending[object] | None = None
        for post in posts:
            last = self._post(*post)
        if last is not None:
            last.hurry()  # they have gathered at the other end

    def _post(
        self, number: int, job: str, attempt: int, chained: bool, drafts: Sequence[Packed]
    ) -> Pending[object]:
        chain = self._chains.get(job)
        if chain is None:
            chain = self._chains[job] = _Chain()
        after = chain.last if chained else None
        try:
            post = self._storage.log.post(job, unpack_drafts(drafts), attempt=attempt, after=after)
        except StreamingError as error:
            post = Pending()
            post.error, post.done = error, True
        chain.last = post
        waker = _Acknowledging(self, chain, number, post)
        post.waker = waker
        if post.done:  # perhaps before the waker was there
            waker.wake()
        return post

    def acknowledge(self, chain: _Chain, number: int, post: Pending[object]) -> None:
        """Tell the other end what has become of a post: at once if it waits, else with others."""
        self._held.append((chain, number, post))
        chain.held += 1
        waits = number <= self._wanted
        if waits or chain.held >= ACKS:
            self.flush(at_once=waits)

    def flush(self, *, at_once: bool = False) -> None:
        """Tell what has become of all posts that are settled; to be called now and then."""
        stored: list[int] = []
        refused: list[tuple[int, Packed]] = []
        with self._lock:
            while self._held:
                chain, number, post = self._held.popleft()
                chain.held = 0
                if post.error is None:
                    stored.append(number)
                else:
                    refused.append((number, pack_error(post.error)))
        if not stored and not refused:
            return
        try:
            self._peer.share("acks", (stored, refused), at_once=at_once)
        except Unavailable:  # the link is over: nobody wants to know
            return

    def _want(self, number: int) -> None:
        with self._lock:
            self._wanted = max(self._wanted, number)
        for chain in list(self._chains.values()):
            if chain.last is not None and not chain.last.done:
                chain.last.hurry()
        self.flush(at_once=True)

    # -- calls

    def _methods(self) -> Mapping[str, Method]:
        storage, log, index = self._storage, self._storage.log, self._storage.index
        blobs, viewers, leases = storage.blobs, storage.viewers, storage.leases
        return {
            "append": self._append,
            "page": lambda *args: pack_page(log.page(*args)),
            "live": lambda job: pack_row(log.live(job).row),
            "watch": self._watch,
            "trim": lambda job, before, base: log.trim(job, before, base),
            "base": log.base,
            "records": lambda job: dict(log.records(job)),
            "state": lambda job: self._snapshots.state(job).dump(),
            "standing": self._standing,
            "text": self._snapshots.text,
            "submit": self._submit,
            "get": lambda job: pack_row(index.get(job)),
            "list": lambda options: [pack_row(row) for row in index.list(**options)],
            "remove": lambda job, tombstone: index.remove(job, tombstone=tombstone),
            "due": lambda now: list(index.due(now)),
            "long": lambda events: [pack_row(row) for row in index.long(events)],
            "blobs": lambda: str(blobs.root) if isinstance(blobs, FolderBlobs) else None,
            "put": lambda key, path: blobs.put(key, _chunks(path)),
            "open": self._open,
            "delete": blobs.delete,
            "folders": lambda prefix: [pack_folder(each) for each in blobs.folders(prefix)],
            "enter": self._enter,
            "leave": lambda job, viewer, away: viewers.leave(job, viewer, sent_away=away),
            "viewers": lambda job: [pack_viewer(each) for each in viewers.of(job)],
            "absent": viewers.absent_s,
            "request": self._request,
            "position_of": leases.position,
            "queue": self._queue,
            "release": leases.release,
            "pools": lambda: {name: pack_pool(pool) for name, pool in leases.pools().items()},
            "durable": lambda: storage.durable,
            "size": storage.size,
            "turn": storage.turn,
            "secret": storage.secret,
            "appended": storage.appended,
            "fault": storage.fault,
        }

    def _append(
        self,
        job: str,
        drafts: Sequence[Packed],
        attempt: int | None,
        expect: Mapping[str, Sequence[Json]] | None,
        records: Mapping[str, bytes] | None,
        patient: bool,
    ) -> Packed | None:
        row = self._storage.log.append(
            job,
            unpack_drafts(drafts),
            attempt=attempt,
            expect=expect,
            records=records,
            patient=patient,
        )
        return pack_row(row)

    def _standing(self, job: str) -> Packed | None:
        found = self._snapshots.standing(job)
        if found is None:
            return None
        return pack_row(found.row), found.state.dump(), dict(found.records)

    def _watch(self, number: int, job: str, after: int) -> bool:
        live = self._storage.log.live(job)
        waker = _Moving(self._peer, number, self._watches)
        with self._lock:
            self._watches[number] = live, waker
        if live.watch(after, waker):
            return True
        self._unwatch(number)
        return False

    def _unwatch(self, number: int) -> None:
        with self._lock:
            found = self._watches.pop(number, None)
        if found is not None:
            found[0].unwatch(found[1])

    def _submit(self, packed: Packed, only_known: bool) -> tuple[Packed | None, bool]:
        row, new = self._storage.index.submit(unpack_submission(packed), only_known=only_known)
        return pack_row(row), new

    def _open(self, key: str, path: str) -> None:
        """Copy a blob into a file of the other end's."""
        with self._storage.blobs.open(key) as blob, Path(path).open("wb") as copy:
            while chunk := blob.read(CHUNK):
                copy.write(chunk)

    def _enter(self, number: int, job: str, transport: str) -> str:
        position = _Position(self._peer, number)
        return self._storage.viewers.enter(job, transport, position)

    def _request(self, job: str, needs: Mapping[str, int]) -> None:
        with self._lock:
            self._leased.add(job)
        self._storage.leases.request(job, needs)

    def _queue(self, job: str, position: int, timeout: float) -> None:
        self._storage.leases.wait(job, position, timeout, make_waker())


class _Chain:
    """The posts of one job."""

    __slots__ = ("held", "last")

    def __init__(self) -> None:
        #: What comes behind one that has failed fails, too.
        self.last: Pending[object] | None = None
        #: About how many are settled, and the other end has not been told.
        self.held = 0


class _Acknowledging:
    """Woken when a post is settled."""

    __slots__ = ("_chain", "_number", "_post", "_server")

    def __init__(
        self, server: LinkServer, chain: _Chain, number: int, post: Pending[object]
    ) -> None:
        self._server = server
        self._chain = chain
        self._number = number
        self._post: Pending[object] | None = post

    def wake(self) -> None:
        post, self._post = self._post, None
        if post is not None:
            self._server.acknowledge(self._chain, self._number, post)


class _Moving:
    """Woken once, when a log has moved."""

    __slots__ = ("_number", "_peer", "_watches")

    def __init__(self, peer: Peer, number: int, watches: dict[int, tuple[Live, Wakeable]]) -> None:
        self._peer = peer
        self._number = number
        self._watches = watches

    def wake(self) -> None:
        self._watches.pop(self._number, None)
        try:
            self._peer.note("moved", self._number)
        except Unavailable:  # the link is over: nobody waits there
            return


class _Position:
    """Where a viewer of the other end is, as it says; once that is gone, as it said last."""

    def __init__(self, peer: Peer, number: int) -> None:
        self._peer = peer
        self._number = number
        self._last = 0

    def __call__(self) -> int:
        try:
            self._last = self._peer.call("position", self._number)
        except Unavailable:
            return self._last
        return self._last


def _chunks(path: str) -> Iterator[bytes]:
    with os.fdopen(os.open(path, os.O_RDONLY), "rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk
