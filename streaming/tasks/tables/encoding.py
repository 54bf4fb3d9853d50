"""Which encoding the bytes of a file are in: what they decide, else a refusal.

A byte order mark, valid UTF-8 and the NULs of UTF-16 are certain. Among older encodings those
stay in which the file is written in letters of one language; when they agree on the text, that is
it. Statistical detectors are no help here: on the few words of a table they name one at random.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from streaming.tasks.tables.plausible import is_plausible
from streaming.tasks.tables.refusal import BadCsv, shown

#: In the order in which one is named when several give the same text.
CANDIDATES = (
    *("cp1252", "cp1250", "cp1254", "cp1251", "cp1253", "koi8_r", "cp1255"),
    *("gb18030", "cp932", "big5", "cp949", "euc_jp"),
)
#: Bytes read at once, and different words that are looked at.
CHUNK, MAX_WORDS = 1 << 20, 20_000

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
#: How files begin that people take for tables, and what to do with them.
_WORKBOOK = "save its sheet as CSV"
_OTHER_FORMS = (
    (re.compile(rb"PK\x03\x04.*?xl/", re.DOTALL), "an Excel workbook", _WORKBOOK),
    (re.compile(rb"PK\x03\x04.*?opendocument", re.DOTALL), "an OpenDocument file", _WORKBOOK),
    (re.compile(rb"PK\x03\x04"), "a zip archive or a workbook", "send the table in it as CSV"),
    (re.compile(rb"\xd0\xcf\x11\xe0"), "an Excel workbook of the old form", _WORKBOOK),
    (re.compile(rb"\x1f\x8b"), "a gzip archive", "unpack it"),
    (re.compile(rb"%PDF-"), "a PDF", "send the table in it as CSV"),
    (re.compile(rb"PAR1"), "a Parquet file", "write it as CSV"),
    (re.compile(rb"SQLite format 3\0"), "an SQLite database", "send a table of it as CSV"),
    (
        re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype|html|\?xml|table)\b", re.IGNORECASE),
        "HTML or XML",
        "send the table in it as CSV",
    ),
    (re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:\[\s*)?\{\s*\""), "JSON", "write it as CSV"),
)
#: A word with a byte beyond ASCII, and a byte of what is around it. Bytes below 0x40 are never
#: part of a longer character.
_WORD = re.compile(rb"[\x00-\x3f]?[\x40-\xff]*[\x80-\xff][\x40-\xff]*[\x00-\x3f]?")


@dataclass(frozen=True, slots=True)
class Encoding:
    """A Python codec's name, and what decided it."""

    codec: str
    decided_by: str

    @property
    def name(self) -> str:
        """As it is told: without what only Python distinguishes."""
        return {"utf-8-sig": "utf-8", "utf_8": "utf-8"}.get(self.codec, self.codec)


def find_encoding(file: BinaryIO, asked: str | None) -> Encoding:
    """The encoding of all bytes of `file`; `BadCsv` names the option when they leave it open."""
    _refuse_other_forms(_read(file, 1 << 12))
    if asked is not None:
        codec = "utf-8-sig" if codecs.lookup(asked).name == "utf-8" else asked
        _check(file, codec, f"not {asked} text")
        return Encoding(codec, "option")
    head = _read(file, 4)
    for mark, codec in _MARKS:
        if head.startswith(mark):
            _check(file, codec, f"not {codec} text, as its byte order mark says")
            return Encoding(codec, "byte order mark")
    wide = _wide(file)
    if wide is not None:
        _check(file, wide, f"not {wide} text, as its NUL bytes say")
        return Encoding(wide, "NUL bytes")
    if _first_error(file, "utf-8") is None:
        if re.search(rb"\x1b\$[@B]", _read(file, 1 << 16)):
            _check(file, "iso2022_jp", "not iso2022_jp text, as its escapes say")
            return Encoding("iso2022_jp", "its escapes")
        return Encoding("utf-8", "all bytes")
    return _older(file)


def _refuse_other_forms(head: bytes) -> None:
    """`BadCsv` for what is no text of cells at all: no encoding would help."""
    for begins, kind, remedy in _OTHER_FORMS:
        if begins.match(head) is not None:
            raise BadCsv(f"this is {kind}, not CSV: {remedy}", 1, 1)


