"""API keys: kept as hashes, each with an owner and scopes, in a file or in the environment.

A key has 256 random bits, so a plain SHA-256 of it cannot be turned back. One line a key:
`ID:OWNER:SCOPE+SCOPE:HASH`.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from streaming.config import Settings
from streaming.errors import InvalidSettings
from streaming.web.principal import OWN, SCOPES, Principal

logger = logging.getLogger(__name__)

#: Seconds between two looks whether the file has changed: a revoked key lives no longer.
LOOK_S = 1.0
#: What every made key begins with, so that scanners for secrets can find it.
PREFIX = "stk"
OWNER = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_HASH = re.compile(r"[0-9a-f]{64}")
_ID = re.compile(r"[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class Key:
    """What is kept of a key."""

    id: str
    owner: str
    scopes: frozenset[str]
    hash: str

    @property
    def line(self) -> str:
        scopes = "+".join(scope for scope in SCOPES if scope in self.scopes)
        return f"{self.id}:{self.owner}:{scopes}:{self.hash}"

    @property
    def principal(self) -> Principal:
        return Principal(f"owner:{self.owner}", self.scopes, key=self.id)


def make_key(owner: str, scopes: Iterable[str]) -> tuple[str, Key]:
    """A new key: the text for its holder, which nobody can ever show again, and what is kept."""
    id = secrets.token_hex(4)
    text = f"{PREFIX}_{id}_{secrets.token_urlsafe(32)}"
    return text, parse_line(f"{id}:{owner}:{'+'.join(scopes)}:{hash_of(text)}")


def hash_of(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def parse_line(line: str) -> Key:
    """`ValueError` says what is wrong with the line, without its hash."""
    parts = line.strip().split(":")
    if len(parts) != 4:
        raise ValueError("a key is kept as ID:OWNER:SCOPE+SCOPE:HASH")
    id, owner, scopes, hash = parts
    if not _ID.fullmatch(id) or not _HASH.fullmatch(hash):
        raise ValueError("an id has 8 hexadecimal digits, a hash 64")
    if not OWNER.fullmatch(owner):
        raise ValueError(f"owner {owner[:80]!r}: 1 to 64 of A-Z a-z 0-9 . _ @ -")
    given = scopes.split("+")
    if not set(given) <= set(SCOPES):
        raise ValueError(f"scopes {scopes[:80]!r}: one or more of {'+'.join(SCOPES)}")
    return Key(id, owner, frozenset(given), hash)


def parse_lines(lines: Iterable[str]) -> list[Key]:
    """The keys; empty lines and those that begin with # are passed over."""
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                found.append(parse_line(line))
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
    return found


def write_keys(path: Path, keys: Iterable[Key]) -> None:
    """Replace the file as a whole; readable by its owner alone."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.writelines(f"{key.line}\n" for key in keys)
    draft.replace(path)


class KeyRing:
    """The keys that hold now. A change of the file counts within `LOOK_S`."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`InvalidSettings` when the file cannot be read, or a line is not a key's."""
        self._clock = clock
        self._path = settings.api_keys_file
        self._plain = dict(map(_plain, settings.api_keys))
        try:
            self._fixed = parse_lines(settings.api_keys_hashed)
        except ValueError as error:
            raise InvalidSettings(f"STREAMING_API_KEYS_HASHED: {error}") from None
        self._stamp: tuple[int, int] | None = None
        self._looked_at = clock()
        self._by_hash: Mapping[str, Principal] = {}
        self._by_id: Mapping[str, Principal] = {}
        try:
            self._load()
        except (OSError, ValueError) as error:
            raise InvalidSettings(
                f"STREAMING_API_KEYS_FILE={self._path}: {error}. "
                "Make a key: python -m streaming.cli keys add OWNER"
            ) from None

    def find(self, text: str) -> Principal | None:
        """Whose key it is; None for nobody's."""
        self._look()
        return self._by_hash.get(hash_of(text))

    def of(self, id: str) -> Principal | None:
        """Whose key has the id, as long as it holds."""
        self._look()
        return self._by_id.get(id)

    def _look(self) -> None:
        now = self._clock()
        if self._path is None or now - self._looked_at < LOOK_S:
            return
        self._looked_at = now
        try:
            self._load()
        except (OSError, ValueError) as error:  # what held before goes on to hold
            logger.error("the API keys stay as they were: %s: %s", self._path, error)

    def _load(self) -> None:
        kept = list(self._fixed)
        if self._path is not None:
            stat = self._path.stat()
            stamp = (stat.st_mtime_ns, stat.st_ino)
            if stamp == self._stamp:
                return
            kept += parse_lines(self._path.read_text(encoding="utf-8").splitlines())
            self._stamp = stamp
        self._by_hash = {**self._plain, **{key.hash: key.principal for key in kept}}
        self._by_id = {each.key: each for each in self._by_hash.values()}


def _plain(text: str) -> tuple[str, Principal]:
    """A key of STREAMING_API_KEYS: its own owner, with all rights to what is its own."""
    hash = hash_of(text)
    return hash, Principal(f"key:{hash[:24]}", OWN, key=hash[:8])
