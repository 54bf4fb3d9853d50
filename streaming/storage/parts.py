"""Large parts of a job's input: kept as blobs beside its log, which refers to them."""

from __future__ import annotations

import json
from collections.abc import Collection

from streaming.events.event import dumps
from streaming.events.snapshot import Snapshot
from streaming.events.vocabulary import Json, JsonMapping, JsonObject
from streaming.storage.blobs import Blobs

#: Bytes above which a text (most often an image as a data: URL) becomes a blob of its own.
PART_BYTES = 64 << 10
#: Bytes above which a member of the input, not counting its large texts, becomes one blob.
MEMBER_BYTES = 256 << 10
#: The one member of an object that stands for a blob.
REFERENCE = "$blob"


def split(value: JsonMapping) -> tuple[JsonObject, dict[str, bytes]]:
    """The input in its stored form, and the blobs that it refers to, by name."""
    blobs: dict[str, bytes] = {}
    kept: JsonObject = {}
    for name, member in value.items():
        smaller = _without_large(member, blobs)
        if len(encoded := dumps(smaller)) > MEMBER_BYTES:
            smaller = _put(encoded, blobs)
        kept[name] = smaller
    return kept, blobs


def whole_input(blobs: Blobs, state: Snapshot) -> Json:
    """A job's input with its blobs put back; `NotFound` when one is gone."""
    asked = state.recovery.asked
    names = frozenset(asked.get("blobs") or ())
    return _filled(asked["input"], names, blobs, state.job) if names else asked["input"]


def _without_large(value: Json, blobs: dict[str, bytes]) -> Json:
    if isinstance(value, str):
        if len(value) * 4 <= PART_BYTES or len(value.encode()) <= PART_BYTES:
            return value
        return _put(dumps(value), blobs)
    if isinstance(value, list):
        return [_without_large(each, blobs) for each in value]
    if isinstance(value, dict):
        return {name: _without_large(each, blobs) for name, each in value.items()}
    return value


def _put(encoded: bytes, blobs: dict[str, bytes]) -> Json:
    name = f"input-{len(blobs) + 1}.json"
    blobs[name] = encoded
    return {REFERENCE: name}


def _filled(value: Json, names: Collection[str], blobs: Blobs, job: str) -> Json:
    """With blobs in place of references; one blob may refer to others."""
    if isinstance(value, list):
        return [_filled(each, names, blobs, job) for each in value]
    if not isinstance(value, dict):
        return value
    name = value.get(REFERENCE)
    if len(value) == 1 and isinstance(name, str) and name in names:
        with blobs.open(f"{job}/{name}") as content:
            return _filled(json.loads(content.read()), names, blobs, job)
    return {key: _filled(each, names, blobs, job) for key, each in value.items()}
