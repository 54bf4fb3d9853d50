"""The outbox in Redis: a hash of calls and a sorted set of their times, written by the appends."""

from __future__ import annotations

import json
from collections.abc import Sequence

from streaming.events.event import Event, dumps
from streaming.storage.outbox import Call, Outbox, calls_of
from streaming.storage.redis.connection import Argument
from streaming.storage.redis.keys import Keys
from streaming.storage.redis.link import Link, call as script
from streaming.storage.redis.scripts import PUT_OFF, REFUSE
from streaming.storage.rows import JobRow

#: Calls looked at in one go for those of a job.
STRIDE = 1000


def call_parts(
    keys: Keys, row: JobRow, events: Sequence[Event]
) -> tuple[list[str], list[Argument]]:
    """Additional keys and arguments of an append whose job has a webhook."""
    if not row.options.get("webhook"):
        return [], []
    args: list[Argument] = [row.id, "1" if row.closed else "0"]
    for call in calls_of(row, events):
        args += [call.id, repr(call.made_at), encode(call)]
    return [keys.outbox("calls"), keys.outbox("times"), keys.outbox("refused")], args


class RedisOutbox(Outbox):
    """Shared by all processes; the one that holds the turn makes the calls."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys
        self._calls, self._times = keys.outbox("calls"), keys.outbox("times")

    def due(self, now: float, *, limit: int) -> Sequence[Call]:
        [ids] = self._link.call(
            ("ZRANGEBYSCORE", self._times, "-inf", repr(now), "LIMIT", 0, limit)
        )
        if not ids:
            return []
        [found] = self._link.call(("HMGET", self._calls, *ids))
        return [decode(id, kept) for id, kept in zip(ids, found, strict=True) if kept is not None]

    def put_off(self, call: Call, until: float) -> None:
        keys = [self._calls, self._times]
        self._link.call(script(PUT_OFF, keys, call.id, repr(until), encode(call)))

    def drop(self, call: Call) -> None:
        self._link.call(("ZREM", self._times, call.id), ("HDEL", self._calls, call.id))

    def refuse(self, call: Call) -> None:
        keys = [self._keys.row(call.job), self._keys.outbox("refused")]
        self._link.call(script(REFUSE, keys, call.job))
        cursor: Argument = "0"
        while True:
            [[cursor, found]] = self._link.call(
                ("HSCAN", self._calls, cursor, "MATCH", f"msg_{call.job}_*", "COUNT", STRIDE)
            )
            ids = list(found)[:: 1 if isinstance(found, dict) else 2]
            if ids:
                self._link.call(("ZREM", self._times, *ids), ("HDEL", self._calls, *ids))
            if int(cursor) == 0:
                return


def encode(call: Call) -> bytes:
    """The stored form of a call; a later version may add members."""
    told = {"job": call.job, "url": call.url, "at": call.made_at, "tries": call.tries}
    return dumps({**told, "body": call.body.decode()})


def decode(id: bytes, kept: bytes) -> Call:
    told = json.loads(kept)
    body = told["body"].encode()
    return Call(id.decode(), told["job"], told["url"], body, told["at"], told["tries"])
