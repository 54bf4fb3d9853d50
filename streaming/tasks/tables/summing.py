"""Rows that sum up the others: left out where that is certain, else refused."""

from __future__ import annotations

import math
from collections.abc import Sequence

from streaming.events.vocabulary import JsonObject
from streaming.tasks.tables.columns import Column
from streaming.tasks.tables.numbers import figure_of, value_of
from streaming.tasks.tables.options import TableOptions
from streaming.tasks.tables.refusal import BadCsv, shown
from streaming.tasks.tables.sheet import Batch

#: How far a total may be from the sum, as a share of it: figures may have been rounded.
_ROUNDED = 5e-3


def without_totals(
    rows: Batch,
    columns: Sequence[Column],
    period: Column,
    figures: Sequence[Column],
    options: TableOptions,
) -> tuple[Batch, list[JsonObject]]:
    """The rows without those called Total and the like, and what was left out.

    Among dates and numbers such a word is no period. Among names it may be one: there the row is
    left out when its figures are the sum or the mean of the others, or when the option says so;
    `BadCsv` names the option otherwise.
    """
    found = totals_of(columns)
    if not found or options.total_rows == "keep":
        return rows, []
    rest = [row for line, row in zip(rows.lines, rows.rows, strict=True) if line not in found]
    kept, dropped = Batch([], []), []
    for line, row in zip(rows.lines, rows.rows, strict=True):
        if line not in found:
            kept.lines.append(line)
            kept.rows.append(row)
            continue
        column, label = found[line]
        if options.total_rows is None and not is_certain(period, line):
            same = [each for each in rest if each[period.at] == row[period.at]] or rest
            if not any(_is_total_of(row, same, each) for each in figures):
                raise open_total(line, label, column)
        dropped.append({"what": "total row", "line": line, "label": label})
    return kept, dropped


def totals_of(columns: Sequence[Column]) -> dict[int, tuple[str, str]]:
    """By line: the column with the word, and the word."""
    return {
        line: (column.name, label)
        for column in reversed(columns)
        for line, label in column.totals.items()
    }


def open_total(line: int, label: str, column: str) -> BadCsv:
    problem = f"{shown(label)} may be a total of the other rows; the option total_rows decides"
    return BadCsv(problem, line, column, option="total_rows")


def is_certain(period: Column, line: int) -> bool:
    """Whether a word for totals stands in a column where all else is a date or a number."""
    return line in period.totals and (period.are_dates or period.kind == "figures")


def _is_total_of(row: Sequence[str], others: Sequence[Sequence[str]], column: Column) -> bool:
    cells = [each[column.at] for each in others]
    known = [value_of(cell, column.mark) for cell in cells if figure_of(cell) is not None]
    if not known:
        return False
    return sums_up(row[column.at], column.mark, math.fsum(known) / len(known), len(known))


def sums_up(cell: str, mark: str, mean: float, count: int) -> bool:
    """Whether a cell is the sum or the mean of so many figures, as far as those were rounded."""
    if figure_of(cell) is None or not mean or count < 2:
        return False
    total = value_of(cell, mark)
    return any(abs(total - way) <= _ROUNDED * abs(way) for way in (mean, mean * count))
