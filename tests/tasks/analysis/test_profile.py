from __future__ import annotations

import math
import pickle
import random
import statistics
from collections.abc import Generator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from streaming.tasks.analysis.histogram import draw_histogram
from streaming.tasks.analysis.page import render
from streaming.tasks.analysis.profile import distributions, profile
from streaming.tasks.tables.options import TableOptions
from streaming.tasks.tables.refusal import BadCsv
from streaming.tasks.tables.sheet import BATCH_ROWS, MAX_LINE

OPTIONS = TableOptions()


def ended(passing: Generator[int, None, dict[str, Any]]) -> tuple[list[int], dict[str, Any]]:
    told = []
    while True:
        try:
            told.append(next(passing))
        except StopIteration as end:
            return told, end.value


def profiled(tmp_path: Path, text: str | bytes, *, batch_rows: int = BATCH_ROWS) -> dict[str, Any]:
    file = tmp_path / "data.csv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return ended(profile(file, OPTIONS, batch_rows=batch_rows))[1]


def test_each_column_has_its_type_and_its_missing_values(tmp_path: Path) -> None:
    found = profiled(
        tmp_path,
        "id,price,day,name,none\n1,2.5,2024-01-31,Ann,\n2,NA,2024-02-01,Bo,n/a\n3,-1e3,,7,null\n",
    )

    assert found["rows"] == 3
    shown = [(c["name"], c["type"], c["present"], c["missing"]) for c in found["columns"]]
    assert shown == [
        ("id", "integer", 3, 0),
        ("price", "number", 2, 1),
        ("day", "date", 2, 1),
        ("name", "text", 3, 0),
        ("none", "empty", 0, 3),
    ]
    assert found["columns"][2]["last"] == "2024-02-01"
    assert found["columns"][3]["top"][0]["count"] == 1


def test_figures_are_those_of_the_data_however_it_is_cut(tmp_path: Path) -> None:
    dice = random.Random(1)
    xs = [1e9 + dice.gauss(0, 1) for _ in range(500)]
    ys = [2 * x + dice.gauss(0, 1) if dice.random() > 0.1 else None for x in xs]
    text = "x,y\n" + "".join(
        f"{x!r},{'' if y is None else repr(y)}\n" for x, y in zip(xs, ys, strict=True)
    )
    whole = profiled(tmp_path, text)

    found = profiled(tmp_path, text, batch_rows=7)

    x, y = found["columns"]
    assert x["mean"] == pytest.approx(statistics.fmean(xs), rel=1e-15)
    assert x["deviation"] == pytest.approx(statistics.stdev(xs), rel=1e-6)
    assert (x["min"], x["max"]) == (min(xs), max(xs))
    pairs = [(a, b) for a, b in zip(xs, ys, strict=True) if b is not None]
    r = statistics.correlation([a for a, _ in pairs], [b for _, b in pairs])
    assert found["correlations"] == [{"columns": ["x", "y"], "r": pytest.approx(r, abs=1e-6)}]
    assert whole["correlations"] == found["correlations"]
    assert y["missing"] == ys.count(None)


def test_a_column_that_turns_out_to_be_text_is_text(tmp_path: Path) -> None:
    found = profiled(tmp_path, "a,b\n1,1\n2,2\n3,3\nx,4\n5,5\n", batch_rows=2)

    assert [column["type"] for column in found["columns"]] == ["text", "integer"]
    assert found["correlations"] == []
    assert found["columns"][0]["distinct"] == 5


def test_what_does_not_vary_goes_with_nothing(tmp_path: Path) -> None:
    found = profiled(tmp_path, "a,b\n0.1,1\n0.1,2\n0.1,3\n")

    assert found["correlations"] == [{"columns": ["a", "b"], "r": None}]


def test_many_values_are_not_all_kept(tmp_path: Path) -> None:
    found = profiled(tmp_path, "a\n" + "".join(f"v{n}\n" for n in range(1500)))

    assert found["columns"][0]["distinct"] is None


@pytest.mark.parametrize("huge", ["1e308", "-1e308"])
def test_figures_beyond_all_sums_are_no_error(tmp_path: Path, huge: str) -> None:
    found = profiled(tmp_path, f"a,b\n{huge},1\n-{huge.strip('-')},2\n0,3\n")

    assert all(
        math.isfinite(each) for each in (found["columns"][0]["min"], found["columns"][0]["max"])
    )


@pytest.mark.parametrize(
    ("data", "line", "column"),
    [
        (b"", 1, 1),
        (b"a,b\n", 2, 1),
        (b"a,b\n1,2\n1\n", 3, "b"),
        (b"a,b\n1,2\n1,2,3\n", 3, 3),
        (b"a,a\n1,2\n", 1, 2),
        (b"1,2\n3,4\n", 1, 2),
        (b"a,b\n1,2\nA\xf1o,3\n", 3, 1),
        (b"a,b\n1,\0\n", 2, 2),
        (b'a,b\n1,"2\n', 2, 1),
        (b"a,b\n" + b"x" * (MAX_LINE + 1), 2, 1),
        (b",".join(b"c%d" % n for n in range(201)), 1, 201),
    ],
)
def test_bad_csv_is_named_by_line_and_column(
    tmp_path: Path, data: bytes, line: int, column: str | int
) -> None:
    with pytest.raises(BadCsv) as failure:
        profiled(tmp_path, data)

    assert (failure.value.extra["line"], failure.value.extra["column"]) == (line, column)
    assert pickle.loads(pickle.dumps(failure.value)).extra == failure.value.extra


def test_semicolons_quotes_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    found = profiled(tmp_path, '\ufeffa;"b;c"\r\n1;"x\ny"\r\n\r\n2;z\r\n')

    assert [column["name"] for column in found["columns"]] == ["a", "b;c"]
    assert found["rows"] == 2


def test_progress_is_bytes_up_to_all_of_them(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_text("a\n" + "1\n" * 95)

    told, _ = ended(profile(file, OPTIONS, batch_rows=10))

    assert told == sorted(told)
    assert (len(told), told[-1]) == (20, file.stat().st_size)


def test_a_distribution_counts_every_figure(tmp_path: Path) -> None:
    values = [n**2 for n in range(1000)]
    file = tmp_path / "data.csv"
    file.write_text("a,t\n" + "".join(f"{value},x\n" for value in values) + "NA,x\n")
    table = ended(profile(file, OPTIONS))[1]

    (found,) = ended(distributions(file, table, OPTIONS))[1].values()

    assert sum(found["bins"]) == 1000
    for name, share in (("25%", 0.25), ("50%", 0.5), ("75%", 0.75)):
        assert found["quantiles"][name] == np.quantile(values, share)


def test_a_distribution_of_one_value_is_one_bin(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_text("a\n5\n5\n")

    (found,) = ended(distributions(file, ended(profile(file, OPTIONS))[1], OPTIONS))[1].values()

    assert sorted(found["bins"])[-1] == 2
    ElementTree.fromstring(draw_histogram("a <b> & c", found))


def test_a_page_shows_names_as_text(tmp_path: Path) -> None:
    table = profiled(tmp_path, "<script>,b\n1,2\n2,3\n")

    page = render("<b>", table, [])

    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_a_page_shows_figures_as_people_write_them(tmp_path: Path) -> None:
    text = "year,population\n" + "".join(f"{1952 + n},{1318680000 + n}.5\n" for n in range(5))

    page = render("Countries", profiled(tmp_path, text), [])

    assert "1952" in page
    assert "1,952" not in page
    assert "e+09" not in page
    assert "1,318,680,000.5" in page
