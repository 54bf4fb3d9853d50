from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given, strategies as st

from streaming.tasks.analysis import axis
from streaming.tasks.analysis.anomalies import find_anomalies
from streaming.tasks.analysis.chart import draw
from streaming.tasks.analysis.table import MAX_COLUMNS, MAX_VALUE, Table

SVG = "{http://www.w3.org/2000/svg}"


def parsed(title: str, table: Table) -> ElementTree.Element:
    return ElementTree.fromstring(draw(title, table, find_anomalies(table)))


def words(root: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in root.iter(f"{SVG}text")]


def lines(root: ElementTree.Element) -> list[str]:
    """The paths of the columns: the others have no rounded joins."""
    paths = root.iter(f"{SVG}path")
    return [path.attrib["d"] for path in paths if "stroke-linejoin" in path.attrib]


def table(**columns: list[float | None]) -> Table:
    count = len(next(iter(columns.values())))
    return Table("month", [f"2024-{at + 1:02}" for at in range(count)], dict(columns))


CALM: list[float | None] = [100, 103, 104, 108, 109, 113]


def test_it_has_a_title_axes_a_legend_and_marks() -> None:
    root = parsed("Sales", table(revenue=[100, 103, 104, 500, 109, 113], orders=[1, 2, 3, 4, 5, 6]))

    assert root.find(f"{SVG}title") is not None
    assert {"Sales", "month", "2024-01", "2024-06", "revenue", "orders", "500", "0"} <= {
        *words(root)
    }
    # In the plot and in the legend of its panel.
    assert len(list(root.iter(f"{SVG}circle"))) == 2
    assert "2024-04" in words(root)
    assert "anomaly" in words(root)


def test_without_anomalies_nothing_is_marked() -> None:
    root = parsed("Sales", table(revenue=CALM))

    assert list(root.iter(f"{SVG}circle")) == []
    assert "anomaly" not in words(root)


def test_it_is_the_same_for_the_same_figures_and_loads_nothing() -> None:
    svg = draw("Sales", table(a=CALM), [])

    assert svg == draw("Sales", table(a=CALM), [])
    assert svg.count("http") == 1
    assert not any(word in svg for word in ("<script", "<style", "href", "url(", "<image"))


def test_hostile_labels_are_text() -> None:
    hostile = '</text><script>alert("1")</script>&\0\x01\ufffe]]>'

    root = parsed(hostile, Table(hostile, [hostile, "b"], {hostile: [1, 2]}))

    assert not list(root.iter(f"{SVG}script"))
    assert (root.findtext(f"{SVG}title") or "").startswith("</text><script>")


def test_columns_of_like_size_share_a_panel() -> None:
    small: list[float | None] = [1, 2, 3, 4, 5, 6]

    root = parsed("Sales", table(revenue=CALM, orders=small, costs=CALM, refunds=small))

    labels = [each.text for each in root.iter(f"{SVG}text") if "transform" in each.attrib]
    assert labels == ["revenue, costs", "orders, refunds"]


def test_a_missing_figure_breaks_the_line_and_a_lone_one_is_a_dot() -> None:
    root = parsed("Sales", table(a=[0, 10, None, 5, None, 10]))

    (line, _legend) = lines(root)
    assert [part.count("L") for part in line.split("M")[1:]] == [1, 0, 0]
    assert line.count("h0") == 3


def test_a_line_lies_where_the_axis_says() -> None:
    root = parsed("Sales", table(a=[0, 5, 10]))

    heights = {text.text: float(text.attrib["y"]) - 4 for text in root.iter(f"{SVG}text")}
    (line, _legend) = lines(root)
    points = [part.removesuffix("h0").split() for part in line.replace("M", "L").split("L")[1:]]
    assert [float(y) for _, y in points] == [
        heights["0"],
        (heights["0"] + heights["10"]) / 2,
        heights["10"],
    ]


def test_the_styles_of_all_columns_differ() -> None:
    root = parsed("Sales", table(**{f"c{at}": list(CALM) for at in range(MAX_COLUMNS)}))

    drawn = [path.attrib for path in root.iter(f"{SVG}path") if "stroke-linejoin" in path.attrib]
    styles = {(each["stroke"], each.get("stroke-dasharray")) for each in drawn}
    assert len(styles) == MAX_COLUMNS


figure = st.floats(-MAX_VALUE, MAX_VALUE) | st.sampled_from([0.0, 1.0, 5e-324, 1e15])
label = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


@given(label, label, st.lists(figure, min_size=2, max_size=12), st.lists(figure, min_size=12))
def test_whatever_the_figures_it_is_well_formed(
    title: str, name: str, first: list[float | None], second: list[float | None]
) -> None:
    columns = {name: first, name + "2": second[: len(first)]}

    assert lines(parsed(title, Table(title, [title] * len(first), columns)))


@given(figure, figure)
def test_ticks_are_few_even_and_around_the_figures(one: float, other: float) -> None:
    low, high = sorted((one, other))

    ticks = axis.ticks(low, high)

    assert 3 <= len(ticks) <= 7
    slack = (ticks[1] - ticks[0]) / 1000
    assert ticks[0] - slack <= low
    assert ticks[-1] + slack >= high
    steps = [after - before for before, after in pairwise(ticks)]
    assert steps == pytest.approx([steps[0]] * len(steps))
    assert len({*axis.labels(ticks)}) == len(ticks)


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0, 10, ["0", "2", "4", "6", "8", "10"]),
        (0, 234567, ["0", "50k", "100k", "150k", "200k", "250k"]),
        (0, 12000, ["0", "2.5k", "5.0k", "7.5k", "10.0k", "12.5k"]),
        (-3e6, 2e6, ["-3M", "-2M", "-1M", "0", "1M", "2M"]),
        (100000, 100010, ["100.000k", "100.002k", "100.004k", "100.006k", "100.008k", "100.010k"]),
        (0.11, 0.14, ["0.11", "0.12", "0.13", "0.14"]),
        (5, 5, ["0", "1", "2", "3", "4", "5"]),
        (0, 0, ["-1.0", "-0.5", "0", "0.5", "1.0"]),
    ],
)
def test_ticks_are_labelled_in_short(low: float, high: float, labels: list[str]) -> None:
    assert axis.labels(axis.ticks(low, high)) == labels
