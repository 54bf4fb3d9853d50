"""What may be anything, made into JSON that every encoder takes: for the ends of jobs and for logs.

An object's own methods may raise, recurse or never fit; nothing here does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Set as AbstractSet
from datetime import date, datetime, time

from streaming.events.vocabulary import Json, JsonObject

#: Levels of nesting, members of one container, and characters of one text that are kept.
DEPTH, MEMBERS, TEXT = 16, 200, 20_000
#: What stands for what is left out.
MORE = "…"


def plain_text(value: object, limit: int = TEXT) -> str:
    """Text that UTF-8 can carry: lone surrogates become U+FFFD, and `limit` characters are kept."""
    try:
        # Of a subclass, the characters and not what its methods say.
        text = str.__str__(value) if issubclass(type(value), str) else str(value)
        text = text[: limit + 1].encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    except BaseException:  # noqa: BLE001 - a stranger's __str__ may raise whatever it likes
        return f"<{kind_of(value)}>"
    return text if len(text) <= limit else text[:limit] + MORE


def kind_of(value: object) -> str:
    """The name of its class, whatever class and metaclass make of theirs."""
    name: str = type.__dict__["__name__"].__get__(type(value))
    return name.encode("utf-8", "replace").decode()


def plain(value: object, depth: int = DEPTH) -> Json:
    """`value` as JSON: what JSON does not know becomes text, what is too much is left out."""
    if value is None or value is True or value is False:
        return value
    try:
        return _known(value, depth)
    except BaseException:  # noqa: BLE001 - a stranger's methods may raise whatever they like
        return f"<{kind_of(value)}>"


def _known(value: object, depth: int) -> Json:
    if isinstance(value, str):
        return plain_text(value)
    if isinstance(value, int):
        return int(value) if abs(int(value)) < 1 << 63 else plain_text(int.__repr__(value))
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes | bytearray):
        return plain_text(bytes(value).decode("utf-8", "replace"))
    if isinstance(value, Mapping | Sequence | AbstractSet):
        return MORE if depth <= 0 else _container(value, depth - 1)
    return plain_text(value)


def _container(value: Iterable[object], depth: int) -> Json:
    if isinstance(value, Mapping):
        made: JsonObject = {}
        for key in value:
            if len(made) >= MEMBERS:
                made[MORE] = MORE
                break
            made[plain_text(key)] = plain(value[key], depth)
        return made
    items: list[Json] = []
    for item in value:
        if len(items) >= MEMBERS:
            items.append(MORE)
            break
        items.append(plain(item, depth))
    return items
