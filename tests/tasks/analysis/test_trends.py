from __future__ import annotations

import math
from typing import Any

import pytest

from streaming.tasks.analysis.table import Table
from streaming.tasks.analysis.trends import find_trends, growth_percent


def trend(*values: float | None) -> dict[str, Any]:
    """That of one column, over periods p0, p1, …"""
    periods = [f"p{at}" for at in range(len(values))]
    return find_trends(Table("p", periods, {"a": list(values)}))[0]


def test_growth_is_told_for_every_period_against_the_one_before() -> None:
    found = trend(100, 110, 99, 148.5)

    assert found["growth_percent"] == [None, 10, -10, 50]
    assert found["best"] == {"period": "p3", "growth_percent": 50}
    assert found["worst"] == {"period": "p2", "growth_percent": -10}


def test_total_and_average_growth_lead_from_first_to_last() -> None:
    found = trend(100, 170, 90, 133.1)

    assert (found["first"], found["last"]) == (
        {"period": "p0", "value": 100},
        {"period": "p3", "value": 133.1},
    )
    assert found["total_growth_percent"] == 33.1
    assert found["average_growth_percent"] == 10  # 1.1 ** 3 = 1.331


def test_the_slope_is_that_of_least_squares() -> None:
    # Sums by hand: mean 4, Σ(x - 1.5)(y - 4) = 4.5 + 0.5 - 0.5 + 4.5, Σ(x - 1.5)² = 5.
    found = trend(1, 3, 3, 9)

    assert found["mean"] == 4
    assert found["slope_per_period"] == pytest.approx((4.5 + 0.5 - 0.5 + 7.5) / 5)


def test_a_missing_figure_leaves_two_gaps_in_the_growth_and_counts_as_a_period() -> None:
    found = trend(None, 100, None, 110, 121, None)

    assert found["growth_percent"] == [None, None, None, None, 10, None]
    assert (found["first"]["period"], found["last"]["period"]) == ("p1", "p4")
    assert found["average_growth_percent"] == round((1.21 ** (1 / 3) - 1) * 100, 2)
    assert found["slope_per_period"] == pytest.approx(282 / 42)
    assert math.isclose(found["mean"], 331 / 3, rel_tol=1e-9)


@pytest.mark.parametrize(
    ("before", "after", "percent"),
    [
        (100, 150, 50),
        (-100, -50, 50),
        (-100, 50, 150),
        (50, -50, -200),
        (3, 4, 33.33),
        (0, 5, None),
        (1e-12, 5, None),
        (None, 5, None),
        (5, None, None),
    ],
)
def test_growth_is_measured_by_the_magnitude_of_what_was(
    before: float | None, after: float | None, percent: float | None
) -> None:
    assert growth_percent(before, after) == percent


@pytest.mark.parametrize("values", [(-100, 50), (100, -50), (0, 50), (50, 0)])
def test_there_is_no_average_growth_from_or_to_what_is_not_positive(
    values: tuple[float, float],
) -> None:
    assert trend(*values)["average_growth_percent"] is None


def test_without_any_growth_there_is_no_best_period() -> None:
    found = trend(1, None, 2)

    assert (found["best"], found["worst"]) == (None, None)


def test_there_is_a_trend_for_each_column_in_order() -> None:
    table = Table("p", ["1", "2"], {"b": [1, 2], "a": [2, 1]})

    assert [each["column"] for each in find_trends(table)] == ["b", "a"]
