"""What is between the cells of a table, and which row names its columns."""

from __future__ import annotations

import contextlib
import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypedDict

from streaming.tasks.tables.numbers import figure_of, is_missing
from streaming.tasks.tables.options import TableOptions
from streaming.tasks.tables.periods import moments_of
from streaming.tasks.tables.refusal import BadCsv, shown

DELIMITERS = (",", ";", "\t", "|")
#: Records that are looked at.
LOOKED_AT = 2000

_SEP = re.compile(r'\ufeff?"?sep=(.)"?\s*', re.IGNORECASE)

_NOTE = re.compile(
    r"(?:(?:data )?sources?|notes?|footnotes?|quellen?|hinweise?|anmerkung(?:en)?|fuentes?|"
    r"fontes?|nota|remarques?|remarks?|last updated?|stand|注|备注|来源|出典|资料来源)\s?[:：]|"
    r"[*†‡]\s?[^\W\d_]",
    re.IGNORECASE,
)


class CsvFormat(TypedDict):
    """How `csv.reader` reads."""

    delimiter: str
    strict: bool
    skipinitialspace: bool


def csv_format(delimiter: str) -> CsvFormat:
    """For `csv.reader`; '' is a table of one column. Any number of spaces delimits once."""
    spaces = delimiter == " "
    return {"delimiter": delimiter or "\x1f", "strict": True, "skipinitialspace": spaces}


