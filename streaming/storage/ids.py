"""Ids: opaque, never reused, sorted by creation time."""

from __future__ import annotations

import os
import time

from streaming.concurrency.platform import native_lock

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


_last_ulid = 0


_ulid_lock = native_lock()


def new_id(prefix: str) -> str:
    """`prefix` and a ULID (26 characters): sorted by time, rising within this process."""
    global _last_ulid
    fresh = (int(time.time() * 1000) << 80) | int.from_bytes(os.urandom(10), "big")
    with _ulid_lock:
        _last_ulid = number = max(fresh, _last_ulid + 1)
    digits = [_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5)]
    return prefix + "".join(digits)
