from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, strategies as st

from streaming.tasks.analysis.table import (
    MAX_COLUMNS,
    MAX_FIGURES,
    MAX_ROWS,
    BadCsv,
    Table,
    parse,
)
from streaming.tasks.tables.options import TableOptions
from streaming.tasks.tables.series import read_series

PLAIN = "month,revenue,costs\n2024-01,10,5\n2024-02,20,6\n"


def figures(text: str) -> list[float | None]:
    """Those of the first column."""
    return next(iter(parse(text).columns.values()))


def refusal(text: str) -> tuple[int, str | int, str]:
    with pytest.raises(BadCsv) as error:
        parse(text)
    return error.value.extra["line"], error.value.extra["column"], str(error.value)


def test_a_table_is_a_period_column_and_columns_of_figures() -> None:
    assert parse(PLAIN) == Table(
        period="month",
        periods=["2024-01", "2024-02"],
        columns={"revenue": [10.0, 20.0], "costs": [5.0, 6.0]},
    )


@pytest.mark.parametrize(
    "same",
    [
        "\ufeff" + PLAIN,
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", " , "),
        PLAIN.rstrip("\n"),
        "\n\n" + PLAIN.replace("\n", "\n\n") + ",,\n",
        '"month","revenue","costs"\n"2024-01","10","5"\n"2024-02","20","6"\n',
    ],
    ids=["BOM", "CRLF", "CR", "semicolon", "tab", "spaces", "no end", "blank lines", "quoted"],
)
def test_the_usual_forms_of_csv_are_the_same_table(same: str) -> None:
    assert parse(same) == parse(PLAIN)


def test_quoted_fields_may_have_delimiters_quotes_and_line_ends() -> None:
    table = parse('"the\nmonth","net, after ""tax"""\n"Jan, 24",1\n"Feb, 24",2\n')

    assert table.period == "the\nmonth"
    assert table.periods == ["Jan, 24", "Feb, 24"]
    assert table.columns == {'net, after "tax"': [1.0, 2.0]}


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("7", 7),
        ("+7", 7),
        ("-7.25", -7.25),
        ("−7", -7),
        ("(7)", -7),
        ("(1,234.50)", -1234.5),
        ("$(1,234)", -1234),
        ("($1,234)", -1234),
        ("-$5", -5),
        ("$-5", -5),
        ("$ 1,234,567.89", 1234567.89),
        ("1 234 567", 1234567),
        ("1\u202f234,5", 1234.5),
        ("1\u00a0234", 1234),
        ("1'234.5", 1234.5),
        ("12,34,567", 1234567),
        ("1.234.567,89", 1234567.89),
        ("12,5", 12.5),
        ("€12.50", 12.5),
        ("12.50 €", 12.5),
        ("¥100", 100),
        (".5", 0.5),
        ("5.", 5),
        ("1e3", 1000),
        ("1.5E-2", 0.015),
        ("-0", 0),
        ("", None),
        ("  ", None),
    ],
)
def test_a_figure_may_be_written_in_many_ways(cell: str, value: float | None) -> None:
    # The 2.5 decides for cells that are figures with either decimal mark.
    read = figures(f'p,a,b\n1,"{cell}",2.5\n2,3,2.5\n3,4,2.5\n')

    assert read == [value, 3, 4]
    assert str(read[0]) != "-0.0"


@pytest.mark.parametrize(
    "cell",
    ["abc", "--5", "(-5)", "(5", "5)", "1,234 567", "1.2.3", ".", "inf", "1_000", "0x10", "١٢"]
    + ["1e", "1e999", "1e16", "9" * 100, "$", "%", "()", "5 5", "E5", "0,435,000", "€5$"],
)  # fmt: skip
def test_what_is_no_figure_is_refused_with_line_and_column(cell: str) -> None:
    line, column, _ = refusal(f'p,a,b\n1,7,2.5\n2,"{cell}",2.5\n3,7,2.5\n')

    assert (line, column) == (3, "a")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("p,a\n1,1.234\n2,0.5\n", 1.234),
        ('p,a\n1,"1,234"\n2,"2,5"\n', 1.234),
        ('p,a\n1,"1,234"\n2,"1,234,567"\n', 1234),
        ('p,a\n1,"1,234"\n2,2.5\n', 1234),
        ("p,a\n1,1.234\n2,1.234.567\n", 1234),
        ("p;a\n1;1,234\n2;2.5\n", 1234),
        ("p;a\n1;0,435\n2;1,512\n", 0.435),
        ("p;a\n1;0.125\n2;1.512\n", 0.125),
        ('p,a\n1,"1,234"\n2,1 234 567\n', 1.234),
        ("p,a,b\n1,1.234,0.5\n2,2.345,1.5\n", 1.234),
        ("p;a;b\n1;1.234;0,5\n2;2.345;1,5\n", 1234),
    ],
)
def test_the_whole_table_tells_the_decimal_mark(text: str, value: float) -> None:
    assert figures(text)[0] == value


