"""What a reader was given, kept as it came, and the strict judgement of it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Envelope = dict[str, Any]

TERMINAL = ("job.completed", "job.failed", "job.cancelled")


@dataclass
class Account:
    """Everything that one reader of one job was given, in the order in which it came."""

    job: str
    #: First and last seq of each event: `from` and `seq`.
    ranges: list[tuple[int, int]] = field(default_factory=list)
    digests: dict[int, bytes] = field(default_factory=dict)
    types: list[str] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    #: What could not be read, or is not as an event must be.
    torn: list[str] = field(default_factory=list)
    #: Whether a gap that is told, with the state in its place, is no loss.
    takes_gaps: bool = False

    def take(self, envelope: Envelope) -> None:
        """Write down one envelope."""
        fault = self._fault(envelope)
        if fault is not None:
            self.torn.append(f"{fault}: {str(envelope)[:200]}")
            return
        self.types.append(envelope["type"])
        if "seq" in envelope:
            seq = envelope["seq"]
            self.ranges.append((envelope.get("from", seq), seq))
            self.digests[seq] = digest(envelope)
        self._fold(envelope)

    @property
    def text(self) -> str:
        return "".join(self.texts.values())

    @property
    def last(self) -> int:
        """The highest seq given."""
        return max((last for _, last in self.ranges), default=0)

    def count(self, *types: str) -> int:
        """How many events of these types have come."""
        return sum(self.types.count(kind) for kind in types)

    def judge(self, last: int) -> Counter[str]:
        """Against a log of `last` events, in events: `lost`, `repeated`, `out of order`, `torn`."""
        found: Counter[str] = Counter(torn=len(self.torn))
        covered: set[int] = set()
        highest = 0
        for first, seq in self.ranges:
            for each in range(first, seq + 1):
                found["repeated"] += each in covered
                found["out of order"] += each < highest and each not in covered
                covered.add(each)
            highest = max(highest, seq)
        found["lost"] = len(set(range(1, last + 1)) - covered)
        # A log has one end, and nothing behind it; what retention keeps is never skipped.
        ends = [number for number, kind in enumerate(self.stored, start=1) if kind in TERMINAL]
        found["torn"] += ends != [len(self.stored)]
        found["lost"] += 0 if self.takes_gaps else self.count("stream.gap")
        return found

    @property
    def stored(self) -> list[str]:
        """The types of the job's events, without the stream's own."""
        return [kind for kind in self.types if not kind.startswith("stream.")]

    def differs(self, digests: Mapping[int, bytes]) -> int:
        """How many events are not as `digests` has them; merged ones are not compared."""
        single = {last for first, last in self.ranges if first == last}
        return sum(self.digests[seq] != digests.get(seq) for seq in single if seq in self.digests)

    def _fault(self, envelope: Envelope) -> str | None:
        """What is wrong with an envelope, if anything."""
        kind = envelope.get("type")
        if not isinstance(kind, str) or not isinstance(envelope.get("data"), dict):
            return "no event"
        if kind.startswith("stream."):
            return None if "seq" not in envelope else "a control event with a seq"
        if envelope.get("job") != self.job:
            return "an event of another job"
        return None if isinstance(envelope.get("seq"), int) else "an event without a seq"

    def _fold(self, envelope: Envelope) -> None:
        data = envelope["data"]
        if envelope["type"] == "text.delta":
            self.texts[data["item"]] = self.texts.get(data["item"], "") + data["text"]
        elif envelope["type"] == "text.reset":
            self.texts[data["item"]] = ""
        elif envelope["type"] == "stream.snapshot":
            if self.takes_gaps:
                self._begin_at(data["seq"])
            self.texts = {each["item"]: each["text"] for each in data["job"]["texts"]}

    def leave_out_trimmed(self, log: Iterable[Envelope]) -> bool:
        """Have the base of a log stand for what it has no more: it cannot be compared.

        Whether it had all, and ended, before the log was mended: nobody could tell it any more.
        """
        events = [event for event in log if "seq" in event and event["job"] == self.job]
        first = min((event["seq"] for event in events), default=1)
        if first > 1 and self.count(*TERMINAL) and self.last < events[-1]["seq"]:
            self._begin_at(events[-1]["seq"])
            self.types.append(events[-1]["type"])
            return True
        if first > 1:
            self.digests = {seq: known for seq, known in self.digests.items() if seq >= first}
        return False

    def _begin_at(self, seq: int) -> None:
        """The state after `seq` stands for all before; what was seen behind it is lost."""
        self.ranges = [(1, seq)] if seq else []
        self.digests = {}
        self.types = [kind for kind in self.types if kind not in TERMINAL]


def digest(envelope: Envelope) -> bytes:
    """Equal for equal events."""
    canonical = json.dumps({k: v for k, v in envelope.items() if k != "from"}, sort_keys=True)
    return hashlib.blake2b(canonical.encode(), digest_size=12).digest()


def digests_of(events: Iterable[Envelope]) -> dict[int, bytes]:
    """A log's digests by seq."""
    return {event["seq"]: digest(event) for event in events if "seq" in event}
