"""Where logs, jobs and files are kept; `make_storage` picks the implementation by URL."""

from __future__ import annotations

from importlib.util import find_spec

from streaming.config import Settings
from streaming.errors import InvalidSettings, missing_extra
from streaming.storage.base import Storage
from streaming.storage.memory import MemoryStorage
from streaming.storage.sqlite import SqliteStorage


def make_storage(settings: Settings, *, silence_s: float | None = None) -> Storage:
    """The storage that `STREAMING_LOG_URL` names, not yet open.

    `silence_s`: of a server that owes an answer, after which who waits is told that it is away.
    """
    if settings.shared:
        for package in ("redis", "dramatiq"):
            if find_spec(package) is None:
                raise InvalidSettings(missing_extra(package, "redis"))
        from streaming.storage.redis import RedisStorage

        return RedisStorage(
            settings.log_url,
            verify=settings.redis_verify,
            blobs=settings.blob_dir,
            blob_bytes=settings.blob_bytes,
            tombstone_s=settings.retention_s,
            resources=settings.resources,
            worker_timeout_s=settings.worker_timeout_s,
            silence_s=silence_s,
        )
    if settings.sqlite_path is None:
        return MemoryStorage(tombstone_s=settings.retention_s, resources=settings.resources)
    return SqliteStorage(
        settings.sqlite_path,
        blobs=settings.var_dir / "blobs",
        tombstone_s=settings.retention_s,
        resources=settings.resources,
    )
