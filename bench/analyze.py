"""The analysis of a large CSV file: seconds for each pass, and the most memory that it takes."""

from __future__ import annotations

import argparse
import multiprocessing
import random
import resource
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from streaming.tasks.analysis.profile import distributions, profile
from streaming.tasks.tables.options import TableOptions

#: Columns of figures, and rows that are repeated until the file is large enough.
COLUMNS, ROWS = 10, 20_000


def make(path: Path, megabytes: int) -> None:
    """A file of so many megabytes: figures and a column of groups."""
    dice = random.Random(1)
    head = ",".join(f"c{number}" for number in range(COLUMNS)) + ",group\n"
    rows = [
        ",".join(f"{dice.gauss(0, 1):.6f}" for _ in range(COLUMNS)) + f",g{dice.randrange(9)}\n"
        for _ in range(ROWS)
    ]
    block = "".join(rows)
    with path.open("w") as file:
        file.write(head)
        while file.tell() < megabytes << 20:
            file.write(block)


def result_of(passing: Generator[int, None, Any]) -> Any:
    while True:
        try:
            next(passing)
        except StopIteration as end:
            return end.value


def measure(path: Path) -> None:
    """All passes, in a process of their own."""
    before = peak_mb()
    began = time.monotonic()
    table = result_of(profile(path, TableOptions()))
    between = time.monotonic()
    result_of(distributions(path, table, TableOptions()))
    print(
        f"{path.stat().st_size >> 20} MB, {table['rows']:,} rows, {len(table['columns'])} columns"
    )
    print(f"types, figures, correlations: {between - began:.1f} s")
    print(f"distributions: {time.monotonic() - between:.1f} s")
    print(f"memory: {peak_mb()} MB at most, {before} MB before")


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="analyze-") as folder:
        path = Path(folder) / "data.csv"
        make(path, options.megabytes)
        child = multiprocessing.get_context("spawn").Process(target=measure, args=(path,))
        child.start()
        child.join()
    return child.exitcode or 0


if __name__ == "__main__":
    sys.exit(main())
