"""Means, deviations and correlations of many columns in one pass, with bounded memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streaming.events.vocabulary import JsonObject

Figures = NDArray[np.float64]


class Pairs:
    """Sums over the rows in which both columns of a pair have a figure.

    Figures are shifted by the first mean of their column: sums of large figures lose digits.
    """

    def __init__(self, columns: int) -> None:
        self._shift: Figures | None = None
        self._counts, self._sums, self._squares, self._products = (
            np.zeros((columns, columns)) for _ in range(4)
        )

    def add(self, table: Figures) -> None:
        """Take in rows: a column of `table` for each of ours, NaN where a figure is missing."""
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

    def figures(self, at: int) -> JsonObject:
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
