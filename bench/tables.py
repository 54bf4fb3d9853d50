"""The tables of public packages, read by `report` and `analyze`: each figure against pandas.

Prints the files that are read as they are, those that need an option which their refusal names,
those that are refused, each with its reason, and the figures that differ; exit status 0 when no
figure does.
"""

from __future__ import annotations

import argparse
import io
import math
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streaming.tasks.analysis.profile import distributions, profile
from streaming.tasks.analysis.trends import find_trends
from streaming.tasks.tables.options import TableOptions
from streaming.tasks.tables.refusal import BadCsv
from streaming.tasks.tables.series import MAX_COLUMNS, read_series

#: Where the files are from: in an environment of the trial's own.
PACKAGES = ("pandas", "statsmodels", "vega_datasets", "scikit-learn", "gapminder")
MORE = ("palmerpenguins", "lifelines")
#: What a person would answer to a refusal that names an option.
ANSWERS: dict[str, Any] = {
    "aggregate": "mean",
    "decimal": ".",
    "header_row": 1,
    "total_rows": "keep",
}
#: Bytes of a file, and how far two figures may be apart: report rounds to ten digits.
MAX_BYTES, NEAR = 3 << 20, 1e-9


@dataclass
class Count:
    """What became of the files of one task."""

    plain: int = 0
    with_option: int = 0
    figures: int = 0
    differ: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def compare(self, what: str, ours: float | None, theirs: Any) -> None:
        self.figures += 1
        missing = theirs is None or (isinstance(theirs, float) and math.isnan(theirs))
        if missing or ours is None:
            same = missing and ours is None
        else:
            same = math.isclose(ours, float(theirs), rel_tol=NEAR, abs_tol=1e-9)
        if not same:
            self.differ.append(f"{what}: {ours} here, {theirs} by pandas")


def files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*.csv")):
        if "tests" not in path.parts and 0 < path.stat().st_size <= MAX_BYTES:
            yield path


def answered(count: Count, name: str, read: Any) -> tuple[Any, TableOptions] | None:
    """What `read` gives with the options that its refusals name."""
    used: dict[str, Any] = {}
    while True:
        try:
            found = read(TableOptions(**used))
        except BadCsv as refusal:
            option = str(refusal.extra.get("option", ""))
            if option in ANSWERS and option not in used:
                used[option] = ANSWERS[option]
                continue
            count.refused.append(f"{name}: {refusal}")
            return None
        if used:
            count.with_option += 1
        else:
            count.plain += 1
        return found, TableOptions(**used)


def frame_of(path: Path, said: dict[str, Any]) -> Any:
    """The file as pandas has it, with what was recognised of its form."""
    import pandas as pd

    out = {each["line"] for each in said["left_out"] if each["what"] == "total row"}
    notes = [n for each in said["left_out"] if each["what"] == "notes below" for n in each["lines"]]
    delimiter = said["delimiter"] or "\x1f"
    names = [each["name"] for each in said["columns"]]
    lines = path.read_text(encoding=said["encoding"]).splitlines(keepends=True)
    below = [
        line
        for at, line in enumerate(lines, start=1)
        if at >= said["header_row"] and at not in {*out, *notes}
    ]
    frame = pd.read_csv(
        io.StringIO("".join(below)),
        sep=r"\s+" if delimiter == " " else delimiter,
        header=0,
        thousands="," if all(each.get("decimal", ".") == "." for each in said["columns"]) else None,
        index_col=False,
        skip_blank_lines=False,
        na_values=["-", "–", "—"],
        float_precision="round_trip",
    ).dropna(how="all")
    frame = frame.iloc[:, : len(names)]  # without what is empty behind the last name
    frame.columns = names
    return frame


def ended(passing: Generator[int, None, Any]) -> Any:
    while True:
        try:
            next(passing)
        except StopIteration as end:
            return end.value


def analyze(path: Path, name: str, count: Count) -> None:
    found = answered(count, name, lambda options: ended(profile(path, options)))
    if found is None:
        return
    table, options = found
    spread = ended(distributions(path, table, options))
    frame = frame_of(path, table["read_as"])
    count.compare(f"{name} rows", table["rows"], len(frame))
    for column in table["columns"]:
        series, what = frame[column["name"]], f"{name} {column['name']}"
        count.compare(f"{what} missing", column["missing"], int(series.isna().sum()))
        if column["type"] in ("integer", "number"):
            figures = series.astype(float)
            ways = {"min": figures.min(), "max": figures.max(), "mean": figures.mean()}
            for way, theirs in {**ways, "deviation": figures.std()}.items():
                count.compare(f"{what} {way}", column[way], theirs)
            for share, ours in spread[column["name"]]["quantiles"].items():
                theirs = figures.quantile(float(share.strip("%")) / 100)
                count.compare(f"{what} {share}", ours, theirs)


def report(path: Path, name: str, count: Count) -> None:
    found = answered(count, name, lambda options: read_series(path, options))
    if found is None:
        return
    reading, options = found
    said = reading.read_as
    frame = frame_of(path, said)
    period, names = said["period"]["column"], list(reading.table.columns)[:MAX_COLUMNS]
    figures = frame[names].astype(float)
    order = placed(frame[period], said["period"]["notation"])
    if options.aggregate is not None:
        figures = figures.groupby(order).mean()
    else:
        figures = figures.iloc[order.argsort(kind="stable")]
    for each, trend in zip(names, find_trends(reading.table), strict=True):
        theirs, what = figures[each].reset_index(drop=True), f"{name} {each}"
        drawn = reading.table.columns[each]
        if any(left["what"] == "older periods" for left in said["left_out"]):
            theirs = theirs.iloc[-len(drawn) :]
        count.compare(f"{what} periods", len(drawn), len(theirs))
        for ours, figure in zip(drawn, theirs, strict=False):
            count.compare(what, ours, figure)
        known = theirs.dropna()
        count.compare(f"{what} first", trend["first"]["value"], known.iloc[0])
        count.compare(f"{what} last", trend["last"]["value"], known.iloc[-1])
        count.compare(f"{what} mean", trend["mean"], float(f"{known.mean():.10g}"))


def placed(labels: Any, notation: str) -> Any:
    """The order of the periods by pandas: numbers and years by size, dates by time, text as met."""
    import numpy as np
    import pandas as pd

    if notation in ("numbers", "year"):
        return labels.astype(float).to_numpy()
    if notation == "text":
        return pd.factorize(labels)[0]
    day_first = notation.startswith("day")
    times = pd.to_datetime(labels.astype(str), dayfirst=day_first, format="mixed", utc=True)
    return np.asarray(times.astype("int64"))


def tell(task: str, count: Count, verbose: bool) -> None:
    read = count.plain + count.with_option
    total = read + len(count.refused)
    print(
        f"{task}: {total} files; {count.plain} read as they are, {count.with_option} with an "
        f"option that the refusal names, {len(count.refused)} refused; "
        f"{count.figures} figures, {len(count.differ)} differ from pandas"
    )
    for line in count.refused + (count.differ if verbose else count.differ[:20]):
        print(f"  {line}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=Path, help="a folder with installed packages")
    parser.add_argument("--verbose", action="store_true", help="all figures that differ")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tables-") as made:
        folder = options.packages or Path(made)
        if options.packages is None:
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", made]
            subprocess.run([*command, *PACKAGES, *MORE], check=True)
        sys.path.append(str(folder))
        counts = {"analyze": Count(), "report": Count()}
        for path in files(folder):
            name = str(path.relative_to(folder))
            analyze(path, name, counts["analyze"])
            report(path, name, counts["report"])
    for task, count in counts.items():
        tell(task, count, options.verbose)
    return 1 if any(count.differ for count in counts.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
