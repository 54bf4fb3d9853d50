"""A job as plain lines: for pipes, files, and terminals that cannot do more."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

import click

from streaming.cli.output import note, say, short
from streaming.events.vocabulary import JsonMapping

#: Characters of an answer that are shown.
ANSWER = 200
#: What is shown of each type besides text.
LINES: Mapping[str, str] = {
    "step.updated": "[{index}/{total}] {title}: {status}",
    "text.reset": "-- {item} starts over --",
    "artifact": "artifact {name}: {href}",
    "alert": "{severity}: {message} ({state})",
    "input.requested": "asks: {prompt}",
    "job.completed": "completed",
    "job.failed": "failed: {error[detail]}",
    "job.cancelled": "cancelled: {reason}",
    "stream.gap": "-- events {from} to {to} are gone --",
    "stream.degraded": "-- degraded: {why} --",
}


class PlainView:
    """Text goes to standard output as it comes, all else to standard error, line by line."""

    def __init__(self) -> None:
        #: Whether text is on the present line, and whether there was any.
        self._in_text = self._any_text = False

    def __enter__(self) -> PlainView:
        return self

    def __exit__(self, *_: object) -> None:
        self._end_line()

    def show(self, event: JsonMapping) -> None:
        """Show one event."""
        data = event["data"]
        if event["type"] == "text.delta":
            say(data["text"], newline=False)
            self._any_text = True
            self._in_text = not data["text"].endswith("\n")
            return
        if event["type"] == "stream.snapshot" and not self._any_text:
            say(data["job"].get("text", ""), newline=False)
            return
        line = line_of(event)
        if line is not None:
            self._end_line()
            note(line)

    def _end_line(self) -> None:
        if self._in_text:
            click.echo()
            self._in_text = False
        sys.stdout.flush()


def line_of(event: JsonMapping) -> str | None:
    """What is said of an event; None: nothing."""
    data = event["data"]
    if event["type"] == "input.received" and data.get("request"):
        return f"answered: {short(json.dumps(data['data'], ensure_ascii=False), ANSWER)}"
    line = LINES.get(event["type"])
    if line is None or data.get("status") == "pending":
        return None
    if event["type"] == "job.cancelled" and not data.get("reason"):
        return "cancelled"
    if event["type"] == "input.requested":
        return f"asks: {data['prompt']} (streaming answer {event['job']} VALUE)"
    return line.format_map(data)
