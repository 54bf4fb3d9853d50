"""Where a job comes from: its owner, the app that accepted it, and that app's address.

It is kept in the job's private records, not in the log, which clients read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from streaming.events.event import dumps
from streaming.events.vocabulary import JsonObject

#: What identifies a user, as `authorize` returns it.
UserId = str | int | UUID

#: The name of the record, and the version of what is in it.
RECORD, VERSION = "origin", 1


@dataclass(frozen=True, slots=True)
class Origin:
    """What an attempt needs to know of the request that made its job."""

    #: The user as `authorize` returned it, type included; None with API keys, or without login.
    user: UserId | None = None
    #: The app that accepted the job: its place among the apps of its process, and its name.
    place: int = 0
    app: str = ""
    #: What the submitting request's URLs began with (`https://host/prefix/`); "" without a request.
    root: str = ""
    #: W3C trace context of the submitting request, by header name.
    trace: Mapping[str, str] = field(default_factory=dict)

    def to_records(self) -> dict[str, bytes]:
        """As `Submission.records` takes it."""
        kept: JsonObject = {
            "version": VERSION,
            "user": None if self.user is None else [_kind(self.user), str(self.user)],
            "place": self.place,
            "app": self.app,
            "root": self.root,
            "trace": dict(self.trace),
        }
        return {RECORD: dumps(kept)}

    @classmethod
    def of(cls, records: Mapping[str, bytes]) -> Origin:
        """The origin in these records; an empty one for jobs of older versions."""
        if RECORD not in records:
            return cls()
        kept = json.loads(records[RECORD])
        user = kept.get("user")
        return cls(
            user=None if user is None else _KINDS[user[0]](user[1]),
            place=kept.get("place", 0),
            app=kept.get("app", ""),
            root=kept.get("root", ""),
            trace=kept.get("trace") or {},
        )


_KINDS: dict[str, type[UserId]] = {"str": str, "int": int, "uuid": UUID}


def _kind(user: UserId) -> str:
    return next(name for name, kind in _KINDS.items() if isinstance(user, kind))
