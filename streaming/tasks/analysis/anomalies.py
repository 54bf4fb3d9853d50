"""Outliers: figures that are far from their column's trend, by the modified z-score.

B. Iglewicz, D. Hoaglin: How to Detect and Handle Outliers, 1993. Median, median absolute
deviation and a median-based trend are hardly moved by the very outliers that are looked for.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from streaming.events.vocabulary import JsonObject
from streaming.tasks.analysis.trends import TINY, growth_percent, tidy
from streaming.tasks.tables.table import Table

RULE = "modified z-score"
#: A figure is an anomaly when the magnitude of its score is above this (Iglewicz and Hoaglin).
THRESHOLD = 3.5
#: Minimum figures in a column: fewer have no trend to be far from.
MIN_FIGURES = 5
#: Maximum anomalies of a table; the strongest are kept.
MAX_ANOMALIES = 100

#: For normally distributed values: the 75th percentile, and mean absolute deviation to sigma.
_MAD_FACTOR = 0.6745
_MEAN_AD_FACTOR = 1.253314
#: What is fitted to the figures before their deviation is measured, and the choice of the fit.
_FITTED = 3

Points = Sequence[tuple[int, float]]


class _Fit(NamedTuple):
    """A trend through points: what it expects at each, and how far off they are."""

    kind: str
    expected: list[float]
    #: Without a unit: shares of the largest figure for a line, logarithms for an exponential.
    residuals: list[float]


def find_anomalies(table: Table) -> list[JsonObject]:
    """The anomalies in order of their periods; `index` is the row of the table.

    The trend of a column is a line or an exponential, whichever is nearer to its figures. A
    figure's score is 0.6745 · residual / MAD, where the residual is figure - expected for a line
    and log(figure / expected) for an exponential, whose figures vary in proportion. MAD is the
    median absolute residual, times n / (n - 3) since fits to few figures look better than they
    are. Where more than half of the figures lie on the trend, MAD is 0, and 1.253314 · the mean
    absolute residual takes the place of MAD / 0.6745; `scale` says which it was.
    """
    found = [
        anomaly
        for name, values in table.columns.items()
        for anomaly in _of_column(name, values, table.periods)
    ]
    found.sort(key=lambda each: -abs(each["score"]))
    return sorted(found[:MAX_ANOMALIES], key=lambda each: int(each["index"]))


def _of_column(
    name: str, values: Sequence[float | None], periods: Sequence[str]
) -> list[JsonObject]:
    points = [(at, value) for at, value in enumerate(values) if value is not None]
    if len(points) < MIN_FIGURES:
        return []
    fit = _fit(points)
    scale, unit = _scale(fit.residuals)
    return [
        {
            "period": periods[at],
            "index": at,
            "column": name,
            "value": value,
            "expected": tidy(expected),
            "deviation_percent": growth_percent(expected, value),
            "score": round(residual / unit, 4),
            "threshold": THRESHOLD,
            "rule": RULE,
            "scale": scale,
            "trend": fit.kind,
        }
        for (at, value), expected, residual in zip(points, fit.expected, fit.residuals, strict=True)
        if abs(residual / unit) > THRESHOLD
    ]


def _fit(points: Points) -> _Fit:
    """The nearer of a line and, where all figures are positive, an exponential."""
    line = _linear(points)
    if any(value < TINY for _, value in points):
        return line
    return min(line, _exponential(points), key=lambda fit: _misfit(fit, points))


def _misfit(fit: _Fit, points: Points) -> float:
    pairs = zip(fit.expected, points, strict=True)
    return statistics.median(abs(value - expected) for expected, (_, value) in pairs)


def _linear(points: Points) -> _Fit:
    expected = _line(points)
    peak = max(TINY, *(abs(value) for _, value in points))
    residuals = [(value - at) / peak for (_, value), at in zip(points, expected, strict=True)]
    return _Fit("linear", expected, residuals)


def _exponential(points: Points) -> _Fit:
    logs = [(at, math.log(value)) for at, value in points]
    expected = _line(logs)
    residuals = [log - at for (_, log), at in zip(logs, expected, strict=True)]
    return _Fit("exponential", [math.exp(log) for log in expected], residuals)


def _line(points: Points) -> list[float]:
    """A line through the points by Theil's incomplete method, at each of them.

    The slope is the median of those between points half the series apart, the height the median
    of what is left: outliers do not bend it, and a season of half the length cancels out.
    """
    ahead = points[len(points) // 2 :]
    pairs = zip(points, ahead, strict=False)
    slope = statistics.median((y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in pairs)
    height = statistics.median(y - slope * x for x, y in points)
    return [height + slope * x for x, _ in points]


def _scale(residuals: Sequence[float]) -> tuple[str, float]:
    """The name of the measure of spread, and the residual whose score is 1."""
    sizes = [abs(residual) for residual in residuals]
    deviation = statistics.median(sizes) * len(sizes) / (len(sizes) - _FITTED)
    if deviation > TINY:
        return "median absolute deviation", deviation / _MAD_FACTOR
    return "mean absolute deviation", max(statistics.fmean(sizes) * _MEAN_AD_FACTOR, TINY)