def _read(file: BinaryIO, size: int) -> bytes:
    file.seek(0)
    return file.read(size)


def _wide(file: BinaryIO) -> str | None:
    """UTF-16 without a mark: the upper bytes of digits, commas and line ends are NULs."""
    sample = _read(file, 1 << 16)
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    least = max(2, len(sample) // 10)
    if odd >= least and not even:
        return "utf-16-le"
    if even >= least and not odd:
        return "utf-16-be"
    return None


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    while chunk := file.read(CHUNK):
        yield chunk


def _first_error(file: BinaryIO, codec: str) -> tuple[int, str] | None:
    """Where the bytes are not of this encoding: the line, and what is before it in the line."""
    decoder = codecs.getincrementaldecoder(codec)("strict")
    before, ends = "", 0
    for chunk in _with_end(file):
        try:
            text = decoder.decode(chunk or b"", final=chunk is None)
        except UnicodeDecodeError as error:
            text = _decoded(error, codec)
            ends += len(_ENDS.findall(before + text)) - len(_ENDS.findall(before))
            return ends + 1, _ENDS.split(before + text)[-1]
        ends += len(_ENDS.findall(before + text)) - len(_ENDS.findall(before))
        before = _ENDS.split(before + text)[-1][-CHUNK:]
    return None


_ENDS = re.compile(r"\r\n|\n|\r")


def _with_end(file: BinaryIO) -> Iterator[bytes | None]:
    yield from _chunks(file)
    yield None


def _decoded(error: UnicodeDecodeError, codec: str) -> str:
    """What of a chunk is right."""
    return bytes(error.object[: error.start]).decode(codec, "replace")


def _check(file: BinaryIO, codec: str, problem: str) -> None:
    wrong = _first_error(file, codec)
    if wrong is not None:
        line, before = wrong
        column = 1 + max(before.count(mark) for mark in ",;\t|")
        raise BadCsv(
            f"{problem}; the option encoding names another one", line, column, option="encoding"
        )


def _older(file: BinaryIO) -> Encoding:
    """An encoding from before Unicode."""
    words = _words(file)
    readings: dict[str, list[str]] = {}
    for codec in CANDIDATES:
        try:
            text = words.decode(codec)
        except UnicodeDecodeError:
            continue
        if is_plausible(text, codec):
            readings.setdefault(text, []).append(codec)
    if len(readings) == 1:
        codec = next(iter(readings.values()))[0]
        if _first_error(file, codec) is None:
            return Encoding(codec, "letters of one language")
        readings.clear()
    line, before = _first_error(file, "utf-8") or (1, "")
    column = 1 + max(before.count(mark) for mark in ",;\t|")
    raise BadCsv(_open(readings), line, column, option="encoding")


def _open(readings: dict[str, list[str]]) -> str:
    if not readings:
        return "not UTF-8 text; name its encoding with the option encoding (cp1252, for example)"
    pairs = [(codecs_[0], text) for text, codecs_ in readings.items()]
    lines = [text.split("\n") for _, text in pairs]
    at = next((n for n, each in enumerate(zip(*lines, strict=False)) if len(set(each)) > 1), 0)
    names = [codec for codec, _ in pairs]
    words = [shown(each[at].strip()) for each in lines]
    tried = ", ".join(f"{name} ({word})" for name, word in zip(names, words, strict=True))
    return f"not UTF-8 text; the option encoding decides between {tried}, and others"


def _words(file: BinaryIO) -> bytes:
    """The different words with bytes beyond ASCII, each with a byte of what is around it."""
    found: dict[bytes, None] = {}
    rest = b""
    for chunk in _chunks(file):
        data = rest + chunk
        cut = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1 or len(data)
        for word in _WORD.findall(data[:cut]):
            found[word.strip(b"\r\n")] = None
        rest = data[cut:]
        if len(found) > MAX_WORDS:
            break
    for word in _WORD.findall(rest):
        found[word.strip(b"\r\n")] = None
    return b"\n".join(found)
