"""What goes to standard output and standard error."""

from __future__ import annotations

import json
import sys
from typing import Any

import click


def emit(value: Any) -> None:
    """A value as JSON: in one line, but for people to read on a terminal."""
    indent = 2 if sys.stdout.isatty() else None
    click.echo(json.dumps(value, ensure_ascii=False, indent=indent))


def emit_line(value: Any) -> None:
    """One of many values as JSON, always in a line of its own."""
    click.echo(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def note(text: str) -> None:
    """A line for people, on standard error."""
    click.echo(text, err=True)


def short(text: object, width: int) -> str:
    """The beginning of a text, in one line."""
    line = " ".join(str(text).split())
    return line if len(line) <= width else line[: width - 1] + "…"
