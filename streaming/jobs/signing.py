"""How a webhook is signed: the headers `webhook-id`, `-timestamp` and `-signature`, and the key."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Mapping, Sequence

from streaming.storage.base import Storage
from streaming.storage.outbox import Call


def signing_key(storage: Storage) -> bytes:
    """The key where no setting has one: the same in all processes on this storage, and lasting."""
    return hmac.new(storage.secret(), b"streaming.webhook", hashlib.sha256).digest()


def signature_headers(call: Call, keys: Sequence[bytes], now: float) -> Mapping[str, str]:
    """What Standard Webhooks 1.0 has with a call's body: one signature for each key."""
    timestamp = str(int(now))
    signed = b"%b.%b.%b" % (call.id.encode(), timestamp.encode(), call.body)
    digests = [hmac.new(key, signed, hashlib.sha256).digest() for key in keys]
    return {
        "webhook-id": call.id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{b64encode(each).decode()}" for each in digests),
    }
