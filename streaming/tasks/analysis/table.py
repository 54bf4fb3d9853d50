"""A table of figures over periods, and its reading from CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

#: The most that a table may have. They bound the time of an analysis and the size of its result.
MAX_ROWS = 3000
MAX_COLUMNS = 20
#: Characters of a period or of a column's name.
MAX_LABEL = 60
#: Magnitude of a figure: up to here every whole number is exact.
MAX_VALUE = 1e15

DELIMITERS = (",", ";", "\t")


class BadCsv(ValueError):
    """Raised for CSV that is no table of figures. `extra` has the line and the column.

    Lines are counted from 1 as an editor counts them. A column is given by its name, or by its
    number from 1 where it has none.
    """

    def __init__(self, message: str, line: int, column: str | int) -> None:
        where = f"column {column!r}" if isinstance(column, str) else f"column {column}"
        super().__init__(f"line {line}, {where}: {message}")
        self.extra: dict[str, Any] = {"line": line, "column": column}
        self._given = (message, line, column)

    def __reduce__(self) -> tuple[type[BadCsv], tuple[str, int, str | int]]:
        """It may come from a child process."""
        return type(self), self._given


@dataclass(frozen=True, slots=True)
class Table:
    """Figures by column and period; None where a figure is missing."""

    #: What the periods are called: the header of the first column.
    period: str
    periods: list[str]
    columns: dict[str, list[float | None]]


def parse(text: str) -> Table:
    """The table in `text`: a header, a period in each row, then figures. Raises `BadCsv`.

    Comma, semicolon or tab delimit. Figures may have thousands separators, a currency or percent
    sign, and parentheses for minus; a blank cell is a missing figure. Of 1,234.5 and 1.234,5 the
    notation counts in which every figure can be read; where both can, the first, but the second
    in a file with semicolons. ISO-like periods are put in order, others stay as they are.
    """
    text = text.removeprefix("\ufeff")
    delimiter = delimiter_of(text)
    records = _records(text, delimiter)
    line, header = next(records, (1, []))
    names = _names(line, header)
    rows = _rows(records, names)
    if len(rows) < 2:
        last = rows[-1][0] if rows else line
        raise BadCsv(f"at least 2 rows of figures are needed; here are {len(rows)}", last, names[0])

    figures = _figures(rows, names, ("," if delimiter == ";" else "."))
    order = _order([cells[0] for _, cells in rows])
    return Table(
        period=names[0],
        periods=[rows[at][1][0] for at in order],
        columns={name: [values[at] for at in order] for name, values in figures.items()},
    )


def delimiter_of(text: str) -> str:
    """The delimiter that cuts the first line with something in it into most cells."""
    head = next((line for line in text.splitlines() if line.strip()), "")
    unquoted = re.sub(r'"[^"]*"', "", head)
    return max(DELIMITERS, key=unquoted.count)


def _records(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank: the number of the first line, and the cells, trimmed."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise BadCsv(f"not CSV: {error}", line, 1) from None
        if cells is None:
            return
        trimmed = [cell.strip() for cell in cells]
        if any(trimmed):
            yield line, trimmed
        line = reader.line_num + 1


#: NUL, and what decoding leaves of bytes that are not UTF-8.
_FORBIDDEN = re.compile("[\0\ud800-\udfff]")


def _check_characters(line: int, cells: Sequence[str], columns: Sequence[str | int]) -> None:
    if _FORBIDDEN.search("".join(cells)) is None:
        return
    for column, cell in zip(columns, cells, strict=True):
        bad = _FORBIDDEN.search(cell)
        if bad is not None:
            problem = "a NUL character" if bad.group() == "\0" else "not UTF-8 text"
            raise BadCsv(problem, line, column)


def _names(line: int, header: Sequence[str]) -> list[str]:
    """The checked header."""
    if not header:
        raise BadCsv("there is nothing in it", line, 1)
    _check_characters(line, header, range(1, len(header) + 1))
    if len(header) < 2:
        raise BadCsv("no column of figures beside the periods", line, 2)
    if len(header) > MAX_COLUMNS + 1:
        problem = f"{len(header) - 1} columns of figures; at most {MAX_COLUMNS} are taken"
        raise BadCsv(problem, line, MAX_COLUMNS + 2)
    if all(_number(name, ".") is not None for name in header[1:]):
        raise BadCsv(f"the first row must name the columns; {header[1]!r} is a figure", line, 2)
    for number, name in enumerate(header, start=1):
        _check_label(name, "the name of a column", line, number)
        if name in header[: number - 1]:
            raise BadCsv(f"a second column is named {name!r}", line, number)
    return list(header)


def _check_label(label: str, what: str, line: int, column: str | int) -> None:
    if not label:
        raise BadCsv(f"{what} is missing", line, column)
    if len(label) > MAX_LABEL:
        raise BadCsv(f"{what} is longer than {MAX_LABEL} characters", line, column)


def _rows(
    records: Iterator[tuple[int, list[str]]], names: Sequence[str]
) -> list[tuple[int, list[str]]]:
    """The checked rows of cells, each with its line."""
    rows: list[tuple[int, list[str]]] = []
    for line, cells in records:
        if len(rows) == MAX_ROWS:
            raise BadCsv(f"more than {MAX_ROWS} rows of figures", line, names[0])
        if len(cells) != len(names):
            column = names[len(cells)] if len(cells) < len(names) else len(names) + 1
            problem = f"{len(cells)} cells, where the header has {len(names)}"
            raise BadCsv(problem, line, column)
        _check_characters(line, cells, names)
        _check_label(cells[0], "the period", line, names[0])
        rows.append((line, cells))
    return rows


def _figures(
    rows: Sequence[tuple[int, list[str]]], names: Sequence[str], mark: str
) -> dict[str, list[float | None]]:
    """The figures by column, read with this decimal mark, or with the other one if need be."""
    try:
        return _figures_in(rows, names, mark)
    except BadCsv as error:
        first = error
    try:
        return _figures_in(rows, names, "." if mark == "," else ",")
    except BadCsv as second:
        # The notation that got further is the one that was meant.
        further = second.extra["line"] > first.extra["line"]
        raise (second if further else first) from None


def _figures_in(
    rows: Sequence[tuple[int, list[str]]], names: Sequence[str], mark: str
) -> dict[str, list[float | None]]:
    columns: dict[str, list[float | None]] = {name: [] for name in names[1:]}
    for line, cells in rows:
        for name, cell in zip(names[1:], cells[1:], strict=True):
            value = _number(cell, mark) if cell else None
            if cell and value is None:
                raise BadCsv(f"{_shown(cell)} is not a number", line, name)
            if value is not None and abs(value) > MAX_VALUE:
                raise BadCsv(f"{_shown(cell)} is beyond ±{MAX_VALUE:g}", line, name)
            columns[name].append(value)
    for name, values in columns.items():
        if len(values) - values.count(None) < 2:
            problem = "fewer than 2 figures in this column"
            raise BadCsv(problem, rows[-1][0], name)
    return columns


def _shown(cell: str) -> str:
    return repr(cell if len(cell) <= MAX_LABEL else cell[:MAX_LABEL] + "…")


#: What may stand around a figure and means nothing for its value: 12 % is read as 12.
_AROUND = " \t\u00a0\u2009\u202f%$¢£¤¥฿₠₡₢₣₤₥₦₧₨₩₪₫€₭₮₯₰₱₲₳₴₵₶₷₸₹₺₻₼₽₾₿＄￠￡￥￦"
#: Characters of a cell that is a figure, at the most.
_MAX_CELL = 64


def _notation(mark: str, grouping: str) -> re.Pattern[str]:
    """Digits with a decimal mark, perhaps grouped: 1,234,567.8; 12,34,567; 1 234; .5; 1e6."""
    whole = (
        rf"(?:[0-9]{{1,3}}([{grouping}'’ \u00a0\u2009\u202f])(?:[0-9]{{2,3}}\1)*[0-9]{{3}}|[0-9]*)"
    )
    return re.compile(rf"(?=[{mark}]?[0-9]){whole}(?:[{mark}][0-9]*)?(?:[eE][+-]?[0-9]{{1,3}})?")


#: What needs no second look: most figures of most files.
_PLAIN = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_NOTATIONS = {".": _notation(".", ","), ",": _notation(",", ".")}


def _number(cell: str, mark: str) -> float | None:
    """The figure in a cell, never a negative zero; None where it is none."""
    if len(cell) > _MAX_CELL:
        return None
    if mark == "." and _PLAIN.fullmatch(cell):
        return float(cell) + 0.0
    text = cell.strip(_AROUND)
    bracketed = text.startswith("(") and text.endswith(")")
    text = text[1:-1].strip(_AROUND) if bracketed else text
    signed = not bracketed and text[:1] in ("-", "+", "−")
    digits = text[1:].strip(_AROUND) if signed else text
    if _NOTATIONS[mark].fullmatch(digits) is None:
        return None
    plain = re.sub(rf"[^0-9eE+\-{mark}]", "", digits).replace(mark, ".")
    negative = bracketed or (signed and text[0] != "+")
    return (-float(plain) if negative else float(plain)) + 0.0


#: 2024, 2024-03, 2024-03-31, 2024-Q1, 2024-W07, 202403 and the like: text sorts them by time.
_ISO_LIKE = re.compile(r"[0-9]{4}(?:[-/.]?(?:[0-9]{2}|Q[1-4]|W[0-9]{2}))?(?:[-/.]?[0-9]{2})?")


def _order(periods: Sequence[str]) -> list[int]:
    """The rows in order of time where the periods tell it, else as they come."""
    rows = list(range(len(periods)))
    alike = len({re.sub(r"[0-9]", "0", period) for period in periods}) == 1
    if alike and _ISO_LIKE.fullmatch(periods[0]):
        rows.sort(key=lambda row: periods[row])
    return rows
