"""Storage in Redis: one stream per job, shared by any number of processes and machines."""

from __future__ import annotations

import os
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping
from pathlib import Path

from streaming.concurrency.waking import make_waker
from streaming.errors import NotThere, Unavailable
from streaming.storage.base import SECRET_BYTES, Storage
from streaming.storage.blobs import Blobs
from streaming.storage.folder import FolderBlobs
from streaming.storage.outbox import Outbox
from streaming.storage.redis.blobs import RedisBlobs
from streaming.storage.redis.connection import Server, explain
from streaming.storage.redis.follower import IDLE_S, Follower
from streaming.storage.redis.index import RedisIndex
from streaming.storage.redis.leases import RedisLeases
from streaming.storage.redis.link import Link
from streaming.storage.redis.log import RedisLog
from streaming.storage.redis.memberships import Memberships
from streaming.storage.redis.mender import RedisMender
from streaming.storage.redis.outbox import RedisOutbox
from streaming.storage.redis.rows import Rows
from streaming.storage.redis.turns import Turns
from streaming.storage.redis.viewers import RedisViewers
from streaming.storage.redis.writer import Writer

#: Seconds between two tries of a start, and the least that each of them waits for an answer.
RETRY_S, TRY_S = 0.25, 1.0
#: Seconds after which a half-written file in a shared folder is nobody's any more.
HALF_WRITTEN_S = 86400.0


class RedisStorage(Storage):
    """Shared by many processes; as durable as the Redis server is configured to be."""

    durable = True

    def __init__(
        self,
        url: str,
        *,
        verify: bool = True,
        prefix: str = "streaming",
        blobs: Path | None = None,
        blob_bytes: int = 64 << 20,
        patience_s: float = 300.0,
        tombstone_s: float = 86400.0,
        resources: Mapping[str, int] | None = None,
        worker_timeout_s: float = 10.0,
        idle_s: float = IDLE_S,
        silence_s: float | None = None,
    ) -> None:
        """`blobs`: a folder that all machines share; without one, blobs are in Redis, too.
        Seconds: `worker_timeout_s` of silence, and what a process leases is free; `idle_s` without
        a reader here, and a log is followed no longer; `silence_s` of a Redis that owes an answer,
        and it is away for all who wait but patient appends."""
        self._server = server = Server(url, verify=verify, prefix=prefix)
        keys, process = server.keys, os.urandom(6).hex()
        self.link = link = Link(server, name="redis-link", silence_s=silence_s)
        self.rows = rows = Rows(link, keys)
        self.memberships = memberships = Memberships(link, rows, keys)
        self.follower = follower = Follower(server, link, rows, process=process, idle_s=idle_s)
        self._writer = writer = Writer(
            server,
            process=process,
            memberships=memberships,
            follower=follower,
            silence_s=silence_s,
        )
        self.index = RedisIndex(
            link, rows, keys, memberships=memberships, follower=follower, tombstone_s=tombstone_s
        )
        self.log = RedisLog(
            link,
            rows,
            keys,
            writer=writer,
            follower=follower,
            memberships=memberships,
            patience_s=patience_s,
        )
        self.mender = RedisMender(link, rows, keys, follower=follower, memberships=memberships)
        self.outbox: Outbox = RedisOutbox(link, keys)
        self.blobs: Blobs = (
            RedisBlobs(link, keys, limit=blob_bytes) if blobs is None else FolderBlobs(blobs)
        )
        self.viewers = self._viewers = RedisViewers(link, keys, process=process)
        self.leases = self._leases = leases = RedisLeases(
            link,
            keys,
            process=process,
            sizes=resources,
            timeout_s=worker_timeout_s,
            patience_s=patience_s,
        )
        follower.hear(keys.lease_news, leases.look)
        self._turns = Turns(link, keys, process=process)

    def open(self, *, timeout: float) -> None:
        """`NotThere` when it is not reachable in time, `InvalidSettings` when not fit for logs."""
        until = time.monotonic() + timeout
        waker = make_waker()
        while True:
            try:
                self._server.check(within_s=max(TRY_S, timeout))
                break
            except Unavailable as error:
                if time.monotonic() >= until:
                    raise NotThere(
                        f"Redis at {self._server.shown} is not there: {explain(error)}. "
                        "Start it, or set REDIS_URL."
                    ) from error
                waker.wait(RETRY_S)
        if isinstance(self.blobs, FolderBlobs):
            self.blobs.start(age_s=HALF_WRITTEN_S)
        try:
            for part in (
                self.link,
                self._writer,
                self.follower,
                self._viewers,
                self._leases,
                self.memberships.loop,
            ):
                part.start()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self.memberships.loop.stop()
        self._turns.release()
        self._leases.stop()
        self._viewers.stop()  # others must not count our viewers any longer
        self._writer.stop()
        self.follower.stop()
        self.link.stop()
        if isinstance(self.blobs, FolderBlobs):
            self.blobs.close()

    def secret(self) -> bytes:
        name = self._server.keys.secret
        offer = b64encode(os.urandom(SECRET_BYTES)).decode()
        _, kept = self.link.call(("SET", name, offer, "NX"), ("GET", name))
        return b64decode(kept)

    def appended(self) -> int:
        return self._writer.appended

    def turn(self, what: str) -> bool:
        return self._turns.mine(what)

    def size(self) -> int:
        return self.memberships.size()

    def fault(self) -> str | None:
        dead = [f"the thread {name} has ended" for name in self.dead()]
        return next(iter(dead), None) or self._writer.fault or self.follower.fault

    def fault_now(self, within_s: float) -> str | None:
        known = self.fault()
        if known is None:
            try:
                self.link.call(("PING",), within_s=within_s)
            except Unavailable as error:
                return error.detail
        return known

    def dead(self) -> list[str]:
        threads = (self._writer, self.follower, self.link)
        loops = (self._viewers.loop, self._leases.loop, self.memberships.loop)
        return [part.name for part in (*threads, *loops) if part.dead]
