"""What a large table holds: types, missing values, figures, correlations, distributions.

Two passes over the file, each with bounded memory: the first finds what a column is and between
what its figures lie, the second counts how they are distributed. Both yield the bytes done.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaming.tasks.analysis.rows import CsvRows, Row
from streaming.tasks.analysis.table import BadCsv

#: Cells that stand for a missing value, in lower case.
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "-"})
#: Values of a column that are counted each for itself; with more it is only said that there are.
MAX_DISTINCT = 1000
#: Bins in which figures are counted, and of a chart.
FINE_BINS, CHART_BINS = 1024, 32
#: Characters of a value that are shown.
SHOWN = 80

Figures = NDArray[np.float64]

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?")


def profile(path: Path) -> Generator[int, None, dict[str, Any]]:
    """The first pass: columns with their types and figures, and the correlations of all pairs."""
    rows = CsvRows(path)
    columns: list[_Column] = []
    pairs: _Pairs | None = None
    count = 0
    for batch in rows.batches():
        if pairs is None:
            columns = [_Column(name) for name in rows.names]
            pairs = _Pairs(len(columns))
        count += len(batch)
        pairs.add([column.add(cells) for column, cells in _by_column(columns, batch)], len(batch))
        yield rows.position
    if pairs is None:
        raise BadCsv("there are no rows below the header", 2, 1)
    described = [column.result(pairs.figures(at)) for at, column in enumerate(columns)]
    numeric = [at for at, column in enumerate(columns) if column.is_numeric]
    return {
        "rows": count,
        "columns": described,
        "correlations": [
            {"columns": [columns[a].name, columns[b].name], "r": pairs.correlation(a, b)}
            for index, a in enumerate(numeric)
            for b in numeric[index + 1 :]
        ],
    }


def distributions(
    path: Path, columns: Sequence[dict[str, Any]]
) -> Generator[int, None, dict[str, Any]]:
    """The second pass: how the figures of each numeric column are spread, by its name."""
    wanted = {at: each for at, each in enumerate(columns) if each["type"] in ("integer", "number")}
    counts = {at: np.zeros(FINE_BINS, dtype=np.int64) for at in wanted}
    rows = CsvRows(path)
    for batch in rows.batches():
        for at, cells in enumerate(zip(*batch, strict=True)):
            if at in wanted:
                figures = _figures([cell for cell in cells if cell.lower() not in MISSING])
                if figures is not None:
                    counts[at] += _histogram(figures, wanted[at])
        yield rows.position
    return {each["name"]: _distribution(counts[at], each) for at, each in wanted.items()}


def _by_column(columns: Sequence[_Column], batch: list[Row]) -> Any:
    return zip(columns, zip(*batch, strict=True), strict=True)


def _figures(cells: Sequence[str]) -> Figures | None:
    """The cells as figures; None when one is none."""
    if any("_" in cell for cell in cells):  # which Python would take for a separator
        return None
    try:
        figures = np.fromiter(map(float, cells), dtype=np.float64, count=len(cells))
    except ValueError:
        return None
    return figures if np.isfinite(figures).all() else None


class _Column:
    """What a column was found to be so far."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_numeric = True
        self._is_whole = self._is_date = True
        self._present = self._missing = 0
        self._low = self._high = 0.0
        self._longest = 0
        self._values: Counter[str] | None = Counter()
        self._first = self._last = ""

    def add(self, cells: Sequence[str]) -> Figures | None:
        """Take in a batch; its figures, NaN where one is missing, or None: they are none."""
        present = [cell for cell in cells if cell.lower() not in MISSING]
        self._missing += len(cells) - len(present)
        figures = _figures(present) if self.is_numeric else None
        self.is_numeric = self.is_numeric and figures is not None
        if present:
            self._describe(present)
            if figures is not None:
                self._span(figures)
        self._present += len(present)
        if figures is None:
            return None
        placed = np.full(len(cells), np.nan)
        placed[[cell.lower() not in MISSING for cell in cells]] = figures
        return placed

    def result(self, figures: dict[str, Any]) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "name": self.name,
            "type": self._type(),
            "present": self._present,
            "missing": self._missing,
        }
        if self._type() in ("integer", "number"):
            shown |= {"min": self._low, "max": self._high, **figures}
        elif self._type() == "date":
            shown |= {"first": self._first, "last": self._last}
        elif self._type() == "text":
            shown["longest"] = self._longest
        known = self._values
        shown["distinct"] = None if known is None else len(known)
        if known is not None:
            top = known.most_common(5)
            shown["top"] = [{"value": value[:SHOWN], "count": count} for value, count in top]
        return shown

    def _type(self) -> str:
        if not self._present:
            return "empty"
        if self.is_numeric:
            return "integer" if self._is_whole else "number"
        return "date" if self._is_date else "text"

    def _describe(self, present: Sequence[str]) -> None:
        self._longest = max(self._longest, max(map(len, present)))
        if self._values is not None:
            self._values.update(present)
            if len(self._values) > MAX_DISTINCT:
                self._values = None
        if self._is_date:
            self._is_date = all(map(_DATE.fullmatch, present))
            ends = (min(present), max(present))
            self._first = min(self._first, ends[0]) if self._present else ends[0]
            self._last = max(self._last, ends[1])

    def _span(self, figures: Figures) -> None:
        low, high = float(figures.min()), float(figures.max())
        self._low = min(self._low, low) if self._present else low
        self._high = max(self._high, high) if self._present else high
        self._is_whole = self._is_whole and bool((figures == np.floor(figures)).all())


