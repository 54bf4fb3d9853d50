from __future__ import annotations

import pytest

from streaming.tasks.tables.periods import Timeline
from streaming.tasks.tables.refusal import BadCsv


def placed(cells: list[str], date_order: str | None = None) -> list[str]:
    """The labels in order of time."""
    timeline = Timeline()
    lines = list(range(2, 2 + len(cells)))
    timeline.add(lines, cells)
    assert timeline.others == 0, timeline.first_other
    found = timeline.order(lines, cells, "p", date_order)
    return [cells[at] for at in sorted(range(len(cells)), key=lambda at: found.ranks[at])]


@pytest.mark.parametrize(
    "oldest_first",
    [
        ["09/30/2024", "10/31/2024", "12/31/2024"],
        ["30.11.2024", "31.12.2024", "01.01.2025"],
        ["2023-12-31", "2024-01-01"],
        ["2024-12-31T10:00:00+02:00", "2024-12-31T09:00:00Z"],
        ["3/4/2024 5:00 PM", "3/14/2024 4:00 AM"],
        ["12/31/24", "1/1/25"],
        ["98-01-05", "99-02-03", "00-01-31"],
        ["Dec 2023", "Jan 2024"],
        ["December 2023", "January 2024"],
        ["Jänner 2024", "März 2024"],
        ["déc. 2023", "janv. 2024"],
        ["diciembre de 2023", "enero de 2024"],
        ["Декабрь 2023", "Январь 2024"],
        ["31 декабря 2023", "1 января 2024"],
        ["grudzień 2023", "styczeń 2024"],
        ["2023年12月", "2024年1月"],
        ["Aug 31, 2024", "Sep 5, 2024"],
        ["31-Dec-2024", "1-Jan-2025"],
        ["Oct-24", "Nov-24", "Dec-24"],
        ["Nov-24", "Dec-24", "Jan-25"],
        ["24-Nov", "24-Dec", "25-Jan"],
        ["24-Dec", "25-Dec", "26-Dec"],
        ["2023-Q4", "2024-Q1"],
        ["Q4 2023", "Q1 2024"],
        ["4Q23", "1Q24"],
        ["23Q4", "24Q1"],
        ["H2 2023", "H1 2024"],
        ["2023/12", "2024/01"],
        ["12/2023", "01/2024"],
        ["2024-9", "2024-10"],
        ["20231231", "20240131"],
        ["2022", "2023", "2024"],
        ["FY2023", "FY2024"],
        ["2010-11", "2011-12", "2012-13"],
        ["2023-W52", "2024-W05"],
        ["W52 2023", "W05 2024"],
        ["Jan", "Feb", "Mar"],
        ["Oct", "Nov", "Dec", "Jan"],
        ["08:00", "09:30", "10:00"],
    ],
)
def test_time_is_put_in_order_whichever_way_it_comes(oldest_first: list[str]) -> None:
    assert placed(oldest_first) == oldest_first
    assert placed(oldest_first[::-1]) == oldest_first


@pytest.mark.parametrize(
    ("cells", "order", "expected"),
    [
        (["01/02/2024", "02/01/2024"], "dmy", ["02/01/2024", "01/02/2024"]),
        (["01/02/2024", "02/01/2024"], "mdy", ["01/02/2024", "02/01/2024"]),
        (["01-02-03", "02-01-03"], "ymd", ["01-02-03", "02-01-03"]),
        (["01-02-03", "03-01-02"], "dmy", ["03-01-02", "01-02-03"]),
    ],
)
def test_an_order_that_stays_open_is_refused_and_the_option_decides(
    cells: list[str], order: str, expected: list[str]
) -> None:
    with pytest.raises(BadCsv, match="date_order") as refusal:
        placed(cells)

    assert refusal.value.extra["option"] == "date_order"
    assert placed(cells, order) == expected


def test_an_option_that_contradicts_the_dates_is_refused() -> None:
    with pytest.raises(BadCsv, match="no date in the order dmy"):
        placed(["12/31/2024", "11/30/2024"], "dmy")


@pytest.mark.parametrize("cells", [["Dec", "Jan"], ["Q4", "Q1", "Q4"], ["Jan", "Mar", "Feb"]])
def test_what_has_no_year_and_no_order_is_refused(cells: list[str]) -> None:
    with pytest.raises(BadCsv, match="write the year"):
        placed(cells)


def test_two_digits_that_may_be_of_two_centuries_are_refused() -> None:
    with pytest.raises(BadCsv, match="write four"):
        placed(["Q1 00", "Q1 50"])


def test_a_zone_of_some_is_refused() -> None:
    with pytest.raises(BadCsv, match="zone"):
        placed(["2024-01-01T10:00Z", "2024-01-02T10:00"])