def test_percent_is_read_as_its_number_and_said() -> None:
    found = read_series("p,a\n1,12%\n2,-3.5 %\n3,0\n", TableOptions())

    assert found.table.columns == {"a": [12, -3.5, 0]}
    assert found.read_as["columns"][1]["percent"] is True


@pytest.mark.parametrize(
    "text",
    [
        "p,a\n1,1.234\n2,2\n",
        'p,a\n1,"1,234"\n2,2\n',
        "p;a\n1;1.234\n2;2\n",
        "p;a\n1;1,234\n2;2\n",
        "p;a;b;c\n1;1.234;0,5;0.5\n2;2;1,5;1.5\n",
    ],
)
def test_a_decimal_mark_that_stays_open_is_refused_and_the_option_decides(text: str) -> None:
    with pytest.raises(BadCsv) as error:
        parse(text)

    assert error.value.extra == {"line": 2, "column": "a", "option": "decimal"}
    assert "decimal" in str(error.value)


def test_a_cell_in_another_notation_is_named() -> None:
    assert refusal("p;a\n1;1.5\n2;2.5\n3;3,5\n")[:2] == (4, "a")
    assert refusal("p;a\n1;$1\n2;$2\n3;€3\n")[:2] == (4, "a")
    assert refusal("p;a\n1;1%\n2;0.25\n3;0.5\n")[:2] == (2, "a")


def test_the_bad_cell_is_named() -> None:
    assert refusal("p;a\n1;1.5\n2;2.5\n3;x\n")[:2] == (4, "a")
    assert refusal('p,a\n1,"1,5"\n2,"2,5"\n3,x\n')[:2] == (4, "a")


@pytest.mark.parametrize(
    ("text", "line", "column", "word"),
    [
        ("", 1, 1, "nothing"),
        (" \n,,\n\n", 1, 1, "nothing"),
        ("2024-01,10,5\n2024-02,20,6\n", 1, 2, "must name the columns"),
        ("month\n2024-01\n2024-02\n", 1, 2, "no column of figures"),
        ("p,a\n", 1, "p", "here are 0"),
        ("\n\np,a\n\n1,2\n", 5, "p", "here are 1"),
        ("p,a,b\n1,2,3\n2,3\n", 3, "b", "2 cells"),
        ("p,a,b\n1,2,3\n2,3,4,5\n", 3, 4, "4 cells"),
        ("p,a,b\n1,2,3\n2\n", 3, "a", "1 cells"),
        ("p,a,b\n1,2,3\n2,x,4\n", 3, "a", "'x' is not a number"),
        ("p,a,b,a\n1,2,3,4\n2,3,4,5\n", 1, 4, "second column is named 'a'"),
        ("p,p\n1,2\n2,3\n", 1, 2, "second column is named 'p'"),
        ("p,a\n1,2\n,3\n", 3, "p", "period is missing"),
        ("p,a\n1,\n2,7\n", 1, "a", "fewer than 2 figures"),
        ("p,a\n1,2\n2,\0\n", 3, 2, "NUL"),
        ("p\0,a\n1,2\n2,3\n", 1, 1, "NUL"),
        ("p,a\n1,2\n\ud800,3\n", 3, 1, "UTF-8"),
        ('p,a\n1,2\n2,"3\n', 3, 1, "not CSV"),
        ('p,a\n1,2\n2,"3"4\n', 3, 1, "not CSV"),
        ('p,a\n"1\n\n",2\n2,x\n', 5, "a", "not a number"),
        ("p,a\r\n1,2\r\n2,x\r\n", 3, "a", "not a number"),
    ],
)
def test_what_is_no_table_is_refused_where_it_is(
    text: str, line: int, column: str | int, word: str
) -> None:
    assert refusal(text)[:2] == (line, column)
    assert word in refusal(text)[2]


