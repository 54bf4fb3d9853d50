"""A client that reads jobs, leaves and comes back: written from the contract, not from the code.

All that it keeps from one connection to the next is its position and what it has seen. It
fails as soon as anything is given twice, left out in silence, or out of order.
"""

from __future__ import annotations

import json
from typing import Any


class JobReader:
    """What a client knows of one job."""

    def __init__(self, position: int = 0) -> None:
        self.position = position
        self.texts: dict[str, str] = {}
        #: A gap that was told, and that no snapshot has closed yet.
        self.gap: tuple[int, int] | None = None
        self.ended = False

    def disconnect(self) -> None:
        """Forget what is of the connection only."""
        self.gap = None

    def take(self, envelope: dict[str, Any]) -> None:
        """The next event of the stream."""
        kind, data = envelope["type"], envelope["data"]
        if kind == "stream.gap":
            self._take_gap(data["from"], data["to"])
        elif kind == "stream.snapshot":
            self._take_snapshot(data)
        elif not kind.startswith("stream."):
            self._take_event(envelope, kind, data)

    def _take_gap(self, first: int, last: int) -> None:
        assert self.gap is None, "a gap follows a gap"
        assert first <= last
        # Behind: it begins where the reader is. Ahead: it ends where the reader thought to be.
        assert first == self.position + 1 or last == self.position, (first, last, self.position)
        self.gap = (first, last)

    def _take_snapshot(self, data: dict[str, Any]) -> None:
        assert self.gap is not None, "a snapshot without a gap"
        first, last = self.gap
        assert data["seq"] == data["job"]["seq"]
        # Behind: it stands for the gap. Ahead: it is all that there is.
        assert data["seq"] == (last if first == self.position + 1 else first - 1)
        self.gap, self.position = None, data["seq"]
        self.texts = {each["item"]: each["text"] for each in data["job"]["texts"]}
        self.ended = data["job"]["status"] in ("completed", "failed", "cancelled")

    def _take_event(self, envelope: dict[str, Any], kind: str, data: dict[str, Any]) -> None:
        assert self.gap is None, "a gap without a snapshot"
        assert not self.ended, "an event follows the terminal one"
        assert envelope.get("from", envelope["seq"]) == self.position + 1, envelope
        assert envelope["seq"] > self.position
        self.position = envelope["seq"]
        if kind == "text.delta":
            self.texts[data["item"]] = self.texts.get(data["item"], "") + data["text"]
        elif kind == "text.reset":
            self.texts[data["item"]] = ""
        self.ended = kind in ("job.completed", "job.failed", "job.cancelled")


def parse_ndjson(body: bytes) -> list[dict[str, Any]]:
    """The envelopes of whole lines; an unfinished line is dropped, an empty one a heartbeat."""
    return [json.loads(line) for line in body.split(b"\n")[:-1] if line]
