"""What a large table holds: types, missing values, figures, correlations, distributions.

Several passes over the file, each with bounded memory: the first finds how each column is written,
the second what its figures are, the others how they are distributed. All yield the bytes done.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence, Set
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streaming.events.vocabulary import JsonMapping, JsonObject
from streaming.tasks.analysis.described import Described
from streaming.tasks.analysis.groups import Groups
from streaming.tasks.analysis.pairs import Pairs
from streaming.tasks.analysis.quantiles import MAX_HELD, Quantiles
from streaming.tasks.tables.columns import Column, columns_of, decide, survey
from streaming.tasks.tables.figures import figures_of
from streaming.tasks.tables.options import TableOptions
from streaming.tasks.tables.refusal import BadCsv, shown
from streaming.tasks.tables.sheet import BATCH_ROWS, Batch, Sheet, describe, left_out_of
from streaming.tasks.tables.summing import is_certain, open_total, sums_up, totals_of

#: Bins in which figures are counted, and of a chart.
FINE_BINS, CHART_BINS = 1024, 32

Figures = NDArray[np.float64]


def profile(
    path: Path, options: TableOptions, *, batch_rows: int = BATCH_ROWS
) -> Generator[int, None, JsonObject]:
    """Columns with their types and figures, the correlations of all pairs, and how it was read.

    Given after each batch: bytes read of all.
    """
    sheet = Sheet(path, options, batch_rows=batch_rows)
    columns = columns_of(sheet)
    for batch in sheet.batches():
        survey(columns, batch)
        yield sheet.position // 2
    if not any(column.first_line for column in columns):
        raise BadCsv("there are no rows below the header", sheet.dialect.header_line + 1, 1)
    decide(columns, options)
    taken = _Taken(sheet, columns, options)
    for batch in sheet.batches():
        taken.add(batch)
        yield (sheet.size + sheet.position) // 2
    return taken.result()


class _Taken:
    """The second pass: what is found of the rows that are no totals."""

    def __init__(self, sheet: Sheet, columns: Sequence[Column], options: TableOptions) -> None:
        self._sheet, self._columns, self._options = sheet, columns, options
        self._found = [Described(column, options) for column in columns]
        self._numeric = [column for column in columns if column.kind == "figures"]
        self._pairs = Pairs(len(self._numeric))
        self._totals = {} if options.total_rows == "keep" else totals_of(columns)
        self._left_out: list[tuple[int, list[str]]] = []
        self._rows = 0
        self._by = self._group_column()
        names = [column.name for column in self._numeric]
        self._groups: Groups | None = None
        if self._by is not None:
            self._groups = Groups(self._by.name, names, options.aggregate)

    def _group_column(self) -> Column | None:
        asked = self._options.group_by
        if asked is None:
            return None
        for column in self._columns:
            if column.name == asked:
                return column
        problem = f"there is no column {shown(asked)} as the option group_by has it"
        raise BadCsv(problem, self._sheet.dialect.header_line, 1, option="group_by")

    def add(self, batch: Batch) -> None:
        rows = self._without_totals(batch)
        if not rows.rows:
            return
        self._rows += len(rows.rows)
        for column, found in zip(self._columns, self._found, strict=True):
            found.add(rows, rows.column(column.at))
        if not self._numeric:
            return
        table = np.column_stack([_figures(rows, column) for column in self._numeric])
        for at, column in enumerate(self._numeric):
            self._found[column.at].span(table[:, at])
        self._pairs.add(table)
        if self._groups is not None and self._by is not None:
            self._groups.add(rows.lines, rows.column(self._by.at), table)

    def _without_totals(self, batch: Batch) -> Batch:
        if not self._totals or not self._totals.keys() & set(batch.lines):
            return batch
        kept = Batch([], [])
        for line, row in zip(batch.lines, batch.rows, strict=True):
            if line in self._totals:
                self._left_out.append((line, row))
            else:
                kept.lines.append(line)
                kept.rows.append(row)
        return kept

    def result(self) -> JsonObject:
        figures = {c.at: self._pairs.figures(at) for at, c in enumerate(self._numeric)}
        self._check_totals(figures)
        names = [column.name for column in self._numeric]
        found = {
            "rows": self._rows,
            "columns": [each.result(figures.get(each.column.at)) for each in self._found],
            "correlations": [
                {"columns": [names[a], names[b]], "r": self._pairs.correlation(a, b)}
                for a in range(len(names))
                for b in range(a + 1, len(names))
            ],
            "read_as": self._read_as(),
        }
        return found | ({"groups": self._groups.result()} if self._groups is not None else {})

    def _check_totals(self, figures: Mapping[int, JsonMapping]) -> None:
        """`BadCsv` where a row called a total may be one of the rows as well."""
        for line, row in self._left_out:
            column, label = self._totals[line]
            if self._options.total_rows == "drop" or is_certain(self._columns[0], line):
                continue
            ways = {c.at: (figures[c.at]["mean"], self._found[c.at].present) for c in self._numeric}
            if not any(
                mean is not None and sums_up(row[at], self._columns[at].mark, mean, count)
                for at, (mean, count) in ways.items()
            ):
                raise open_total(line, label, column)

    def _read_as(self) -> JsonObject:
        left_out: list[JsonObject] = [
            {"what": "total row", "line": line, "label": self._totals[line][1]}
            for line, _ in self._left_out
        ]
        left_out += left_out_of(self._sheet)
        told = [
            {**column.describe(), **found.told}
            for column, found in zip(self._columns, self._found, strict=True)
        ]
        return {**describe(self._sheet), "columns": told, "left_out": left_out}


def _figures(rows: Batch, column: Column) -> Figures:
    """A column's figures; rows called totals that are kept have none where others have years."""
    for line, cell in column.totals.items():
        if column.at and line in rows.lines:
            raise BadCsv(f"{shown(cell)} is not a number", line, column.name)
    return figures_of(rows.column(column.at), column.mark, words=column.at == 0)


