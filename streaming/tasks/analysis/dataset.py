"""A data set to learn from, out of a table: columns of figures, and what is to be predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from streaming.events.vocabulary import JsonObject
from streaming.tasks.analysis.network import MAX_CLASSES, Data, Figures, Goals
from streaming.tasks.tables.columns import Column, columns_of, decide, survey
from streaming.tasks.tables.figures import figures_of
from streaming.tasks.tables.numbers import is_missing
from streaming.tasks.tables.options import TableOptions
from streaming.tasks.tables.refusal import BadCsv, shown
from streaming.tasks.tables.sheet import Batch, Sheet, describe, left_out_of
from streaming.tasks.tables.summing import without_totals

#: Maximum rows and columns of a data set, and complete rows at least.
MAX_ROWS, MAX_FEATURES, MIN_ROWS = 100_000, 100, 10
#: Whole numbers with so many different values at most are classes.
MAX_NUMBERS = 10

Predicts = Literal["classes", "number"]


@dataclass(frozen=True, slots=True)
class DataSet:
    """The data, and how they were read."""

    data: Data
    read_as: JsonObject


def read_data(
    source: Path | str, options: TableOptions, predict: Predicts | None = None
) -> DataSet:
    """Columns of figures, what is predicted in the last one. Raises `BadCsv`.

    Text is predicted as classes; so are whole numbers of at most ten values. Other figures are
    predicted as a number. Columns of text and rows with a missing cell are left out, and said.
    """
    sheet = Sheet(source, options)
    rows, columns = _read(sheet)
    target = columns[-1]
    decide(columns, options)
    left_out = left_out_of(sheet)
    features = _features(columns[:-1], left_out, sheet, options)
    rows, dropped = without_totals(rows, columns[:-1], columns[0], features, options)
    left_out += dropped
    figures = np.column_stack([figures_of(rows.column(each.at), each.mark) for each in features])
    goals = rows.column(target.at)
    whole = ~np.isnan(figures).any(axis=1) & np.array([not is_missing(cell) for cell in goals])
    if not whole.all():
        count = int((~whole).sum())
        left_out.append({"what": "rows with a missing cell", "count": count})
    lines = [line for line, keep in zip(rows.lines, whole, strict=True) if keep]
    if len(lines) < MIN_ROWS:
        holes = f", of {len(whole)} in all" if len(lines) < len(whole) else ""
        problem = f"at least {MIN_ROWS} complete rows are needed; here are {len(lines)}{holes}"
        raise BadCsv(problem, (rows.lines or [1])[-1], 1)
    goals = [cell for cell, keep in zip(goals, whole, strict=True) if keep]
    classes, labels, rule = _goals(goals, target, lines, predict)
    names = [each.name for each in features]
    data = Data(names, classes, figures[whole], labels)
    if options.group_by is not None:
        cells = zip(_group(rows, columns, sheet), whole, strict=True)
        data = _grouped(data, [cell for cell, keep in cells if keep], lines, options)
    told = [column.describe() for column in columns]
    predicts = {"column": target.name, "as": "classes" if classes else "number", "because": rule}
    return DataSet(
        data, {**describe(sheet), "columns": told, "predicts": predicts, "left_out": left_out}
    )


def _read(sheet: Sheet) -> tuple[Batch, list[Column]]:
    if len(sheet.names) < 2:
        raise BadCsv("a column of figures and one to predict are needed", 1, 1)
    columns = columns_of(sheet)
    rows = Batch([], [])
    for batch in sheet.batches():
        survey(columns, batch)
        rows.lines.extend(batch.lines)
        rows.rows.extend(batch.rows)
        if len(rows.rows) > MAX_ROWS:
            raise BadCsv(f"more than {MAX_ROWS} rows", rows.lines[MAX_ROWS], 1)
    if not rows.rows:
        line = sheet.dialect.header_line
        raise BadCsv(f"at least {MIN_ROWS} complete rows are needed; here are 0", line, 1)
    return rows, columns


def _features(
    columns: Sequence[Column],
    left_out: list[JsonObject],
    sheet: Sheet,
    options: TableOptions,
) -> list[Column]:
    found = []
    for column in columns:
        if column.kind == "mixed":
            raise column.mixed(column.first_line)
        is_index = column.at == 0 and column.name == "column 1"
        if column.kind == "figures" and not is_index and column.name != options.group_by:
            found.append(column)
        elif column.name != options.group_by:
            why = "numbers of rows" if column.kind == "figures" else f"{column.kind}, no figures"
            left_out.append({"what": "column", "column": column.name, "why": why})
    line = sheet.dialect.header_line
    if not found:
        where, cell = columns[0].notation.first_other or (line, columns[0].name)
        problem = f"{shown(cell)} is not a number; no column has figures to learn from"
        raise BadCsv(problem, where, columns[0].name)
    if len(found) > MAX_FEATURES:
        raise BadCsv(f"more than {MAX_FEATURES} columns of figures", line, MAX_FEATURES + 1)
    return found


def _goals(
    cells: Sequence[str], target: Column, lines: Sequence[int], predict: Predicts | None
) -> tuple[list[str], Goals, str]:
    """The classes (none: a number), the goal of each row, and the rule that decided."""
    numbers = figures_of(cells, target.mark) if target.kind == "figures" else None
    if target.kind == "mixed" and predict is None:
        line, cell = target.notation.first_other or (lines[0], "")
        problem = f"{shown(cell)} is not a number, as most cells of the column to predict are"
        raise BadCsv(f"{problem}; the option predict decides", line, target.name, option="predict")
    if predict == "number" and numbers is None:
        problem = "text cannot be predicted as a number; the option predict says classes"
        raise BadCsv(problem, lines[0], target.name, option="predict")
    if numbers is not None and predict != "classes":
        whole = bool((numbers == np.floor(numbers)).all())
        values = len(np.unique(numbers))
        if predict == "number":
            return _number(numbers, target, lines, "option")
        if not whole:
            return _number(numbers, target, lines, "figures that are not whole")
        if values > MAX_NUMBERS:
            rule = f"{values} different whole numbers, more than {MAX_NUMBERS}"
            return _number(numbers, target, lines, rule)
    rule = "option" if predict else "text" if numbers is None else f"at most {MAX_NUMBERS} numbers"
    if numbers is not None:  # 1 and 1.0 are one class, called as it stands first
        named: dict[float, str] = {}
        cells = [named.setdefault(*each) for each in zip(numbers.tolist(), cells, strict=True)]
    classes = sorted(set(cells))
    if not 2 <= len(classes) <= MAX_CLASSES:
        problem = f"{len(classes)} classes; 2 to {MAX_CLASSES} are taken"
        raise BadCsv(problem, lines[-1], target.name)
    places = {name: at for at, name in enumerate(classes)}
    return classes, np.array([places[cell] for cell in cells], dtype=np.int64), rule


def _number(
    numbers: Figures, target: Column, lines: Sequence[int], rule: str
) -> tuple[list[str], Figures, str]:
    if len(np.unique(numbers)) < 2:
        raise BadCsv("all rows have the same figure to predict", lines[-1], target.name)
    return [], numbers, rule


def _group(rows: Batch, columns: Sequence[Column], sheet: Sheet) -> list[str]:
    asked = sheet.options.group_by or ""
    for column in columns[:-1]:
        if column.name == asked:
            return rows.column(column.at)
    problem = f"there is no column {shown(asked)} as the option group_by has it"
    raise BadCsv(problem, sheet.dialect.header_line, 1, option="group_by")


def _grouped(data: Data, cells: Sequence[str], lines: Sequence[int], options: TableOptions) -> Data:
    """One row for each group: figures put together, classes that are the same."""
    if options.aggregate is None:
        problem = "the option aggregate says what becomes of the rows of a group"
        raise BadCsv(problem, lines[0], options.group_by or 1, option="aggregate")
    groups = {name: at for at, name in enumerate(sorted(set(cells)))}
    places = np.array([groups[cell] for cell in cells])
    put = np.sum if options.aggregate == "sum" else np.mean
    figures, labels = [], []
    for place in range(len(groups)):
        mine = places == place
        figures.append(put(data.figures[mine], axis=0))
        goals = data.labels[mine]
        if data.classes and len(np.unique(goals)) > 1:
            line = lines[int(np.flatnonzero(mine)[-1])]
            raise BadCsv("a group with more than one class", line, options.group_by or 1)
        labels.append(goals[0] if data.classes else put(goals))
    if len(groups) < MIN_ROWS:
        problem = f"at least {MIN_ROWS} groups are needed; here are {len(groups)}"
        raise BadCsv(problem, lines[-1], options.group_by or 1, option="group_by")
    return Data(data.names, data.classes, np.array(figures), np.array(labels))
