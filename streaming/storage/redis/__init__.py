"""Storage in Redis: one stream per job, shared by any number of processes and machines."""

from __future__ import annotations

import os
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping
from pathlib import Path

from streaming.concurrency.periodic import Periodic
from streaming.concurrency.waking import make_waker
from streaming.errors import InvalidSettings, Unavailable
from streaming.storage.base import SECRET_BYTES, Storage
from streaming.storage.blobs import Blobs
from streaming.storage.folder import FolderBlobs
from streaming.storage.outbox import Outbox
from streaming.storage.redis.blobs import RedisBlobs
from streaming.storage.redis.connection import Server, explain
from streaming.storage.redis.follower import Follower
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

#: Seconds for which a start waits for Redis, and between two tries.
START_S, RETRY_S = 20.0, 0.25
#: Seconds after which a half-written file in a shared folder is nobody's any more.
HALF_WRITTEN_S = 86400.0
#: Seconds between two looks whether the indexes are as the rows say.
REPAIR_S = 300.0


class RedisStorage(Storage):
    """Shared by many processes; as durable as the Redis server is set to be."""

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
        start_s: float = START_S,
        resources: Mapping[str, int] | None = None,
        worker_timeout_s: float = 10.0,
    ) -> None:
        """`blobs`: a folder that all machines share; without one, blobs are in Redis too.

        `worker_timeout_s`: seconds of silence after which what a process leases is free.
        """
        self._server = server = Server(url, verify=verify, prefix=prefix)
        self._start_s = start_s
        process = os.urandom(6).hex()
        self.link = Link(server, name="redis-link")
        self.rows = rows = Rows(self.link, server.keys)
        self.memberships = Memberships(self.link, rows, server.keys)
        self.follower = Follower(server, self.link, rows, process=process)
        self._writer = Writer(
            server,
            process=process,
            published=self.follower.offer,
            memberships=self.memberships,
            lost=self.follower.lost,
        )
        self.index = RedisIndex(
            self.link,
            rows,
            server.keys,
            memberships=self.memberships,
            follower=self.follower,
            tombstone_s=tombstone_s,
        )
        self.log = RedisLog(
            self.link,
            rows,
            server.keys,
            writer=self._writer,
            follower=self.follower,
            memberships=self.memberships,
            patience_s=patience_s,
        )
        self.mender = RedisMender(
            self.link,
            rows,
            server.keys,
            follower=self.follower,
            memberships=self.memberships,
        )
        self.outbox: Outbox = RedisOutbox(self.link, server.keys)
        self.blobs: Blobs = (
            FolderBlobs(blobs)
            if blobs is not None
            else RedisBlobs(self.link, server.keys, limit=blob_bytes)
        )
        self.viewers = self._viewers = RedisViewers(self.link, server.keys, process=process)
        self.leases = self._leases = RedisLeases(
            self.link,
            server.keys,
            process=process,
            sizes=resources,
            timeout_s=worker_timeout_s,
            patience_s=patience_s,
        )
        self.follower.hear(server.keys.lease_news, self._leases.look)
        self._turns = Turns(self.link, server.keys, process=process)
        self._repair = Periodic(
            self.memberships.repair_in_turn, every_s=REPAIR_S, name="redis-repair"
        )

    def open(self, *, timeout: float) -> None:
        """`InvalidSettings` when it is not reachable in time, or not fit for logs."""
        until = time.monotonic() + max(timeout, self._start_s)
        waker = make_waker()
        while True:
            try:
                self._server.check()
                break
            except Unavailable as error:
                if time.monotonic() > until:
                    raise InvalidSettings(
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
                self._repair,
            ):
                part.start()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._repair.stop()
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

    def dead(self) -> list[str]:
        threads = (self._writer, self.follower, self.link)
        loops = (self._viewers.loop, self._leases.loop, self._repair)
        return [part.name for part in (*threads, *loops) if part.dead]
