"""What is asked with a new job, and the digest by which the same request is known again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from streaming.events.vocabulary import Json, JsonMapping, JsonObject


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked with a new job. Times in seconds."""

    task: str
    input: JsonMapping
    metadata: JsonMapping = field(default_factory=dict)
    #: `url`, and if wanted `events` and `form`: who is told, of what, in which protocol's words.
    webhook: JsonMapping | None = None
    #: What people call the job; without one, the task's title.
    title: str = ""
    on_disconnect: str = "continue"
    on_break: str = "restart"
    disconnect_grace_s: float = 30.0
    timeout_s: float = 3600.0
    ttl_s: float | None = None
    #: The protocol that asks, and what its answers need to know again; small.
    origin: JsonMapping | None = None
    #: The input as it is kept, where large parts of it are blobs; these live with the job.
    kept: JsonMapping | None = None
    blobs: Mapping[str, bytes] = field(default_factory=dict)

    def asked(self, task_title: str, position: int, *, retention_s: float) -> JsonObject:
        """The data of job.queued: all that a later process needs to run the job."""
        ttl_s = retention_s if self.ttl_s is None else self.ttl_s
        return {
            "position": position,
            "task": self.task,
            "title": self.title or task_title,
            "input": self.input if self.kept is None else self.kept,
            "metadata": self.metadata,
            "webhook": self.webhook,
            "on_break": self.on_break,
            "on_disconnect": self.on_disconnect,
            "disconnect_grace_s": self.disconnect_grace_s,
            "timeout_s": self.timeout_s,
            "ttl_s": min(ttl_s, retention_s),
            **({} if self.origin is None else {"origin": self.origin}),
            **({"blobs": sorted(self.blobs)} if self.blobs else {}),
        }


def digest_of(body: Json) -> str:
    """A digest of a parsed request body: equal for equal JSON, whatever the order of members."""
    canonical = json.dumps(_whole(body), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _whole(value: Json) -> Json:
    """With 30.0 as 30: JSON has one kind of number."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _whole(member) for name, member in value.items()}
    return [_whole(each) for each in value] if isinstance(value, list) else value
