"""The order of time of a table's rows, by its column of periods."""

from __future__ import annotations

import re
from dataclasses import dataclass

from streaming.tasks.tables.columns import Column
from streaming.tasks.tables.labels import begins_anew, ranks_of
from streaming.tasks.tables.numbers import is_missing, value_of
from streaming.tasks.tables.options import TableOptions
from streaming.tasks.tables.refusal import BadCsv, shown
from streaming.tasks.tables.sheet import Batch

#: The notation of periods that do not tell their order.
NO_ORDER = "text"

#: Month and year, or day, month and year, perhaps without the zero in front: `12024`, `31122023`,
#: `1.24`.
_DATE_CODE = re.compile(
    "(?:[0-3]?[0-9])?(?:0?[1-9]|[12][0-9]|3[01])(?:19|20)[0-9]{2}|(?:[1-9]|1[0-2])[.,][0-9]{2}"
)
#: Digits that no number is written with: `0124`, `01.24`.
_CODE = re.compile("0[0-9]{3,}|0[0-9]+[.,][0-9]+")


@dataclass(frozen=True, slots=True)
class PeriodOrder:
    """For each row its place in time, what decided it, and how the rows of the file lie."""

    ranks: list[int]
    notation: str
    said: str
    #: False where the periods do not tell it: then the rows are as they come.
    is_known: bool


def order_of(period: Column, rows: Batch, options: TableOptions) -> PeriodOrder:
    """Dates by time, numbers by size, labels that count by their numbers; what says nothing of
    time stays as it comes. `BadCsv` where dates leave their order open, or some cells are dates
    and others are none, or dates of another notation.
    """
    cells = rows.column(period.at)
    for line, cell in zip(rows.lines, cells, strict=True):
        if is_missing(cell):
            raise BadCsv("the period is missing", line, period.name)
    if period.are_dates or period.kind == "figures":
        return _by_time(period, rows, cells, options)
    known = period.timeline
    dates = known.dates + known.foreign
    if dates >= max(2, known.others - known.foreign):
        line, cell = known.first_other or (1, "")
        problem = f"{shown(cell)} is no date, or in another notation than the periods above it"
        raise BadCsv(problem, line, period.name)
    counted = ranks_of(cells)
    if counted is not None:
        notation, ranks = counted
        return PeriodOrder(ranks, notation, _said(ranks), is_known=True)
    return _as_it_comes(cells)


def _as_it_comes(cells: list[str]) -> PeriodOrder:
    places = {cell: at for at, cell in reversed(list(enumerate(cells)))}
    as_it_comes = "as in the file: its periods do not tell their order"
    return PeriodOrder([places[cell] for cell in cells], NO_ORDER, as_it_comes, is_known=False)


def _by_time(period: Column, rows: Batch, cells: list[str], options: TableOptions) -> PeriodOrder:
    """Rows of totals that are kept come last."""
    totals = [line in period.totals for line in rows.lines]
    known = [cell for cell, is_total in zip(cells, totals, strict=True) if not is_total]
    if not period.are_dates:
        values = [value_of(cell, period.mark) for cell in known]
        if begins_anew(values):
            return _as_it_comes(cells)
        ranks, notation = _ranks(values), "numbers"
        _check_codes(period.name, rows.lines, known, ranks)
    else:
        lines = [line for line, is_total in zip(rows.lines, totals, strict=True) if not is_total]
        found = period.timeline.order(lines, known, period.name, options.date_order)
        ranks, notation = found.ranks, found.notation
    said = _said(ranks)
    left, last = iter(ranks), max(ranks) + 1
    placed = [last + at if is_total else next(left) for at, is_total in enumerate(totals)]
    return PeriodOrder(placed, notation, said, is_known=True)


def _check_codes(column: str, lines: list[int], cells: list[str], ranks: list[int]) -> None:
    """`BadCsv` for what is written in digits and is a date rather than a number: its size is not
    its order. Rows that go up may be numbers, or months of one year.
    """
    is_up = ranks == sorted(ranks)
    are_dates = all(map(_DATE_CODE.fullmatch, cells))
    if (
        (are_dates and any(len(cell) > 6 or cell.startswith("0") for cell in cells))
        or (are_dates and not is_up)
        or (not is_up and any(map(_CODE.fullmatch, cells)))
    ):
        problem = f"{shown(cells[0])} and the others may be dates whose parts are not told apart"
        raise BadCsv(f"{problem}; write them as 2024-01 or 2024-01-31", lines[0], column)


def _ranks(values: list[float]) -> list[int]:
    known = {value: rank for rank, value in enumerate(sorted(set(values)))}
    return [known[value] for value in values]


def _said(ranks: list[int]) -> str:
    pairs = list(zip(ranks, ranks[1:], strict=False))
    if all(a <= b for a, b in pairs):
        return "oldest first"
    if all(a >= b for a, b in pairs):
        return "newest first in the file, turned round"
    return "in no order in the file, sorted by time"
