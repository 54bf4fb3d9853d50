"""A table of figures over periods, out of a sheet: what a report is about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from streaming.events.vocabulary import JsonObject
from streaming.tasks.tables.columns import Column, columns_of, decide, survey
from streaming.tasks.tables.numbers import is_missing, value_of
from streaming.tasks.tables.options import TableOptions
from streaming.tasks.tables.order import PeriodOrder, order_of
from streaming.tasks.tables.periods import Timeline
from streaming.tasks.tables.refusal import BadCsv, shown
from streaming.tasks.tables.repeats import Line, settle
from streaming.tasks.tables.sheet import Batch, Sheet, describe, left_out_of
from streaming.tasks.tables.summing import without_totals
from streaming.tasks.tables.table import Table

#: Rows of a table that are read; columns and figures that a report draws: of more rows the newest.
MAX_ROWS, MAX_COLUMNS, MAX_FIGURES = 100_000, 50, 60_000
#: Magnitude of a figure: up to here every whole number is exact.
MAX_VALUE = 1e15
#: Characters of a period.
MAX_LABEL = 60


@dataclass
class Reading:
    """What was found, and how it was read."""

    table: Table
    read_as: JsonObject = field(default_factory=dict)


def read_series(source: Path | str, options: TableOptions) -> Reading:
    """The figures of a table by period, in order of time. Raises `BadCsv`."""
    sheet = Sheet(source, options)
    rows, columns = _read(sheet)
    decide(columns, options)
    said = describe(sheet)
    left_out = left_out_of(sheet)
    _check_count(rows, columns[0], sheet)
    period = _period(columns, sheet)
    group = _group(columns, period, options, sheet)
    figures = _figures(columns, period, group, left_out, sheet)
    rows, dropped = without_totals(rows, columns, period, figures, options)
    left_out += dropped
    _check_count(rows, period, sheet)
    order = order_of(period, rows, options)
    lines = [
        Line(
            line=line,
            period=_label(row[period.at], line, period),
            rank=rank,
            group=row[group.at] if group is not None else "",
            figures=[_figure(row[column.at], line, column) for column in figures],
        )
        for line, row, rank in zip(rows.lines, rows.rows, order.ranks, strict=True)
    ]
    periods, named = settle(lines, [column.name for column in figures], period.name, options)
    periods, named = _drawn(periods, named, order, left_out, sheet, period)
    table = Table(period.name, periods, _enough(named, left_out, sheet, figures))
    said |= {
        "rows": len(rows.rows),
        "period": {"column": period.name, "notation": order.notation, "order": order.said},
        "columns": [column.describe() for column in columns],
        "group_by": options.group_by,
        "aggregate": options.aggregate,
        "left_out": left_out,
    }
    return Reading(table, said)


def _read(sheet: Sheet) -> tuple[Batch, list[Column]]:
    columns = columns_of(sheet)
    rows = Batch([], [])
    for batch in sheet.batches():
        survey(columns, batch)
        rows.lines.extend(batch.lines)
        rows.rows.extend(batch.rows)
        if len(rows.rows) > MAX_ROWS:
            raise BadCsv(f"more than {MAX_ROWS} rows", rows.lines[MAX_ROWS], 1)
    if len(sheet.names) < 2:
        problem = "no column of figures beside the periods"
        if " " not in sheet.names[0]:
            raise BadCsv(problem, sheet.dialect.header_line, 2)
        problem += "; where spaces delimit the cells, the option delimiter says so"
        raise BadCsv(problem, sheet.dialect.header_line, 2, option="delimiter")
    return rows, columns


def _check_count(rows: Batch, period: Column, sheet: Sheet) -> None:
    if len(rows.rows) < 2:
        line = rows.lines[-1] if rows.lines else sheet.dialect.header_line
        problem = f"at least 2 rows of figures are needed; here are {len(rows.rows)}"
        raise BadCsv(problem, line, period.name)


def _period(columns: Sequence[Column], sheet: Sheet) -> Column:
    """The first column; or, where that is only a number of the row or a name, the one of dates."""
    first = columns[0]
    if first.are_dates:
        return first
    dated = [column for column in columns[1:] if column.kind == "dates"]
    if first.timeline.dates > first.timeline.others or not dated:
        return first
    if len(dated) == 1:
        return dated[0]
    names = " and ".join(column.name for column in dated[:2])
    problem = f"{names} are columns of dates; the first column must be the period"
    raise BadCsv(problem, sheet.dialect.header_line, first.name)


def _group(
    columns: Sequence[Column], period: Column, options: TableOptions, sheet: Sheet
) -> Column | None:
    """The column whose values are kept apart; the period's own are kept apart anyway."""
    if options.group_by is None or options.group_by == period.name:
        return None
    for column in columns:
        if column.name == options.group_by:
            return column
    raise BadCsv(
        f"there is no column {shown(options.group_by)} as the option group_by has it",
        sheet.dialect.header_line, 1, option="group_by",
    )  # fmt: skip


