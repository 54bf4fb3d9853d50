"""A job's input from arguments: `key=value`, `key=@file`, JSON, a file of JSON, standard input."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import click

from streaming.events.vocabulary import Json, JsonMapping, JsonObject

#: The format of a text that is the id of an uploaded file.
FILE_ID = "file-id"


class InputReader:
    """Reads arguments by a task's schema: what it wants as text stays text."""

    def __init__(self, schema: JsonMapping, upload: Callable[[str], str]) -> None:
        self._schema = schema
        self._upload = upload

    def read(self, arguments: Iterable[str]) -> JsonObject:
        """The input; `click.UsageError` says what is wrong with an argument."""
        found: JsonObject = {}
        for argument in arguments:
            name, equals, value = argument.partition("=")
            if argument == "-" or argument.startswith(("{", "[", '"', "@")) or not equals:
                found |= _whole(argument)
                continue
            if not name:
                raise click.UsageError(f"{argument!r} has no name before the =")
            given = self._value(name, value)
            if name in found and self._is_list(name):
                given = [*_as_list(found[name]), given]
            found[name] = given
        for name in found:
            if self._is_list(name):
                found[name] = _as_list(found[name])
        return found

    def _value(self, name: str, text: str) -> Json:
        kinds = list(_kinds(self._member(name)))
        if text.startswith("@@"):
            text = text[1:]
        elif text.startswith("@") or text == "-":
            path = text.removeprefix("@")
            if FILE_ID in kinds:
                return self._upload(path)
            text = read_text(path)
            if "string" in kinds or not kinds:
                return text
        if "string" in kinds or FILE_ID in kinds:
            return text
        return as_json(text, otherwise=text)

    def _member(self, name: str) -> JsonMapping:
        found = self._schema.get("properties", {}).get(name, {})
        if "$ref" in found:
            found = self._schema.get("$defs", {}).get(found["$ref"].rpartition("/")[2], {})
        return found if isinstance(found, dict) else {}

    def _is_list(self, name: str) -> bool:
        member = self._member(name)
        return any(each.get("type") == "array" for each in [member, *member.get("anyOf", [])])


def as_json(text: str, *, otherwise: Json) -> Json:
    """The value of a JSON text; `otherwise` where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return otherwise


def read_text(path: str) -> str:
    """A text file, or standard input for `-`; `click.UsageError` where it cannot be read."""
    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise click.UsageError(f"{path} is no text in UTF-8") from None


def _whole(argument: str) -> JsonObject:
    """An object: as JSON, in a file of JSON (`@file`), or on standard input (`-`)."""
    where, text = "the input", argument
    if argument == "-":
        where, text = "standard input", read_text("-")
    elif argument.startswith("@"):
        where, text = argument[1:], read_text(argument[1:])
    found = as_json(text, otherwise=...)
    if found is ...:
        example = '\'{"prompt": "Tides"}\''
        raise click.UsageError(
            f"{where} is not JSON: {text[:60].strip()!r}; write key=value, or an object: {example}"
        )
    if not isinstance(found, dict):
        raise click.UsageError(
            f"{where} is {text[:60].strip()}, and must be an object: key=value, or {{…}}"
        )
    return found


def _kinds(member: JsonMapping) -> Iterable[str]:
    """The types that a member may have; a file's id has a name of its own."""
    for each in [member, *member.get("anyOf", []), *_as_list(member.get("items", []))]:
        if each.get("format") == FILE_ID:
            yield FILE_ID
        elif "type" in each:
            yield from _as_list(each["type"])
        elif each.get("enum"):
            yield "string" if isinstance(each["enum"][0], str) else "any"


def _as_list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [value]
