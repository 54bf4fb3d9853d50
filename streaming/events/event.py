"""The event: a draft before it has its number, the envelope after. No I/O."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

import msgspec

from streaming.events.envelope import build, head_of
from streaming.events.vocabulary import DELTAS, TERMINAL, TYPES, Json, JsonMapping, JsonObject

#: Made once: `json.dumps` would make one at each call with options.
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


_quote = json.encoder.encode_basestring


#: What ends a line in more than HTTP's eyes, and how JSON says it.
_LINE_ENDS = (("\u2028", "\\u2028"), ("\u2029", "\\u2029"), ("\x85", "\\u0085"))

#: Levels of nesting in an event: readers' parsers stop at 256 (jq) and more.
MAX_DEPTH = 200


def dumps(value: Json) -> bytes:
    """Compact JSON in UTF-8, not escaped.

    `TypeError` or `ValueError`, and nothing else, for what has no such form: NaN, infinities, lone
    surrogates, cycles, objects that JSON does not know or whose methods raise.
    """
    try:
        text = _encode(value)
        return (text if text.isascii() else _escape_lines(text)).encode()
    except (TypeError, ValueError):
        raise
    except RecursionError:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels") from None
    except Exception as error:  # a stranger's methods may raise whatever they like
        raise ValueError(f"{type(error).__name__} while it was encoded") from error


def _escape_lines(text: str) -> str:
    """U+2028, U+2029 and U+0085 escaped: readers of lines in many languages split there."""
    for char, escaped in _LINE_ENDS:
        if char in text:
            text = text.replace(char, escaped)
    return text


def check_depth(encoded: bytes) -> None:
    """`ValueError` for JSON that is nested deeper than `MAX_DEPTH` levels."""
    if encoded.count(b"[") + encoded.count(b"{") > MAX_DEPTH and _is_deep(encoded):
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")


#: Strings, and the brackets outside of them.
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]')


def _is_deep(encoded: bytes) -> bool:
    """Whether more than `MAX_DEPTH` brackets are open at one place."""
    depth = 0
    for token in _TOKENS.finditer(encoded):
        first = encoded[token.start()]
        if first in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif first in b"]}":
            depth -= 1
    return False


def _dump_delta(data: JsonMapping) -> bytes:
    """What `dumps` makes of a delta, in an eighth of its time: each token is one."""
    if len(data) != 2:
        return dumps(data)
    item, text = data["item"], data["text"]
    encoded = f'{{"item":{_quote(item)},"text":{_quote(text)}}}'
    return (encoded if encoded.isascii() else _escape_lines(encoded)).encode()


def now_rfc3339() -> str:
    """The present time, RFC 3339 in UTC with milliseconds."""
    return rfc3339(time.time())


def rfc3339(epoch_s: float) -> str:
    """`epoch_s` as RFC 3339 in UTC with milliseconds."""
    second, ms = divmod(int(epoch_s * 1000), 1000)
    return _rfc3339_second(second) + _MS[ms]


@lru_cache(maxsize=8)  # many events are of the same second
def _rfc3339_second(epoch_s: int) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).isoformat().removesuffix("+00:00")


#: The ends of times, by their milliseconds.
_MS = tuple(f".{ms:03d}Z" for ms in range(1000))


class Draft(msgspec.Struct, frozen=True):
    """An event before it has a seq. Encoded when built: bad data fails at its author."""

    type: str
    data: JsonMapping
    at: str = msgspec.field(default_factory=now_rfc3339)
    #: Given only by those who have encoded the data of a known type themselves.
    encoded: bytes = b""

    def __post_init__(self) -> None:
        if self.encoded:
            return
        if self.type not in TYPES:
            raise ValueError(f"unknown event type {self.type!r}")
        if self.type in DELTAS:
            encoded = _dump_delta(self.data)
        else:
            encoded = dumps(self.data)
            check_depth(encoded)
        msgspec.structs.force_setattr(self, "encoded", encoded)

    @classmethod
    def received(cls, type: str, at: str, encoded: bytes) -> Draft:
        """One that another process has built; its data are parsed when somebody looks at them."""
        return cls(type, _Parsed(encoded) if type in DELTAS else json.loads(encoded), at, encoded)


class _Parsed(JsonMapping):
    """The object that some JSON is, parsed at the first look."""

    __slots__ = ("_data", "_encoded")

    def __init__(self, encoded: bytes) -> None:
        self._encoded = encoded
        self._data: JsonObject | None = None

    def __getitem__(self, name: str) -> Json:
        return self._load()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._load())

    def __len__(self) -> int:
        return len(self._load())

    def _load(self) -> JsonObject:
        if self._data is None:
            self._data = json.loads(self._encoded)
        return self._data


class Event(NamedTuple):
    """An event of a log. `json` is its envelope, made once and shared by all readers."""

    job: str
    seq: int
    type: str
    json: bytes

    @classmethod
    def of(cls, job: str, seq: int, draft: Draft) -> Event:
        """The event that a draft becomes with its number."""
        envelope = build(seq, draft.type, job, draft.at, draft.encoded)
        return cls(job, seq, draft.type, envelope)

    @classmethod
    def parse(cls, body: bytes) -> Event:
        """The event of an envelope; `ValueError` when it is none of ours."""
        head = head_of(body)
        return cls(head.job, head.seq, head.type, body)

    def with_data(self, data: JsonMapping) -> Event:
        """The same event with other data."""
        envelope = build(*head_of(self.json), dumps(data))
        return Event(self.job, self.seq, self.type, envelope)

    @property
    def envelope(self) -> JsonObject:
        """The envelope as an object, parsed at each call."""
        return json.loads(self.json)  # type: ignore[no-any-return]

    @property
    def data(self) -> JsonObject:
        return self.envelope["data"]  # type: ignore[no-any-return]

    @property
    def at(self) -> str:
        """When it was made: RFC 3339, UTC."""
        return head_of(self.json).at

    @property
    def terminal(self) -> bool:
        return self.type in TERMINAL
