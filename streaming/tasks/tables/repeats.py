"""Several rows of one period: kept apart by group, put together, or refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from streaming.tasks.tables.numbers import is_missing
from streaming.tasks.tables.options import TableOptions
from streaming.tasks.tables.refusal import BadCsv, shown


@dataclass(frozen=True, slots=True)
class Line:
    """A row of figures: of a period, and perhaps of a group."""

    line: int
    period: str
    rank: int
    group: str
    figures: list[float | None]


def settle(
    lines: Sequence[Line], names: Sequence[str], period: str, options: TableOptions
) -> tuple[list[str], dict[str, list[float | None]]]:
    """The periods in order of time, and the figures of each column, or of each column and group.

    `BadCsv` where two rows are left of one period and nothing says what becomes of them.
    """
    by_group = options.group_by is not None and options.group_by != period
    labels: dict[int, str] = {}
    cells: dict[tuple[str, int], list[Line]] = {}
    for line in sorted(lines, key=lambda each: each.rank):
        labels.setdefault(line.rank, line.period)
        group = "–" if by_group and is_missing(line.group) else line.group
        cells.setdefault((group, line.rank), []).append(line)
    if options.aggregate is None:
        _check_single(list(cells.values()), period, by_group)
    groups = sorted({group for group, _ in cells})
    found: dict[str, list[float | None]] = {}
    for at, name in enumerate(names):
        for group in groups:
            called = f"{name} ({group})" if by_group else name
            found[called] = [
                _together([line.figures[at] for line in cells.get((group, rank), [])], options)
                for rank in labels
            ]
    return list(labels.values()), found


def _check_single(found: Sequence[list[Line]], period: str, by_group: bool) -> None:
    repeated = [lines for lines in found if len(lines) > 1]
    if not repeated:
        return
    first = min(repeated, key=lambda lines: lines[1].line)
    at = f"the period {shown(first[0].period)} stands in line {first[0].line} already"
    if by_group:
        problem = f"{at}, in the same group; the option aggregate says what becomes of both"
        raise BadCsv(problem, first[1].line, period, option="aggregate")
    problem = (
        f"{at}; the option group_by keeps the rows of a column's values apart, "
        "aggregate (sum or mean) puts them together"
    )
    raise BadCsv(problem, first[1].line, period, option="aggregate")


def _together(figures: Sequence[float | None], options: TableOptions) -> float | None:
    """Missing figures are left out; nothing put together is missing."""
    known = [figure for figure in figures if figure is not None]
    if not known:
        return None
    if len(known) == 1:
        return known[0]
    total = math.fsum(known)
    return total / len(known) if options.aggregate == "mean" else total
