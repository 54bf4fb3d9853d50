"""A CSV file of any size, row by row: what is held at once is bounded, whatever the file has."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from streaming.tasks.analysis.table import BadCsv, delimiter_of

#: Columns at the most: figures are kept for each pair of them.
MAX_COLUMNS = 200
#: Bytes of a line, rows and bytes of a batch.
MAX_LINE, BATCH_ROWS, BATCH_BYTES = 1 << 20, 20_000, 4 << 20

Row = list[str]


class CsvRows:
    """The rows of a file below its header, in batches. Raises `BadCsv` with line and column."""

    def __init__(self, path: Path) -> None:
        self.size = path.stat().st_size
        #: Bytes that were read.
        self.position = 0
        self._path = path
        self.names: list[str] = []

    def batches(self) -> Iterator[list[Row]]:
        """The rows; blank lines are left out, cells are trimmed."""
        with self._path.open("rb") as file:
            lines = self._lines(file)
            first = next(lines, "")
            reader = csv.reader(_chain(first, lines), delimiter=delimiter_of(first), strict=True)
            self.names = self._header(reader)
            batch: list[Row] = []
            began = self.position
            for row in self._rows(reader):
                batch.append(row)
                if len(batch) >= BATCH_ROWS or self.position - began >= BATCH_BYTES:
                    yield batch
                    batch, began = [], self.position
            if batch:
                yield batch

    def _lines(self, file: BinaryIO) -> Iterator[str]:
        number = 0
        while line := file.readline(MAX_LINE + 1):
            number += 1
            if len(line) > MAX_LINE:
                raise BadCsv(f"a line is longer than {MAX_LINE} bytes", number, 1)
            self.position += len(line)
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                raise BadCsv("not UTF-8 text", number, 1) from None
            if "\0" in text:
                raise BadCsv("a NUL character", number, 1)
            yield text

    def _header(self, reader: Any) -> list[str]:
        names = [name.strip() for name in _next(reader) or []]
        if not any(names):
            raise BadCsv("there is nothing in it", 1, 1)
        if len(names) > MAX_COLUMNS:
            raise BadCsv(
                f"{len(names)} columns; at most {MAX_COLUMNS} are taken", 1, MAX_COLUMNS + 1
            )
        for number, name in enumerate(names, start=1):
            if not name:
                raise BadCsv("the name of a column is missing", 1, number)
            if name in names[: number - 1]:
                raise BadCsv(f"a second column is named {name!r}", 1, number)
        return names

    def _rows(self, reader: Any) -> Iterator[Row]:
        width = len(self.names)
        while (row := _next(reader)) is not None:
            if len(row) != width:
                if not any(cell.strip() for cell in row):
                    continue
                problem = f"{len(row)} cells, where the header has {width}"
                column = self.names[len(row)] if len(row) < width else width + 1
                raise BadCsv(problem, reader.line_num, column)
            yield [cell.strip() for cell in row]


def _next(reader: Any) -> Row | None:
    try:
        return next(reader, None)
    except csv.Error as error:
        raise BadCsv(f"not CSV: {error}", reader.line_num, 1) from None


def _chain(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest
