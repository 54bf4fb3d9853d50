"""A table in any notation, encoding and order: the same figures, or a refusal that helps."""

from __future__ import annotations

import csv
import io
import tempfile
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings, strategies as st

from streaming.tasks.tables.options import TableOptions
from streaming.tasks.tables.refusal import BadCsv
from streaming.tasks.tables.series import read_series

MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
LONG = "January February March April May June July August September October November December"
GERMAN = "Januar Februar März April Mai Juni Juli August September Oktober November Dezember"

#: How a day is written, and what `date_order` means it.
DATES: dict[str, tuple[str, Any]] = {
    "iso": ("ymd", lambda d: d.isoformat()),
    "iso time": ("ymd", lambda d: f"{d.isoformat()}T08:30:00+02:00"),
    "iso blank": ("ymd", lambda d: f"{d.isoformat()} 08:30"),
    "slashes": ("ymd", lambda d: f"{d:%Y/%m/%d}"),
    "compact": ("ymd", lambda d: f"{d:%Y%m%d}"),
    "american": ("mdy", lambda d: f"{d:%m/%d/%Y}"),
    "american short": ("mdy", lambda d: f"{d.month}/{d.day}/{d:%y}"),
    "british": ("dmy", lambda d: f"{d:%d/%m/%Y}"),
    "german": ("dmy", lambda d: f"{d:%d.%m.%Y}"),
    "dutch": ("dmy", lambda d: f"{d:%d-%m-%Y}"),
    "named": ("dmy", lambda d: f"{d.day} {MONTHS[d.month - 1]} {d.year}"),
    "named short": ("dmy", lambda d: f"{d.day:02d}-{MONTHS[d.month - 1]}-{d:%y}"),
    "american named": ("mdy", lambda d: f"{LONG.split()[d.month - 1]} {d.day}, {d.year}"),
    "german named": ("dmy", lambda d: f"{d.day}. {GERMAN.split()[d.month - 1]} {d.year}"),
    "japanese": ("ymd", lambda d: f"{d.year}年{d.month}月{d.day}日"),
}
#: The same of a month.
MONTHLY: dict[str, tuple[str, Any]] = {
    "iso": ("ymd", lambda d: f"{d:%Y-%m}"),
    "slash": ("ymd", lambda d: f"{d:%Y/%m}"),
    "month first": ("dmy", lambda d: f"{d:%m/%Y}"),
    "named": ("dmy", lambda d: f"{MONTHS[d.month - 1]} {d.year}"),
    "long": ("dmy", lambda d: f"{LONG.split()[d.month - 1]} {d.year}"),
    "excel": ("dmy", lambda d: f"{MONTHS[d.month - 1]}-{d:%y}"),
    "excel turned": ("ymd", lambda d: f"{d:%y}-{MONTHS[d.month - 1]}"),
    "german": ("dmy", lambda d: f"{GERMAN.split()[d.month - 1]} {d.year}"),
}
QUARTERLY: dict[str, tuple[str, Any]] = {
    name: ("ymd", write)
    for name, write in {
        "iso": lambda d: f"{d.year}-Q{(d.month + 2) // 3}",
        "first": lambda d: f"Q{(d.month + 2) // 3} {d.year}",
        "bank": lambda d: f"{(d.month + 2) // 3}Q{d:%y}",
    }.items()
}
GROUPS = {
    ".": (",", "'", "\u2019", " ", "\u00a0", "\u202f", ""),
    ",": (".", "'", " ", "\u00a0", ""),
}
AROUND = ("{}", "${}", "€ {}", "{} €", "R$ {}", "CHF {}", "{} USD", "¥{}", "£{}", "{}%", "{} %")
MINUS = ("-{}", "\u2212{}", "({})", "{}-")
MISSING = ("", "NA", "n/a", "N/A", "-", "–", "—", "null", "None", "#N/A", "NaN")


@dataclass(frozen=True)
class Written:
    """A table as somebody has it, what it says, and the options that say how it is meant."""

    data: bytes
    figures: list[list[float | None]]
    options: dict[str, Any]


