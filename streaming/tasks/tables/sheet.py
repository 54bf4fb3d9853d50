"""The rows of a table, from a file of any size or from text; what is held at once is bounded."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

from streaming.events.vocabulary import JsonObject
from streaming.tasks.tables.dialect import Dialect, csv_format, find_dialect, is_note
from streaming.tasks.tables.encoding import Encoding, find_encoding
from streaming.tasks.tables.options import TableOptions
from streaming.tasks.tables.refusal import BadCsv, shown

#: Maximum columns, and characters of a line and of a column's name.
MAX_COLUMNS, MAX_LINE, MAX_NAME = 200, 1 << 20, 200
#: Lines after which the position is told anew.
LINES_TOLD = 256
#: Rows and characters of a batch, and records and characters that tell the dialect.
BATCH_ROWS, BATCH_CHARACTERS, SAMPLE_ROWS, SAMPLE_CHARACTERS = 20_000, 4 << 20, 2000, 1 << 20

Row = list[str]


class Batch(NamedTuple):
    """Rows of trimmed cells, as many in each as there are columns, and their lines."""

    lines: list[int]
    rows: list[Row]

    def column(self, at: int) -> list[str]:
        return [row[at] for row in self.rows]


class Sheet:
    """The rows below a header. Raises `BadCsv` with line and column."""

    def __init__(
        self, source: Path | str, options: TableOptions, *, batch_rows: int = BATCH_ROWS
    ) -> None:
        self._source = source
        self._batch_rows = batch_rows
        self.options = options
        self.encoding = self._find_encoding()
        #: Bytes that were read, and bytes in all.
        self.position, self.size = 0, self._size()
        self._characters = 0
        self.dialect: Dialect = find_dialect(self._sample(), options)
        self.names = _names(self.dialect)
        #: Lines of text below the last row: known after a walk over the rows.
        self.notes: list[int] = []

    def batches(self) -> Iterator[Batch]:
        """The rows that are not blank, as often as it is asked for."""
        batch = Batch([], [])
        for line, row in self._below():
            batch.lines.append(line)
            batch.rows.append(row)
            if len(batch.rows) >= self._batch_rows or self._characters >= BATCH_CHARACTERS:
                self._characters = 0
                yield batch
                batch = Batch([], [])
        if batch.rows:
            yield batch

    def _below(self) -> Iterator[tuple[int, Row]]:
        width, header = len(self.names), self.dialect.header_line
        notes: list[int] = []
        for line, cells in records(self._lines(), self.dialect.delimiter, self.dialect.skipped):
            if line <= header:
                continue
            if len(cells) > width and not any(cells[width:]):
                del cells[width:]
            if is_note(cells, width):
                notes.append(line)
                continue
            if len(cells) != width or notes:
                found, where = (1, notes[0]) if notes else (len(cells), line)
                problem = f"{found} cells, where the header has {width}"
                raise BadCsv(problem, where, self.names[found] if found < width else width + 1)
            yield line, cells
        self.notes = notes

    def _find_encoding(self) -> Encoding:
        if isinstance(self._source, str):
            return Encoding("utf-8", "the text came as JSON")
        with self._source.open("rb") as file:
            return find_encoding(file, self.options.encoding)

    def _size(self) -> int:
        return len(self._source) if isinstance(self._source, str) else self._source.stat().st_size

    def _open(self) -> TextIO:
        if isinstance(self._source, str):
            return io.StringIO(self._source.removeprefix("\ufeff"), newline="")
        return self._source.open(encoding=self.encoding.codec, newline="")

    def _lines(self) -> Iterator[str]:
        number = 0
        with self._open() as file:
            while line := file.readline(MAX_LINE + 1):
                number += 1
                if len(line) > MAX_LINE:
                    raise BadCsv(f"a line is longer than {MAX_LINE} characters", number, 1)
                self._characters += len(line)
                if number % LINES_TOLD == 0:
                    self.position = _position(file)
                yield line
            self.position = self.size

    def _sample(self) -> Iterator[str]:
        seen = 0
        for line in self._lines():
            seen += len(line)
            yield line
            if seen > SAMPLE_CHARACTERS:
                return


def _position(file: TextIO) -> int:
    return file.tell() if isinstance(file, io.StringIO) else file.buffer.tell()


def records(lines: Iterator[str], delimiter: str, skipped: int) -> Iterator[tuple[int, Row]]:
    """The records that are not blank: the number of the first line, and the cells, trimmed."""
    source = _Watched(lines, skipped, delimiter)
    reader = csv.reader(source, **csv_format(delimiter))
    line = skipped + 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise BadCsv(f"not CSV: {error}", line, 1) from None
        if cells is None:
            return
        if source.blanks:
            cells = [cell.strip() for cell in cells]
            source.blanks = False
        if source.suspicious:
            _check_characters(line, cells)
            source.suspicious = False
        if any(cells):
            yield line, cells
        line = reader.line_num + skipped + 1


class _Watched:
    """Lines, and whether one of them has characters that no cell may have, or that are cut off."""

    def __init__(self, lines: Iterator[str], skipped: int, delimiter: str) -> None:
        self._lines = lines
        self._blank = re.compile("[ \x0b\x0c]" if delimiter == "\t" else "[ \t\x0b\x0c]")
        self.suspicious = self.blanks = False
        for _ in range(skipped):
            next(lines, None)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        if not line.isascii() or "\0" in line:
            self.suspicious = self.suspicious or "\0" in line or _has_lone(line)
            self.blanks = True
        elif '"' in line or self._blank.search(line) is not None:
            self.blanks = True
        return line


def _has_lone(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _check_characters(line: int, cells: Row) -> None:
    for number, cell in enumerate(cells, start=1):
        if "\0" in cell:
            problem = "a NUL character; the option encoding says it where this is no UTF-8 text"
            raise BadCsv(problem, line, number, option="encoding")
        if _has_lone(cell):
            raise BadCsv("not UTF-8 text", line, number)


def _names(dialect: Dialect) -> list[str]:
    """The checked header; a column without a name is called by its number."""
    line = dialect.header_line
    if len(dialect.header) > MAX_COLUMNS:
        problem = f"{len(dialect.header)} columns; at most {MAX_COLUMNS} are taken"
        raise BadCsv(problem, line, MAX_COLUMNS + 1)
    names: list[str] = []
    for number, given in enumerate(dialect.header, start=1):
        name = given or f"column {number}"
        if len(name) > MAX_NAME:
            problem = f"the name of a column is longer than {MAX_NAME} characters"
            raise BadCsv(problem, line, number)
        if name in names:
            raise BadCsv(f"a second column is named {shown(name)}", line, number)
        names.append(name)
    return names


def left_out_of(sheet: Sheet) -> list[JsonObject]:
    """What is around the table, as `read_as` says it."""
    around = {"title rows": sheet.dialect.titles, "notes below": sheet.notes}
    return [{"what": what, "lines": lines} for what, lines in around.items() if lines]


def describe(sheet: Sheet) -> JsonObject:
    """How a sheet is read, as `read_as` says it."""
    encoding = {"encoding": sheet.encoding.name}
    if sheet.encoding.name != "utf-8":
        encoding["encoding_decided_by"] = sheet.encoding.decided_by
    return {
        **encoding,
        "delimiter": sheet.dialect.delimiter or None,
        "delimiter_decided_by": sheet.dialect.decided_by,
        "header_row": sheet.dialect.header_line,
    }