class _Pairs:
    """Sums over the rows in which both columns of a pair have a figure.

    Figures are shifted by the first mean of their column: sums of large figures lose digits.
    """

    def __init__(self, columns: int) -> None:
        self._shift: Figures | None = None
        self._counts, self._sums, self._squares, self._products = (
            np.zeros((columns, columns)) for _ in range(4)
        )

    def add(self, columns: Sequence[Figures | None], rows: int) -> None:
        missing = np.full(rows, np.nan)
        table = np.column_stack([missing if each is None else each for each in columns])
        there = ~np.isnan(table)
        if self._shift is None:
            counted = np.maximum(there.sum(axis=0), 1)
            self._shift = (np.where(there, table, 0.0) / counted).sum(axis=0)
        shifted = np.where(there, table - self._shift, 0.0)
        mask = there.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            self._counts += mask.T @ mask
            self._sums += shifted.T @ mask
            self._squares += (shifted**2).T @ mask
            self._products += shifted.T @ shifted

    def figures(self, at: int) -> dict[str, Any]:
        """Mean and standard deviation (of a sample) of a column."""
        count, total, squares = (
            float(each[at, at]) for each in (self._counts, self._sums, self._squares)
        )
        if not count or self._shift is None:
            return {"mean": None, "deviation": None}
        spread = _finite(squares - total * total / count)  # beyond all figures: infinite, or none
        known = spread is not None and count > 1
        deviation = (max(0.0, spread or 0.0) / (count - 1)) ** 0.5 if known else None
        return {
            "mean": _finite(float(self._shift[at]) + total / count),
            "deviation": _finite(deviation),
        }

    def correlation(self, a: int, b: int) -> float | None:
        """Pearson's r; None where one of the two does not vary."""
        count = self._counts[a, b]
        if count < 2:
            return None
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            both = self._products[a, b] - self._sums[a, b] * self._sums[b, a] / count
            one = self._squares[a, b] - self._sums[a, b] ** 2 / count
            other = self._squares[b, a] - self._sums[b, a] ** 2 / count
            # What is left of equal figures is rounding.
            tiny = 1e-12 * np.array([self._squares[a, b], self._squares[b, a]])
            if one <= tiny[0] or other <= tiny[1]:
                return None
            found = _finite(float(both / np.sqrt(one * other)))
        return None if found is None else round(max(-1.0, min(1.0, found)), 6)


def _finite(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None


def _histogram(figures: Figures, column: dict[str, Any]) -> NDArray[np.int64]:
    low, high = column["min"], column["max"]
    width = high - low
    if width <= 0 or not np.isfinite(width):
        return np.bincount([0], weights=[len(figures)], minlength=FINE_BINS).astype(np.int64)
    places = np.minimum(((figures - low) / width * FINE_BINS).astype(np.int64), FINE_BINS - 1)
    return np.bincount(np.clip(places, 0, None), minlength=FINE_BINS).astype(np.int64)


def _distribution(counts: NDArray[np.int64], column: dict[str, Any]) -> dict[str, Any]:
    """Quantiles, right to within a fine bin, and the bins of a chart."""
    low, high = column["min"], column["max"]
    width = (high - low) / FINE_BINS
    cumulated = np.cumsum(counts)
    total = int(cumulated[-1])

    def quantile(share: float) -> float:
        at = int(np.searchsorted(cumulated, share * total))
        return float(min(high, low + (at + 0.5) * width))

    bins = counts.reshape(CHART_BINS, -1).sum(axis=1)
    return {
        "quantiles": {"25%": quantile(0.25), "50%": quantile(0.5), "75%": quantile(0.75)},
        "within": width,
        "bins": bins.tolist(),
        "low": low,
        "high": high,
    }