def test_bytes_that_are_not_utf_8_are_found_in_their_cell() -> None:
    latin = "p,a,b\n1,2,3\nJänner,3,4\n".encode("latin-1")

    line, column, message = refusal(latin.decode("utf-8", "surrogateescape"))

    assert (line, column) == (3, 1)
    assert "not UTF-8" in message


def test_of_more_rows_and_columns_than_are_drawn_the_newest_and_the_first_are() -> None:
    names = ",".join(f"c{number}" for number in range(MAX_COLUMNS))
    rows = [f"{row}" + ",1" * MAX_COLUMNS for row in range(MAX_FIGURES // MAX_COLUMNS + 10)]
    found = read_series("\n".join([f"p,{names}", *rows]), TableOptions())
    assert found.table.periods[0] == "10"
    assert found.read_as["left_out"] == [{"what": "older periods", "count": 10, "up_to": "9"}]

    rows = "".join(f"{row},1\n" for row in range(MAX_ROWS + 1))
    assert refusal("p,a\n" + rows)[0] == MAX_ROWS + 2

    names = ",".join(f"c{number}" for number in range(MAX_COLUMNS + 1))
    row = ",1" * (MAX_COLUMNS + 1)
    found = read_series(f"p,{names}\n1{row}\n2{row}\n", TableOptions())
    assert len(found.table.columns) == MAX_COLUMNS
    assert found.read_as["left_out"][0]["column"] == f"c{MAX_COLUMNS}"

    assert refusal(f"p,a\n{'x' * 61},2\ny,3\n")[:2] == (2, "p")
    assert refusal(f"p,{'a' * 201}\n1,2\n2,3\n")[:2] == (1, 2)


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (["2024-03", "2024-02", "2024-01"], ["2024-01", "2024-02", "2024-03"]),
        (["2024-Q2", "2023-Q4", "2024-Q1"], ["2023-Q4", "2024-Q1", "2024-Q2"]),
        (["2024", "2022", "2023"], ["2022", "2023", "2024"]),
        (["2024-01-31", "2023-12-31"], ["2023-12-31", "2024-01-31"]),
        (["Mar", "Feb", "Jan"], ["Jan", "Feb", "Mar"]),
        (["2024-10", "2024-9"], ["2024-9", "2024-10"]),
        (["31.01.2024", "01.02.2024"], ["31.01.2024", "01.02.2024"]),
        (["blue", "amber"], ["blue", "amber"]),
    ],
)
def test_periods_that_tell_their_order_are_put_in_it(given: list[str], taken: list[str]) -> None:
    text = "p,a\n" + "".join(f"{period},{at}\n" for at, period in enumerate(given))

    table = parse(text)

    assert table.periods == taken
    assert [given[int(value or 0)] for value in table.columns["a"]] == taken


@given(st.text(st.sampled_from("ab1,;\t\"\n\r .-()%$\0\ufeff\ud800é€٣'"), max_size=80))
def test_nothing_is_raised_but_its_own_error(text: str) -> None:
    with contextlib.suppress(BadCsv):
        parse(text)


@given(st.text(st.characters(exclude_categories=()), max_size=200))
def test_nothing_is_raised_but_its_own_error_for_any_text(text: str) -> None:
    with contextlib.suppress(BadCsv):
        parse(text)


@given(
    st.lists(
        st.lists(st.none() | st.floats(-1e15, 1e15), min_size=2, max_size=2),
        min_size=2,
        max_size=20,
    )
)
def test_figures_as_python_writes_them_are_read_back(rows: list[list[float | None]]) -> None:
    whole: list[list[float | None]] = [[1.5, 2.5], [2.5, 1.5], *rows]
    text = "p,a,b\n" + "".join(
        f"row {at}," + ",".join("" if value is None else repr(value) for value in row) + "\n"
        for at, row in enumerate(whole)
    )

    assert list(map(list, zip(*parse(text).columns.values(), strict=True))) == whole