_Records = list[tuple[int, list[str]]]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the cells of a table are told apart."""

    #: Empty for a table of one column.
    delimiter: str
    decided_by: str
    #: Lines before the first record: `sep=;`, as spreadsheets write it.
    skipped: int
    header_line: int
    header: list[str]
    #: Lines of titles above the header.
    titles: list[int]


def find_dialect(sample: Iterator[str], options: TableOptions) -> Dialect:
    """The dialect of a table that begins with these lines; `BadCsv` where it stays open."""
    lines = list(sample)
    skipped, said = 0, None
    found = _SEP.fullmatch(lines[0]) if lines else None
    if found is not None:
        skipped, said = 1, found[1]
    if options.delimiter is not None:
        return _with_header(lines, options.delimiter, "option", skipped, options)
    if said is not None:
        return _with_header(lines, said, "its sep= line", skipped, options)
    return _of_rows(lines, options)


def _of_rows(lines: Sequence[str], options: TableOptions) -> Dialect:
    even: dict[str, Dialect] = {}
    for delimiter in DELIMITERS:
        known = _records(lines, delimiter, 0)
        if known and _is_even(known, options):
            with contextlib.suppress(BadCsv):  # with this delimiter there is no header
                even[delimiter] = _with_header(lines, delimiter, "the rows", 0, options)
    least = min((len(dialect.titles) for dialect in even.values()), default=0)
    even = {mark: dialect for mark, dialect in even.items() if len(dialect.titles) == least}
    if len(even) > 1:
        first = next(iter(even.values()))
        marks = " or ".join(map(repr, even))
        problem = f"the cells may be delimited by {marks}; the option delimiter decides"
        raise BadCsv(problem, first.header_line, 1, option="delimiter")
    if even:
        return next(iter(even.values()))
    head = _head(lines, options)
    mark = max(DELIMITERS, key=head.count)
    if mark not in head:
        mark = " " if _is_spaced(lines, options) else ""
    return _with_header(lines, mark, "the rows" if mark == " " else "the header", 0, options)


def _is_spaced(lines: Sequence[str], options: TableOptions) -> bool:
    """Whether spaces delimit: all rows have the cells of the header and a figure, and none is
    a figure or a date as it stands.
    """
    split = _records(lines, " ", 0)
    if len(split) < 2 or not _is_even(split, options):
        return False
    rows = split[_header_at(split, options) + 1 :]
    return bool(rows) and all(
        any(figure_of(cell) is not None for cell in cells[1:])
        and figure_of(" ".join(cells)) is None
        and not moments_of(" ".join(cells))
        for _, cells in rows
    )


def _head(lines: Sequence[str], options: TableOptions) -> str:
    """The header as text, without what is quoted."""
    start = (options.header_row or 1) - 1
    head = next((line for line in lines[start:] if line.strip()), "")
    return re.sub(r'"[^"]*"', "", head)


def _records(lines: Sequence[str], delimiter: str, skipped: int) -> _Records:
    """The first records with something in them; less where they are no CSV in this dialect."""
    reader = csv.reader(iter(lines[skipped:]), **csv_format(delimiter))
    found: _Records = []
    line = skipped + 1
    try:
        for cells in reader:
            trimmed = [cell.strip() for cell in cells]
            if any(trimmed):
                found.append((line, trimmed))
            line = reader.line_num + skipped + 1
            if len(found) >= LOOKED_AT:
                break
    except csv.Error:
        pass  # the reading itself says where
    return found


def _filled(cells: Sequence[str]) -> int:
    """How many cells there are up to the last one with something in it."""
    return max((at for at, cell in enumerate(cells, start=1) if cell), default=0)


def _width(known: _Records) -> int:
    """Cells of most rows that have more than one: those with one may be titles, notes, or lack the
    rest.
    """
    filled = [_filled(cells) for _, cells in known]
    counted = Counter([width for width in filled if width > 1] or filled)
    most = max(counted.values())
    return max(width for width, count in counted.items() if count == most)


def _is_even(known: _Records, options: TableOptions) -> bool:
    """Whether all rows between titles and notes have the cells of the header."""
    rows = [cells for _, cells in known[_header_at(known, options) :]]
    width = _filled(rows[0])
    while is_note(rows[-1], width):
        rows.pop()
    return width > 1 and all(_filled(cells) <= width <= len(cells) for cells in rows)


def is_note(cells: Sequence[str], width: int) -> bool:
    """Whether a row is a single cell of text, where a row of the table has more; or calls itself a
    note, whatever delimiters it has.
    """
    if width < 2 or is_missing(cells[0]):
        return False
    if _NOTE.match(cells[0]) is not None:
        return not any(figure_of(cell) is not None for cell in cells[1:-1])
    return len(cells) == 1 and figure_of(cells[0]) is None and not moments_of(cells[0])


def _header_at(known: _Records, options: TableOptions) -> int:
    """The first row that names all columns which the rows below fill; else the first one."""
    if options.header_row is not None:
        lines = [line for line, _ in known]
        if options.header_row not in lines:
            last = lines[-1] if lines else 1
            raise BadCsv(
                f"there is nothing in line {options.header_row}", last, 1, option="header_row"
            )
        return lines.index(options.header_row)
    width = _width(known)
    wide = [at for at, (_, cells) in enumerate(known) if _filled(cells) >= width]
    for at in wide:
        cells = known[at][1]
        if all(cells[1:width]):
            # Names with a gap above figures: a column without a name, no row of titles.
            return wide[0] if at > wide[0] and _is_data(cells) else at
    return 0


def _is_data(cells: Sequence[str]) -> bool:
    """Whether a row cannot be names of columns: it has figures that are no years."""
    figures = [each for each in map(figure_of, filter(None, cells[1:])) if each is not None]
    return any(re.fullmatch("[12][0-9]{3}", each.digits) is None for each in figures)


def _with_header(
    lines: Sequence[str], delimiter: str, by: str, skipped: int, options: TableOptions
) -> Dialect:
    known = _records(lines, delimiter, skipped)
    if not known:
        _check_first(lines, delimiter, skipped)
        raise BadCsv("there is nothing in it", 1, 1)
    at = _header_at(known, options)
    line, cells = known[at]
    below = [_filled(row) for _, row in known[at + 1 :]]
    header = cells[: max([_filled(cells), *(each for each in below if each <= len(cells))])]
    if options.header_row is None:
        _check_header(line, header, below_titles=at > 0)
    return Dialect(delimiter, by, skipped, line, header, [each for each, _ in known[:at]])


def _check_first(lines: Sequence[str], delimiter: str, skipped: int) -> None:
    """`BadCsv` where not even the first record is CSV."""
    reader = csv.reader(iter(lines[skipped:]), **csv_format(delimiter))
    try:
        next(reader, None)
    except csv.Error as error:
        raise BadCsv(f"not CSV: {error}", skipped + 1, 1) from None


def _check_header(line: int, header: Sequence[str], *, below_titles: bool) -> None:
    """`BadCsv` where what should be names are figures: then a row of them would be lost.

    Below titles, which may be the names of fewer columns than the rows have, one figure is enough.
    """
    dates = [each for each in header[1:] if figure_of(each) is None and moments_of(each)]
    certain = bool(moments_of(header[0]) or dates or (below_titles and _is_data(header)))
    for number, name in enumerate(header, start=1):
        is_first = number == 1 and len(header) > 1
        if name and not is_first and figure_of(name) is not None:
            rest = [each for each in header[1:] if each]
            if certain or all(figure_of(each) is not None for each in rest or header):
                problem = f"the first row must name the columns; {shown(name)} is a figure"
                hint = "the option header_row says which row does"
                raise BadCsv(f"{problem}; {hint}", line, number, option="header_row")
