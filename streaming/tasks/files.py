"""The task `files`: a batch over uploaded files, a step for each; one bad file ends nothing."""

from __future__ import annotations

import codecs
import hashlib
import json
import mimetypes
from collections.abc import Iterator
from typing import IO

from pydantic import BaseModel, ConfigDict, Field, field_validator

from streaming.errors import TaskError
from streaming.events.vocabulary import JsonObject
from streaming.running.context import JobContext
from streaming.running.task import task
from streaming.running.uploads import FileId

#: Bytes that are read at once.
CHUNK = 1 << 18

#: How files of some types begin: their names may say anything.
SIGNATURES = {
    b"%PDF-": "application/pdf",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"PK\x03\x04": "application/zip",
    b"\x1f\x8b": "application/gzip",
    b"SQLite format 3\x00": "application/vnd.sqlite3",
}


class FilesInput(BaseModel):
    """The files."""

    model_config = ConfigDict(extra="forbid", title="Check files")

    files: list[FileId] = Field(
        title="Files", description="The uploaded files", min_length=1, max_length=100
    )

    @field_validator("files")
    @classmethod
    def _once_each(cls, files: list[str]) -> list[str]:
        if len(set(files)) < len(files):
            raise ValueError("a file is named twice")
        return files


@task("files", "Check files", input=FilesInput)
def files(ctx: JobContext, input: FilesInput) -> JsonObject:
    """Hash, type, size and text statistics of each file, and a manifest of them all."""
    ctx.plan([*((file, name_of(ctx, file)) for file in input.files), ("manifest", "Manifest")])
    entries = [examine_or_say_why(ctx, file) for file in input.files]
    ctx.step("manifest", write_manifest, ctx, entries)
    failed = [entry["file"] for entry in entries if "error" in entry]
    return {
        "files": len(entries),
        "failed": failed,
        "bytes": sum(e.get("size", 0) for e in entries),
    }


def name_of(ctx: JobContext, file: str) -> str:
    try:
        return str(ctx.file_info(file)["name"])
    except TaskError:
        return file


def examine_or_say_why(ctx: JobContext, file: str) -> JsonObject:
    """The file's entry in the manifest: its figures, or its error."""
    try:
        entry: JsonObject = ctx.step(file, examine, ctx, file)
    except TaskError as error:
        return {"file": file, "error": {"code": error.code, "detail": error.detail}}
    return entry


def examine(ctx: JobContext, file: str) -> JsonObject:
    """Read a file once, in pieces."""
    info = ctx.file_info(file)
    digest, text, size, head = hashlib.sha256(), TextFigures(), 0, b""
    with ctx.open_file(file) as upload:
        for chunk in chunks(upload):
            head = head or chunk[:32]
            digest.update(chunk)
            text.add(chunk)
            size += len(chunk)
            ctx.progress(size, info["size"])
    figures = text.result()
    return {
        "file": file,
        "name": info["name"],
        "size": size,
        "sha256": digest.hexdigest(),
        "media_type": media_type(info["name"], head, is_text=figures is not None),
        "text": figures,
    }


def chunks(upload: IO[bytes]) -> Iterator[bytes]:
    while chunk := upload.read(CHUNK):
        yield chunk


class TextFigures:
    """Lines, words and characters of bytes that come in pieces, as long as they are UTF-8."""

    def __init__(self) -> None:
        self._decoder: codecs.IncrementalDecoder | None = codecs.getincrementaldecoder("utf-8")()
        self.lines = self.words = self.characters = 0
        self._in_word = self._in_line = False

    def add(self, chunk: bytes) -> None:
        if self._decoder is not None:
            try:
                self._count(self._decoder.decode(chunk))
            except UnicodeDecodeError:
                self._decoder = None

    def result(self) -> dict[str, int] | None:
        """The figures; None for what is no text."""
        try:
            if self._decoder is None or self._decoder.decode(b"", final=True):
                return None
        except UnicodeDecodeError:
            return None
        lines = self.lines + self._in_line
        return {"lines": lines, "words": self.words, "characters": self.characters}

    def _count(self, text: str) -> None:
        if "\0" in text:
            self._decoder = None
        if text:
            self.characters += len(text)
            self.lines += text.count("\n")
            # A word that began in the chunk before goes on here.
            self.words += len(text.split()) - (self._in_word and not text[0].isspace())
            self._in_word, self._in_line = not text[-1].isspace(), text[-1] != "\n"


def media_type(name: str, head: bytes, *, is_text: bool) -> str:
    """By the first bytes, then by the name."""
    for signature, known in SIGNATURES.items():
        if head.startswith(signature):
            return known
    guessed = mimetypes.guess_type(name)[0]
    if is_text:
        return guessed or "text/plain"
    return "application/octet-stream" if guessed is None or guessed.startswith("text/") else guessed


def write_manifest(ctx: JobContext, entries: list[JsonObject]) -> None:
    text = json.dumps({"files": entries}, ensure_ascii=False, indent=1)
    ctx.artifact("manifest.json", text, media_type="application/json")
