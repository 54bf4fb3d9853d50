"""How each column of a table develops: growth, its extremes, and the slope of its line."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from streaming.events.vocabulary import JsonObject
from streaming.tasks.tables.table import Table

#: Smaller than this is nothing: no growth is measured from it.
TINY = 1e-9


def find_trends(table: Table) -> list[JsonObject]:
    """One trend for each column, in the table's order. See `_trend` for what is in it."""
    return [_trend(name, values, table.periods) for name, values in table.columns.items()]


def growth_percent(before: float | None, after: float | None) -> float | None:
    """Change in percent of `before`'s magnitude; None where one is missing or `before` is 0."""
    if before is None or after is None or abs(before) < TINY:
        return None
    return round((after - before) / abs(before) * 100, 2)


def _trend(name: str, values: Sequence[float | None], periods: Sequence[str]) -> JsonObject:
    """`growth_percent` has one entry for each period, against the period before it."""
    known = [(at, value) for at, value in enumerate(values) if value is not None]
    (first_at, first), (last_at, last) = known[0], known[-1]
    growth = [None, *(growth_percent(*pair) for pair in zip(values, values[1:], strict=False))]
    measured = [(percent, at) for at, percent in enumerate(growth) if percent is not None]
    best = max(measured, key=lambda each: each[0], default=None)
    worst = min(measured, key=lambda each: each[0], default=None)
    figures = [value for _, value in known]
    return {
        "column": name,
        "first": {"period": periods[first_at], "value": first},
        "last": {"period": periods[last_at], "value": last},
        "mean": tidy(statistics.fmean(figures)),
        "total_growth_percent": growth_percent(first, last),
        "average_growth_percent": _average_growth_percent(first, last, last_at - first_at),
        "slope_per_period": tidy(statistics.linear_regression(*zip(*known, strict=True)).slope),
        "best": best and {"period": periods[best[1]], "growth_percent": best[0]},
        "worst": worst and {"period": periods[worst[1]], "growth_percent": worst[0]},
        "growth_percent": growth,
    }


def _average_growth_percent(first: float, last: float, periods: int) -> float | None:
    """The constant growth per period from `first` to `last` (CAGR), where both are positive."""
    if first < TINY or last < TINY:
        return None
    factor = math.exp(math.log(last / first) / periods)
    return round((factor - 1) * 100, 2)


def tidy(value: float) -> float:
    """Ten significant digits: what rounding errors leave is cut off."""
    return float(f"{value:.10g}")
