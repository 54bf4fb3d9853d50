from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from streaming.events.event import dumps
from streaming.tasks.analysis.anomalies import find_anomalies
from streaming.tasks.analysis.narrative import MAX_DESCRIBED, amount, narrate
from streaming.tasks.analysis.table import MAX_VALUE, Table
from streaming.tasks.analysis.trends import find_trends


def told(**columns: list[float | None]) -> str:
    count = len(next(iter(columns.values())))
    table = Table("p", [f"p{at}" for at in range(count)], dict(columns))
    return narrate("Sales", table, find_trends(table), find_anomalies(table))


def test_it_quotes_the_figures_of_every_column() -> None:
    text = told(revenue=[1000, 1100, 990, 1331], costs=[5, 4, 4, 2.5])

    assert text == (
        "Sales: 4 periods from p0 to p3, 2 columns of figures.\n\n"
        "revenue rose from 1,000 to 1,331, +33.10% in all or +10.00% per period on average. "
        "Its best period was p3 (+34.44%), its worst p2 (-10.00%). "
        "Its fitted line gains 88.30 per period.\n\n"
        "costs fell from 5 to 2.50, -50.00% in all or -20.63% per period on average. "
        "Its best period was p2 (+0.00%), its worst p3 (-37.50%). "
        "Its fitted line loses 0.75 per period.\n\n"
        "No figure is far from its trend "
        "(modified z-score beyond ±3.5, columns of 5 figures or more).\n"
    )


def test_it_quotes_the_anomalies_with_rule_and_threshold() -> None:
    text = told(refunds=[7, 7, 7, 7, 7, 7, 19, 7])

    assert "refunds ended where it began, at 7." in text
    assert text.endswith(
        "1 figure far from the trend of the column (modified z-score beyond ±3.5):\n"
        "- refunds in p6: 19, where 7 was to be expected (score 6.4)\n"
    )


def test_of_many_anomalies_it_describes_the_strongest_and_counts_the_rest() -> None:
    values: list[float | None] = [100.0 + at % 3 for at in range(300)]
    values[::20] = [1000.0 + at for at in range(15)]

    text = told(a=values)

    assert "15 figures far from" in text
    assert text.count("was to be expected") == MAX_DESCRIBED
    assert text.endswith("- and 3 more\n")


figure = st.floats(-MAX_VALUE, MAX_VALUE) | st.sampled_from([0.0, 1.0, 5e-324, -1e15])
column = st.tuples(st.lists(figure, min_size=2), st.lists(st.none() | figure)).map(
    lambda parts: [*parts[0], *parts[1]]
)


@given(column)
def test_whatever_the_figures_all_is_finite_and_told(values: list[float | None]) -> None:
    table = Table("p", [f"p{at}" for at in range(len(values))], {"a": values})

    trends = find_trends(table)

    assert dumps(trends)
    assert "inf" not in narrate("Sales", table, trends, find_anomalies(table))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1234567, "1,234,567"),
        (-1234.5, "-1,234.50"),
        (0.12345, "0.1235"),
        (1e15, "1" + ",000" * 5),
    ],
)
def test_amounts_are_for_people(value: float, text: str) -> None:
    assert amount(value) == text
