"""What goes to standard output and standard error."""

from __future__ import annotations

import json
import re
import shutil
import sys
import textwrap
from typing import TextIO

import click

from streaming.events.vocabulary import Json

#: All but tab and line feed.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def emit(value: Json) -> None:
    """A value as JSON: in one line, but for people to read on a terminal."""
    indent = 2 if sys.stdout.isatty() else None
    click.echo(json.dumps(value, ensure_ascii=False, indent=indent))


def emit_line(value: Json) -> None:
    """One of many values as JSON, always in a line of its own."""
    click.echo(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def say(text: str, *, newline: bool = True) -> None:
    """Text on standard output: as it is in a pipe, harmless on a terminal."""
    click.echo(harmless(text) if sys.stdout.isatty() else text, nl=newline)


def note(text: str) -> None:
    """A line for people, on standard error."""
    click.echo(harmless(text), err=True)


def harmless(text: str) -> str:
    """Without control characters: what jobs say must not command a terminal."""
    return _CONTROL.sub("", text)


def fitted(text: str, stream: TextIO, *, hang: int = 0) -> str:
    """A line of prose: on a terminal wrapped between words, further lines behind `hang` spaces."""
    if not stream.isatty():
        return text
    return textwrap.fill(
        text,
        shutil.get_terminal_size().columns,
        subsequent_indent=" " * hang,
        break_long_words=False,
        break_on_hyphens=False,
    )


def short(text: object, width: int) -> str:
    """The beginning of a text, in one line."""
    line = " ".join(str(text).split())
    return line if len(line) <= width else line[: width - 1] + "…"