def distributions(
    path: Path, table: JsonMapping, options: TableOptions
) -> Generator[int, None, JsonObject]:
    """How the figures of each numeric column are spread, by its name: `table` is its profile."""
    wanted = {
        at: {**each, "mark": told["decimal"]}
        for at, (each, told) in enumerate(
            zip(table["columns"], table["read_as"]["columns"], strict=True)
        )
        if each["type"] in ("integer", "number")
    }
    out = {each["line"] for each in table["read_as"]["left_out"] if each["what"] == "total row"}
    counts = {at: np.zeros(FINE_BINS, dtype=np.int64) for at in wanted}
    room = MAX_HELD // max(1, len(wanted))
    quantiles = {at: Quantiles(each["present"], room) for at, each in wanted.items()}
    sheet = Sheet(path, options)
    number = 0
    while number == 0 or not all(each.is_done for each in quantiles.values()):
        for batch in sheet.batches():
            rows = _without(out, batch)
            for at, column in wanted.items():
                if number and quantiles[at].is_done:
                    continue
                figures = figures_of(rows.column(at), column["mark"], words=at == 0)
                figures = figures[~np.isnan(figures)]
                if not number:
                    counts[at] += _histogram(figures, column)
                quantiles[at].look(figures)
            share = 0.5 ** (number + 1)
            yield round(sheet.size * (1 - 2 * share) + sheet.position * share)
        for each in quantiles.values():
            each.turn()
        number += 1
    return {
        each["name"]: _distribution(counts[at], each, quantiles[at]) for at, each in wanted.items()
    }


def _without(out: Set[int], batch: Batch) -> Batch:
    """The rows that are not in these lines."""
    if out.isdisjoint(batch.lines):
        return batch
    kept = [at for at, line in enumerate(batch.lines) if line not in out]
    return Batch([batch.lines[at] for at in kept], [batch.rows[at] for at in kept])


def _histogram(figures: Figures, column: JsonMapping) -> NDArray[np.int64]:
    low, high = column["min"], column["max"]
    width = high - low
    if width <= 0 or not np.isfinite(width):
        return np.bincount([0], weights=[len(figures)], minlength=FINE_BINS).astype(np.int64)
    places = np.minimum(((figures - low) / width * FINE_BINS).astype(np.int64), FINE_BINS - 1)
    return np.bincount(np.clip(places, 0, None), minlength=FINE_BINS).astype(np.int64)


def _distribution(
    counts: NDArray[np.int64], column: JsonMapping, quantiles: Quantiles
) -> JsonObject:
    """Exact quantiles, linear between two figures, and the bins of a chart."""
    return {
        "quantiles": quantiles.result(),
        "within": 0.0,
        "bins": counts.reshape(CHART_BINS, -1).sum(axis=1).tolist(),
        "low": column["min"],
        "high": column["max"],
    }