def _figures(
    columns: Sequence[Column],
    period: Column,
    group: Column | None,
    left_out: list[JsonObject],
    sheet: Sheet,
) -> list[Column]:
    figures = []
    first_line = min((c.first_line for c in columns if c.first_line), default=0)
    for column in columns:
        if column is period or column is group:
            continue
        if column.kind == "mixed":
            raise column.mixed(first_line)
        if column.kind == "figures" and not (column.at == 0 and column.name == "column 1"):
            figures.append(column)
        else:
            why = {"empty": "nothing in it", "figures": "numbers of rows"}.get(
                column.kind, f"{column.kind}, no figures"
            )
            left_out.append({"what": "column", "column": column.name, "why": why})
    if len(figures) > MAX_COLUMNS:
        for column in figures[MAX_COLUMNS:]:
            why = f"more than {MAX_COLUMNS} columns of figures"
            left_out.append({"what": "column", "column": column.name, "why": why})
    if not figures:
        raise _without_figures(columns, period, sheet)
    _check_turned(figures, period, sheet)
    return figures[:MAX_COLUMNS]


def _without_figures(columns: Sequence[Column], period: Column, sheet: Sheet) -> BadCsv:
    """The refusal with a cell that may have been meant as a figure."""
    problem = "no column of figures beside the periods"
    for column in columns:
        line, cell = column.notation.first_other or (0, "")
        if column is not period and re.search("[0-9]", cell):
            return BadCsv(f"{problem}: {shown(cell)} is not a number", line, column.name)
    return BadCsv(problem, sheet.dialect.header_line, 2)


def _check_turned(figures: Sequence[Column], period: Column, sheet: Sheet) -> None:
    """`BadCsv` where the periods name the columns: then the rows are no periods."""
    dates = Timeline()
    dates.add(range(len(figures)), [column.name for column in figures])
    if dates.others or dates.dates < 2 or period.are_dates or period.kind == "figures":
        return
    problem = (
        f"the periods ({shown(figures[0].name)}, …) name the columns; a report has a row for each "
        f"period: turn the table, or rename the columns if they are none"
    )
    raise BadCsv(problem, sheet.dialect.header_line, figures[0].name)


def _label(cell: str, line: int, period: Column) -> str:
    if is_missing(cell):
        raise BadCsv("the period is missing", line, period.name)
    if len(cell) > MAX_LABEL:
        raise BadCsv(f"the period is longer than {MAX_LABEL} characters", line, period.name)
    return cell


def _figure(cell: str, line: int, column: Column) -> float | None:
    if is_missing(cell):
        return None
    try:
        value = value_of(cell, column.mark)
    except ValueError:  # a word for totals among figures
        raise BadCsv(f"{shown(cell)} is not a number", line, column.name) from None
    if abs(value) > MAX_VALUE:
        raise BadCsv(f"{shown(cell)} is beyond ±{MAX_VALUE:g}", line, column.name)
    return value


def _drawn(
    periods: list[str],
    named: dict[str, list[float | None]],
    order: PeriodOrder,
    left_out: list[JsonObject],
    sheet: Sheet,
    period: Column,
) -> tuple[list[str], dict[str, list[float | None]]]:
    """As many of the newest periods as a report can show."""
    if len(named) > MAX_COLUMNS:
        problem = f"{len(named)} series of figures by group; at most {MAX_COLUMNS} are drawn"
        raise BadCsv(problem, sheet.dialect.header_line, 1, option="aggregate")
    room = MAX_FIGURES // max(1, len(named))
    if len(periods) <= room:
        return periods, named
    if not order.is_known:
        problem = f"more than {room} periods, and none is known to be the newest"
        raise BadCsv(problem, sheet.dialect.header_line, period.name)
    older = len(periods) - room
    left_out.append({"what": "older periods", "count": older, "up_to": periods[older - 1]})
    return periods[older:], {name: values[older:] for name, values in named.items()}


def _enough(
    named: dict[str, list[float | None]],
    left_out: list[JsonObject],
    sheet: Sheet,
    figures: Sequence[Column],
) -> dict[str, list[float | None]]:
    """Those with two figures at least, which a trend needs."""
    kept = {}
    for name, values in named.items():
        if len(values) - values.count(None) < 2:
            left_out.append({"what": "column", "column": name, "why": "fewer than 2 figures"})
        else:
            kept[name] = values
    if not kept:
        line = sheet.dialect.header_line
        raise BadCsv("fewer than 2 figures in this column", line, figures[0].name)
    return kept
