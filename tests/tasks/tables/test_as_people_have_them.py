"""Tables as people have them: each is read for what it says, or refused with what to change."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from streaming.tasks.analysis.amounts import amount, figure
from streaming.tasks.analysis.dataset import DataSet, read_data
from streaming.tasks.analysis.narrative import narrate
from streaming.tasks.analysis.profile import distributions, profile
from streaming.tasks.analysis.trends import find_trends
from streaming.tasks.tables.options import TableOptions
from streaming.tasks.tables.refusal import BadCsv
from streaming.tasks.tables.series import Reading, read_series


def series(text: str, **options: Any) -> Reading:
    return read_series(text, TableOptions(**options))


def of(labels: list[str], values: list[int]) -> Reading:
    rows = "".join(f'"{label}",{value}\n' for label, value in zip(labels, values, strict=True))
    return series("p,v\n" + rows)


def analysed(tmp_path: Path, text: str, **options: Any) -> dict[str, Any]:
    file = tmp_path / "data.csv"
    file.write_text(text)
    asked = TableOptions(**options)
    table = ended(profile(file, asked))
    return {**table, "distributions": ended(distributions(file, table, asked))}


def ended(passing: Generator[int, None, dict[str, Any]]) -> dict[str, Any]:
    while True:
        try:
            next(passing)
        except StopIteration as end:
            found: dict[str, Any] = end.value
            return found


@pytest.mark.parametrize(
    "newest_first",
    [
        ["2024M02", "2024M01", "2023M12"],
        ["Month 12", "Month 11", "Month 9"],
        ["P12", "P11", "P9"],
        ["12月", "11月", "9月"],
        ["Fiscal 2024", "Fiscal 2023", "Fiscal 2022"],
        ["FY 2024/25", "FY 2023/24", "FY 2022/23"],
        ["2024E", "2023A", "2022A"],
        ["2010s", "2000s", "1990s"],
        ["2020-2024", "2015-2019", "2010-2014"],
        ["2024-366", "2024-335", "2023-365"],
        ["1st quarter 2024", "4th quarter 2023", "3rd quarter 2023"],
        ["First quarter 2024", "Fourth quarter 2023", "Third quarter 2023"],
        ["I 2024", "IV 2023", "III 2023"],
        ["Fri", "Thu", "Wed"],
        ["Montag", "Sonntag", "Samstag"],
    ],
)
def test_labels_that_count_are_put_in_order_whichever_way_they_come(
    newest_first: list[str],
) -> None:
    backwards, forwards = of(newest_first, [3, 2, 1]), of(newest_first[::-1], [1, 2, 3])

    assert backwards.table.periods == forwards.table.periods == newest_first[::-1]
    assert backwards.table.columns == {"v": [1.0, 2.0, 3.0]}


@pytest.mark.parametrize(
    "oldest_first",
    [
        ["12/99", "01/00", "02/00"],
        ["12/30", "12/31", "01/01", "01/02"],
        ["12/31", "01/01"],
        ["10", "11", "12", "1", "2"],
        ["Month 11", "Month 12", "Month 1"],
        ["P3", "P4", "P1"],
        ["22", "23", "0", "1"],
    ],
)
def test_numbers_that_begin_anew_do_not_tell_their_order(oldest_first: list[str]) -> None:
    for labels in (oldest_first, oldest_first[::-1]):
        read = of(labels, [*range(len(labels))])

        assert read.table.periods == labels
        assert "do not tell their order" in read.read_as["period"]["order"]


@pytest.mark.parametrize(
    "labels",
    [
        ["11.23", "12.23", "01.24"],
        ["11.23", "12.23", "1.24"],
        ["1123", "1223", "0124"],
        ["112023", "122023", "012024"],
        ["112023", "122023", "12024"],
        ["31122023", "31012024", "29022024"],
        ["012024", "022024"],
        ["12302024", "12312024", "1012025"],
        ["300124", "310124", "010224"],
    ],
)
def test_dates_in_digits_alone_are_not_put_in_order_as_numbers(labels: list[str]) -> None:
    for each in (labels, labels[::-1]):
        with pytest.raises(BadCsv, match="is no date|may be dates"):
            of(each, [*range(len(each))])


def test_numbers_in_order_of_text_are_put_in_order_of_size() -> None:
    for front in ("Month ", ""):
        labels = [f"{front}{number}" for number in range(1, 13)]
        read = of(sorted(labels), [*range(12)])

        assert read.table.periods == labels


def test_a_report_says_when_its_periods_do_not_tell_their_order() -> None:
    table = of(["north", "south"], [2, 1]).table

    told = narrate("t", table, find_trends(table), [], in_time=False)

    assert "The periods do not tell their order" in told.split("\n\n")[0]
    assert "do not tell" not in narrate("t", table, find_trends(table), [])


def test_years_among_their_quarters_are_no_series() -> None:
    with pytest.raises(BadCsv, match="'2023-Q1' is no date, or in another notation"):
        series("p,v\n2023,400\n2023-Q1,100\n2023-Q2,100\n2023-Q3,100\n2023-Q4,100\n")


@pytest.mark.parametrize(
    "label",
    ["YTD", "Full year", "Total sales", "Total (EUR)", "Total_2024", "Median", "Std. dev.", "Σ"],
)
def test_what_sums_up_dates_is_no_period(label: str, tmp_path: Path) -> None:
    months = "Jan,1\nFeb,2\nMar,3\n"

    assert series(f"m,v\n{months}{label},6\n").table.periods == ["Jan", "Feb", "Mar"]
    assert series(f"m,v\n{label},6\n{months}").table.periods == ["Jan", "Feb", "Mar"]
    assert analysed(tmp_path, f"m,v\n{months}{label},6\n")["columns"][1]["max"] == 3
    with pytest.raises(BadCsv):  # among names it may be one of them
        series(f"m,v\nJan,1\nFeb,2\nMar,3\nbudget,3\n{label},9\n")


@pytest.mark.parametrize("total", ["drop", "keep", None])
def test_an_analysis_of_years_with_a_total_below_counts_it_as_it_is_told(
    tmp_path: Path, total: str | None
) -> None:
    found = analysed(tmp_path, "year,v\n2021,1\n2022,2\nTotal,3\n", total_rows=total)

    year, value = found["columns"]
    assert (year["present"], year["min"], year["max"]) == (2, 2021, 2022)
    assert value["max"] == (3 if total == "keep" else 2)
    assert found["distributions"]["year"]["quantiles"]["50%"] == 2021.5


def test_an_analysis_of_months_may_keep_its_total(tmp_path: Path) -> None:
    found = analysed(tmp_path, "m,v\n2021-01,1\n2021-02,2\nTotal,3\n", total_rows="keep")

    month, value = found["columns"]
    assert (month["first"], month["last"], value["max"]) == ("2021-01", "2021-02", 3)


def test_a_total_in_a_column_of_figures_sums_up_or_is_refused(tmp_path: Path) -> None:
    assert analysed(tmp_path, "v,year\n1,2021\n2,2022\n3,Total\n")["rows"] == 2
    with pytest.raises(BadCsv, match="total_rows"):
        analysed(tmp_path, "v,year\n1,2021\n2,2022\n9,Total\n")
    with pytest.raises(BadCsv, match="'Total' is not a number"):
        analysed(tmp_path, "v,year\n1,2021\n2,2022\n3,Total\n", total_rows="keep")


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["12,-", "13,-", "1.234,–"], [12, 13, 1234]),
        (["12.–", "-13.–", "1,234.— CHF"], [12, -13, 1234]),
        (["12-", "13,5-", "1.234,0-"], [-12, -13.5, -1234]),
        (["１２３", "４，５００，０００", "－５"], [123, 4_500_000, -5]),
    ],
)
def test_figures_are_read_as_they_are_meant(cells: list[str], values: list[float]) -> None:
    rows = "".join(f"{2021 + at};{cell}\n" for at, cell in enumerate(cells))

    assert series("y;v\n" + rows).table.columns == {"v": values}


@pytest.mark.parametrize("cell", ["--", "..", "…", "?", "k.A.", r"\N", "(null)", "NaT", "#NAME?"])
def test_what_stands_for_nothing_is_missing(cell: str, tmp_path: Path) -> None:
    text = f"y;v\n2021;1\n2022;{cell}\n2023;3\n"

    assert series(text).table.columns == {"v": [1, None, 3]}
    assert analysed(tmp_path, text)["columns"][1]["missing"] == 1


@pytest.mark.parametrize("header", ["y,,v", ",,v"])
def test_names_with_gaps_are_a_header(header: str) -> None:
    found = series(f"{header}\n2021,1,2\n2022,2,3\n")

    assert found.table.periods == ["2021", "2022"]
    assert found.read_as["header_row"] == 1


@pytest.mark.parametrize(
    "text",
    [
        "month,v\nWed, 3 Jan 2024,1\nMon, 1 Jan 2024,2\nTue, 2 Jan 2024,3\n",
        "place,v\nParis, France,10\nLyon, France,20\nNice, France,30\n",
        "A,2024-01-03,1\nB,2024-01-04,2\nC,2024-01-05,3\n",
    ],
)
def test_a_row_of_the_table_is_not_lost_as_its_header(text: str) -> None:
    with pytest.raises(BadCsv, match="must name the columns") as refusal:
        series(text)

    assert refusal.value.extra["option"] == "header_row"


def test_notes_below_a_table_may_have_delimiters(tmp_path: Path) -> None:
    text = "y,v\n2021,1\n2022,2\nSource: Eurostat, 2024\n* provisional, rounded\n"

    assert series(text).read_as["left_out"] == [{"what": "notes below", "lines": [4, 5]}]
    assert analysed(tmp_path, text)["columns"][1]["max"] == 2


def test_a_table_may_have_titles_above_and_notes_below() -> None:
    read = series("Sales\n\ny,v,w\n2021,1,5\n2022,2,6\n\nSource: ERP\n* provisional\n")

    assert read.table.columns == {"v": [1, 2], "w": [5, 6]}
    assert read.read_as["left_out"] == [
        {"what": "title rows", "lines": [1]},
        {"what": "notes below", "lines": [7, 8]},
    ]


def test_a_title_is_no_header_where_most_figures_are_missing() -> None:
    read = series("Report\n\nm,v\n2024-01,1\n2024-02,2\n2024-03,\n2024-04,\n2024-05,\n2024-06,\n")

    assert read.table.columns == {"v": [1, 2, None, None, None, None]}


def test_a_table_whose_columns_are_periods_is_refused() -> None:
    with pytest.raises(BadCsv, match="turn the table"):
        series("metric,Jan,Feb,Mar\nsales,1,2,3\ncosts,4,5,6\n")


def test_a_refusal_names_the_cell_that_is_no_figure() -> None:
    with pytest.raises(BadCsv, match=r"line 2, column 'v': .*'1\.5k' is not a number"):
        series("y,n,v\n2021,x,1.5k\n2022,y,2k\n")


def learned(goals: list[str], **options: Any) -> DataSet:
    rows = "".join(f"{at % 7},{goal}\n" for at, goal in enumerate(goals))
    return read_data("a,y\n" + rows, TableOptions(), **options)


def test_classes_that_are_numbers_are_one_by_their_value() -> None:
    assert learned(["1", "1.0", "2", "2.0"] * 5).data.classes == ["1", "2"]


def test_a_goal_of_figures_and_words_is_refused_and_the_option_decides() -> None:
    goals = [*map(str, range(15)), "high"]

    with pytest.raises(BadCsv, match="predict") as refusal:
        learned(goals)

    assert (refusal.value.extra["option"], refusal.value.extra["line"]) == ("predict", 17)
    assert len(learned(goals, predict="classes").data.classes) == 16


def test_people_read_no_exponents() -> None:
    shown = [(amount(value), figure(value)) for value in (1.31868e9, 0.00001234, -0.0)]

    assert shown == [("1,318,680,000",) * 2, ("0.00001234",) * 2, ("0", "0")]
