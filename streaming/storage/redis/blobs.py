"""Blobs in Redis, in parts: for machines that share no folder."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Iterable, Iterator
from typing import IO, Any

from streaming.errors import NotFound, TooLarge, Unavailable
from streaming.events.vocabulary import JsonObject
from streaming.storage.blobs import Blobs, Folder
from streaming.storage.redis.keys import Keys
from streaming.storage.redis.link import Link

#: Bytes of a part, which one command carries.
PART_BYTES = 256 << 10
#: Seconds for which replaced or deleted parts stay, for those who are reading them.
LINGER_S = 600
#: Seconds that the parts of an unfinished blob last.
UNFINISHED_S = 3600


class RedisBlobs(Blobs):
    """Each folder is a hash of its blobs; the parts of each version of a blob are keys."""

    def __init__(self, link: Link, keys: Keys, *, limit: int) -> None:
        self._link = link
        self._keys = keys
        self._limit = limit

    def put(self, key: str, chunks: Iterable[bytes]) -> int:
        folder, name = _split(key)
        version, size, parts = os.urandom(8).hex(), 0, 0
        try:
            for part in _parts(chunks):
                size += len(part)
                if size > self._limit:
                    raise TooLarge(
                        f"{name} is over the {self._limit} bytes of a file in Redis "
                        "(STREAMING_BLOB_BYTES); have the machines share a folder "
                        "(STREAMING_BLOB_DIR)"
                    )
                part_key = self._keys.part(folder, version, parts)
                self._link.call(("SET", part_key, part, "EX", UNFINISHED_S))
                parts += 1
        except BaseException:  # also a stop of the task that yields the chunks
            self._discard(folder, version, parts)
            raise
        self._finish(folder, name, {"version": version, "size": size, "parts": parts})
        return size

    def open(self, key: str) -> IO[bytes]:
        folder, name = _split(key)
        [found] = self._link.call(("HGET", self._keys.folder(folder), name))
        if found is None:
            raise NotFound(f"there is no {name}")
        meta = json.loads(found)
        raw = _Parts(self._link, self._keys, folder, meta["version"], meta["size"])
        return io.BufferedReader(raw, buffer_size=PART_BYTES)

    def delete(self, folder: str) -> None:
        [found] = self._link.call(("HGETALL", self._keys.folder(folder)))
        self._link.call(("DEL", self._keys.folder(folder)), ("ZREM", self._keys.folders, folder))
        for meta in map(json.loads, found.values()):
            self._discard(folder, meta["version"], meta["parts"])

    def folders(self, prefix: str) -> Iterable[Folder]:
        [found] = self._link.call(
            ("ZRANGEBYLEX", self._keys.folders, f"[{prefix}", f"[{prefix}\xff")
        )
        names = [name.decode() for name in found]
        for name, blobs in zip(
            names, self._link.call(*[("HGETALL", self._keys.folder(n)) for n in names]), strict=True
        ):
            metas = [json.loads(meta) for meta in blobs.values()]
            made_at = max((meta["made_at"] for meta in metas), default=0.0)
            yield Folder(name, made_at, sum(meta["size"] for meta in metas))

    def _finish(self, folder: str, name: str, meta: JsonObject) -> None:
        """Make the parts permanent, then show them in place of the old ones."""
        meta["made_at"] = time.time()
        lasting = [
            ("PERSIST", self._keys.part(folder, meta["version"], number))
            for number in range(meta["parts"])
        ]
        if not all(self._link.call(*lasting)) and not self._are_there(folder, meta):
            raise Unavailable(f"{name} took too long to store", code="storage_away")
        hash_key = self._keys.folder(folder)
        replaced, _, _ = self._link.call(
            ("HGET", hash_key, name),
            ("HSET", hash_key, name, json.dumps(meta)),
            ("ZADD", self._keys.folders, 0, folder),
        )
        if replaced is not None:
            old = json.loads(replaced)
            if old["version"] != meta["version"]:
                self._discard(folder, old["version"], old["parts"])

    def _are_there(self, folder: str, meta: JsonObject) -> bool:
        """Whether all parts exist, whatever a repeated command has answered."""
        keys = [self._keys.part(folder, meta["version"], n) for n in range(meta["parts"])]
        return all(self._link.call(*[("EXISTS", key) for key in keys]))

    def _discard(self, folder: str, version: str, parts: int) -> None:
        self._link.call(
            *[
                ("EXPIRE", self._keys.part(folder, version, number), LINGER_S)
                for number in range(parts)
            ]
        )


class _Parts(io.RawIOBase):
    """A blob's bytes, fetched part by part."""

    def __init__(self, link: Link, keys: Keys, folder: str, version: str, size: int) -> None:
        self._link = link
        self._keys = keys
        self._folder = folder
        self._version = version
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        if self._at >= self._size:
            return 0
        number, offset = divmod(self._at, PART_BYTES)
        key = self._keys.part(self._folder, self._version, number)
        last = offset + len(buffer) - 1
        [found] = self._link.call(("GETRANGE", key, offset, last))
        if not found:
            raise NotFound("the file was deleted while it was read")
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)


def _parts(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks' bytes, cut into parts."""
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        while len(buffer) >= PART_BYTES:
            yield bytes(buffer[:PART_BYTES])
            del buffer[:PART_BYTES]
    if buffer:
        yield bytes(buffer)


def _split(key: str) -> tuple[str, str]:
    folder, _, name = key.partition("/")
    if not folder or not name or "/" in name or name.startswith(".") or folder.startswith("."):
        raise NotFound(f"{key!r} is not a name")
    return folder, name