def number(value: int, decimals: int, mark: str, group: str) -> str:
    """`value` / 10 ** decimals with these signs."""
    digits = str(abs(value)).rjust(decimals + 1, "0")
    whole, rest = digits[: len(digits) - decimals], digits[len(digits) - decimals :]
    if group:
        whole = f"{int(whole):,}".replace(",", group)
    return whole + (mark + rest if decimals else "")


@st.composite
def columns(draw: st.DrawFn, rows: int, mark: str) -> tuple[list[str], list[float | None]]:
    group, around = draw(st.sampled_from(GROUPS[mark])), draw(st.sampled_from(AROUND))
    minus, gap = draw(st.sampled_from(MINUS)), draw(st.sampled_from(MISSING))
    decimals = draw(st.integers(0, 4))
    figure = st.none() | st.integers(-(10**8), 10**8)
    values = draw(st.lists(figure, min_size=rows, max_size=rows))
    values[0], values[1] = values[0] or 1234, values[1] or 5
    cells: list[str] = []
    for value in values:
        if value is None:
            cells.append(gap)
            continue
        written = around.format(number(value, decimals, mark, group))
        cells.append(minus.format(written) if value < 0 else written)
    return cells, [None if value is None else value / 10**decimals for value in values]


@st.composite
def tables(draw: st.DrawFn) -> Written:
    rows = draw(st.integers(3, 12))
    notations, step = draw(st.sampled_from([(DATES, 0), (MONTHLY, 1), (QUARTERLY, 3)]))
    order, write = notations[draw(st.sampled_from(sorted(notations)))]
    start = draw(st.dates(date(1995, 1, 1), date(2019, 12, 1)))
    month = start.year * 12 + (start.month - 1) // 3 * 3
    days = [date.fromordinal(start.toordinal() + at * 17) for at in range(rows)]
    if step:
        months = [month + at * step for at in range(rows)]
        days = [date(each // 12, each % 12 + 1, 1) for each in months]
    mark = draw(st.sampled_from(".,"))
    count = draw(st.integers(1, 3))
    drawn = [draw(columns(rows, mark)) for _ in range(count)]
    places = draw(
        st.sampled_from([list(range(rows)), list(range(rows))[::-1]])
        | st.permutations(list(range(rows)))
    )
    names = ["Monat"] + [f"Umsätze {at}" for at in range(count)]
    lines = [[write(days[at]), *(cells[at] for cells, _ in drawn)] for at in places]
    total = draw(st.sampled_from([None, "Total", "Gesamt", "Summe:"]))
    if total is not None:
        lines.insert(draw(st.integers(0, rows)), [total, *(cells[0] for cells, _ in drawn)])
    return Written(
        data=draw(as_bytes([names, *lines])),
        figures=[values for _, values in drawn],
        options={"decimal": mark, "date_order": order},
    )


@st.composite
def as_bytes(draw: st.DrawFn, lines: list[list[str]]) -> bytes:
    delimiter = draw(st.sampled_from(",;\t|"))
    text = io.StringIO()
    csv.writer(
        text, delimiter=delimiter, lineterminator=draw(st.sampled_from(["\n", "\r\n"]))
    ).writerows(lines)
    written = text.getvalue()
    if draw(st.booleans()):
        written = f"sep={delimiter}\n" + written
    elif draw(st.booleans()):
        written = "Bericht\n\n" + written
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"]))
    try:
        return written.encode(encoding)
    except UnicodeEncodeError:  # no narrow space, and no 年, in cp1252
        return written.encode()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tables())
def test_any_notation_gives_the_same_figures_or_a_refusal_that_helps(written: Written) -> None:
    found, used = read(written)

    assert list(found.columns.values()) == written.figures, used


def read(written: Written) -> tuple[Any, dict[str, Any]]:
    """The table, with those options alone that a refusal has named."""
    used: dict[str, Any] = {}
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        file.write(written.data)
        file.flush()
        while True:
            try:
                return read_series(Path(file.name), TableOptions(**used)).table, used
            except BadCsv as error:
                refusal = error
            option = refusal.extra.get("option")
            assert option in written.options, refusal
            assert option not in used, refusal
            assert option in str(refusal)
            used[option] = written.options[option]
