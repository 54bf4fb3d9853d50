from __future__ import annotations

import math
from statistics import fmean, median
from typing import Any

import pytest
from hypothesis import given, strategies as st

from streaming.events.event import dumps
from streaming.tasks.analysis.anomalies import MAX_ANOMALIES, THRESHOLD, find_anomalies
from streaming.tasks.analysis.table import MAX_VALUE, Table


def anomalies(*values: float | None) -> list[dict[str, Any]]:
    """Those of one column, over periods p0, p1, …"""
    periods = [f"p{at}" for at in range(len(values))]
    return find_anomalies(Table("p", periods, {"a": list(values)}))


def where(*values: float | None) -> list[int]:
    return [each["index"] for each in anomalies(*values)]


def test_a_figure_far_from_a_line_is_found_with_its_score() -> None:
    noise = [1, -2, 2, -1, 1, -1, 2, -2, -1, 1, 1, -1]
    values = [-50.0 + 10 * at + noise[at] for at in range(12)]
    values[8] += 200

    (found,) = anomalies(*values)

    # By hand: slopes between points six apart, the median height, then residuals from the line.
    slope = median((values[at + 6] - values[at]) / 6 for at in range(6))
    height = median(value - slope * at for at, value in enumerate(values))
    residuals = [value - (height + slope * at) for at, value in enumerate(values)]
    spread = median(map(abs, residuals)) * 12 / 9
    assert found == {
        "period": "p8",
        "index": 8,
        "column": "a",
        "value": values[8],
        "expected": pytest.approx(height + slope * 8),
        "deviation_percent": pytest.approx(residuals[8] / (height + slope * 8) * 100, abs=0.01),
        "score": pytest.approx(0.6745 * residuals[8] / spread, abs=0.001),
        "threshold": 3.5,
        "rule": "modified z-score",
        "scale": "median absolute deviation",
        "trend": "linear",
    }


def test_a_figure_far_from_an_exponential_is_scored_on_logarithms() -> None:
    noise = [0.01, -0.02, 0.02, -0.01, 0.01, -0.01, 0.02, -0.02, -0.01, 0.01, 0.01, -0.01]
    logs = [5 + 0.2 * at + noise[at] for at in range(12)]
    logs[3] += math.log(1.5)

    (found,) = anomalies(*map(math.exp, logs))

    slope = median((logs[at + 6] - logs[at]) / 6 for at in range(6))
    height = median(log - slope * at for at, log in enumerate(logs))
    residuals = [log - (height + slope * at) for at, log in enumerate(logs)]
    spread = median(map(abs, residuals)) * 12 / 9
    assert (found["index"], found["trend"]) == (3, "exponential")
    assert found["score"] == pytest.approx(0.6745 * residuals[3] / spread, abs=0.001)
    assert found["expected"] == pytest.approx(math.exp(height + slope * 3))


def test_where_most_figures_lie_on_the_trend_the_mean_deviation_is_the_scale() -> None:
    (found,) = anomalies(7, 7, 7, 7, 7, 7, 19, 7)

    deviations = [0, 0, 0, 0, 0, 0, 12, 0]
    assert found["index"] == 6
    assert found["expected"] == 7
    assert found["score"] == pytest.approx(12 / (1.253314 * fmean(deviations)), abs=0.001)
    assert found["scale"] == "mean absolute deviation"


@pytest.mark.parametrize("at", range(10))
@pytest.mark.parametrize("factor", [0, 0.5, 2, 10])
def test_a_spike_is_found_wherever_it_is_and_its_neighbours_are_not(at: int, factor: float) -> None:
    values = [100, 103, 104, 108, 109, 113, 114, 118, 119, 123.0]
    values[at] *= factor

    assert where(*values) == [at]


@pytest.mark.parametrize("growth", [0.8, 1.0, 1.01, 1.1, 1.5])
@pytest.mark.parametrize("count", [5, 12, 60])
def test_steady_growth_has_no_anomaly(growth: float, count: int) -> None:
    assert where(*(0.1 * growth**at for at in range(count))) == []


@pytest.mark.parametrize("step", [-0.1, 0.1, 3.3])
@pytest.mark.parametrize("count", [5, 12, 60])
def test_a_straight_line_has_no_anomaly(step: float, count: int) -> None:
    assert where(*(0.7 + step * at for at in range(count))) == []


def test_missing_figures_are_left_out_and_keep_their_place() -> None:
    assert where(None, 10, 20, None, 40, 50, 60, None, 999, 90, 100) == [8]


def test_four_figures_are_too_few() -> None:
    assert where(1, 1, 1000, 1) == []
    assert where(1, 1, 1000, 1, 1) == [2]


def test_only_the_strongest_are_kept_and_all_stand_in_order_of_their_periods() -> None:
    wild: list[float | None] = [at % 7 + (1000 + at if at % 5 == 0 else 0) for at in range(1000)]
    table = Table("p", [str(at) for at in range(1000)], {"a": wild, "b": wild[::-1]})

    found = find_anomalies(table)

    assert len(found) == MAX_ANOMALIES
    assert [each["index"] for each in found] == sorted(each["index"] for each in found)
    assert min(each["score"] for each in found) > 1000 / 1999 * max(each["score"] for each in found)


figure = st.none() | st.floats(-MAX_VALUE, MAX_VALUE) | st.sampled_from([0.0, 1.0, 5e-324, 1e15])


@given(st.lists(figure, min_size=2, max_size=30))
def test_whatever_the_figures_the_scores_are_finite_and_beyond_the_threshold(
    values: list[float | None],
) -> None:
    found = anomalies(*values)

    assert dumps(found)
    assert all(abs(each["score"]) >= THRESHOLD for each in found)
