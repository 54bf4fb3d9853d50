from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streaming.tasks.tables.options import TableOptions
from streaming.tasks.tables.refusal import BadCsv
from streaming.tasks.tables.series import Reading, read_series

GROUPED = (
    "month,region,revenue\n2024-01,north,100\n2024-01,south,80\n"
    "2024-02,north,110\n2024-02,south,70\n"
)


def read(text: str, **options: Any) -> Reading:
    return read_series(text, TableOptions(**options))


def left_out(text: str, **options: Any) -> list[str]:
    return [each["what"] for each in read(text, **options).read_as["left_out"]]


def refusal(text: str, **options: Any) -> dict[str, Any]:
    with pytest.raises(BadCsv) as error:
        read(text, **options)
    option = error.value.extra.get("option")
    assert option is None or str(option) in str(error.value)
    return error.value.extra


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\nm;v\n2024-01;1,5\n2024-02;2,5\n",
        "m|v\n2024-01|1.5\n2024-02|2.5\n",
        "m v\n2024-01 1.5\n2024-02 2.5\n",
        "Sales\n\nm,v\n2024-01,1.5\n2024-02,2.5\n",
        "Sales,,\n,,\nm,v,\n2024-01,1.5,\n2024-02,2.5,\n",
        "m,v\n2024-01,1.5,\n2024-02,2.5,\n",
        "m,v\n2024-02,2.5\n2024-01,1.5\n",
        "m,v\n2024-01,1.5\n2024-02,2.5\n\nSource: the office\n",
        "m,v\n2024-01,1.5\n2024-02,2.5\nTotal,4\n",
        "m,v\nSumme:,4\n2024-01,1.5\n2024-02,2.5\n",
        "m,v\n2024-01,1.5\nИтого,4\n2024-02,2.5\n",
        ",m,v\n0,2024-02,2.5\n1,2024-01,1.5\n",
        'm,v,note\n2024-01,1.5,"a\nb"\n2024-02,2.5,c\n',
    ],
)
def test_all_forms_of_a_table_are_the_same_table(text: str) -> None:
    table = read(text).table

    assert (table.periods, table.columns) == (["2024-01", "2024-02"], {"v": [1.5, 2.5]})


def test_repeated_periods_are_refused_and_the_options_do_what_they_say() -> None:
    found = refusal(GROUPED)
    assert (found["line"], found["column"], found["option"]) == (3, "month", "aggregate")

    assert read(GROUPED, aggregate="sum").table.columns == {"revenue": [180, 180]}
    assert read(GROUPED, aggregate="mean").table.columns == {"revenue": [90, 90]}
    apart = {"revenue (north)": [100, 110], "revenue (south)": [80, 70]}
    assert read(GROUPED, group_by="region").table.columns == apart
    assert read(GROUPED, group_by="region", aggregate="sum").table.columns == apart
    assert read(GROUPED, group_by="month", aggregate="sum").table.columns == {"revenue": [180, 180]}
    assert refusal(GROUPED, group_by="shop")["option"] == "group_by"
    assert refusal(GROUPED + "2024-02,south,1\n", group_by="region")["option"] == "aggregate"


def test_a_total_among_names_is_left_out_where_it_is_the_sum() -> None:
    assert left_out("name,v\nA,1\nB,2\nTotal,3\n") == ["total row"]
    assert refusal("name,v\nA,1\nB,2\nTotal,7\n")["option"] == "total_rows"
    assert read("name,v\nA,1\nB,2\nTotal,7\n", total_rows="keep").table.periods[-1] == "Total"
    assert left_out("name,v\nA,1\nB,2\nTotal,7\n", total_rows="drop") == ["total row"]


def test_totals_of_each_period_are_not_added_to_what_they_sum_up() -> None:
    text = GROUPED + "2024-01,Total,180\n2024-02,Total,180\n"

    assert read(text, aggregate="sum").table.columns == {"revenue": [180, 180]}


def test_a_kept_total_comes_last() -> None:
    table = read("m,v\nTotal,3\n2024-02,2\n2024-01,1\n", total_rows="keep").table

    assert table.periods == ["2024-01", "2024-02", "Total"]


def test_text_is_left_out_and_said() -> None:
    found = read("m,who,v\n2024-01,Ann,1\n2024-02,Bo,2\n")

    assert list(found.table.columns) == ["v"]
    assert found.read_as["left_out"] == [
        {"what": "column", "column": "who", "why": "text, no figures"}
    ]


def test_two_delimiters_that_fit_are_refused_and_the_option_decides() -> None:
    text = "a,b;c\n1,2;3\n4,5;6\n"

    assert refusal(text)["option"] == "delimiter"
    assert read(text, delimiter=";").table.columns == {"c": [3, 6]}


def test_a_first_row_of_figures_is_refused_and_the_option_decides() -> None:
    assert refusal("Report,2024\nm,v\n2024-01,1\n2024-02,2\n")["option"] == "header_row"
    text = "Report,Q1\nm,v\n2024-01,1\n2024-02,2\n"
    assert refusal(text)["option"] == "header_row"
    assert read(text, header_row=2).table.columns == {"v": [1, 2]}


def test_dates_of_which_some_are_none_are_refused() -> None:
    assert refusal("m,v\n2024-01-01,1\n2024-01-02,2\n03.01.2024,3\n")["line"] == 4
    assert refusal("m,v\n2024-01,1\nn/a,2\n2024-03,3\n")["line"] == 3


def test_what_was_recognised_is_said(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(
        "Umsätze\n\nMonat;Umsatz\nFeb 2024;2,5 €\nJan 2024;n/a\nMrz 2024;1 €\n".encode("cp1252")
    )

    said = read_series(file, TableOptions()).read_as

    assert (said["encoding"], said["delimiter"], said["header_row"]) == ("cp1252", ";", 3)
    assert said["period"]["order"] == "in no order in the file, sorted by time"
    column = said["columns"][1]
    assert (column["decimal"], column["currency"], column["missing"]) == (",", "€", 1)


def test_spaces_that_may_group_thousands_are_refused_and_the_option_decides() -> None:
    text = "a b\n1 100\n2 200\n"

    assert refusal(text)["option"] == "delimiter"
    assert read(text, delimiter=" ").table.columns == {"b": [100, 200]}
