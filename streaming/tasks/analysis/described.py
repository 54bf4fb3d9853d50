"""What the report of an analysis says of one column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streaming.events.vocabulary import JsonMapping, JsonObject
from streaming.tasks.tables.columns import Column
from streaming.tasks.tables.numbers import is_missing
from streaming.tasks.tables.options import TableOptions
from streaming.tasks.tables.refusal import BadCsv
from streaming.tasks.tables.sheet import Batch

#: Values of a column that are counted each for itself; with more it is only said that there are.
MAX_DISTINCT = 1000
#: Characters of a value that are shown.
SHOWN = 80


class Described:
    """A column of known kind, batch after batch."""

    def __init__(self, column: Column, options: TableOptions) -> None:
        self.column = column
        self.present = 0
        self._options = options
        #: Words for totals that are kept: no values of a column of figures or dates.
        is_sorted = column.kind in ("figures", "dates")
        self._words = frozenset(column.totals.values()) if is_sorted else frozenset()
        self._missing = self._longest = 0
        self._is_whole = True
        self._low, self._high = np.inf, -np.inf
        self._values: Counter[str] | None = Counter()
        self._ends: list[tuple[int, str]] = []
        #: The notation of dates, and whether their order in time is known.
        self.told: JsonObject = {}

    def add(self, batch: Batch, cells: Sequence[str]) -> None:
        """Take in the column's cells of a batch."""
        there = [cell for cell in cells if not self._is_missing(cell)]
        self._missing += len(cells) - len(there)
        self.present += len(there)
        if not there:
            return
        self._longest = max(self._longest, max(map(len, there)))
        if self._values is not None:
            self._values.update(there)
            if len(self._values) > MAX_DISTINCT:
                self._values = None
        if self.column.kind == "dates":
            self._add_dates(batch.lines, cells)

    def _add_dates(self, lines: Sequence[int], cells: Sequence[str]) -> None:
        """Keep the first and the last; `BadCsv` where the dates leave open which those are."""
        known = {
            cell: line
            for line, cell in zip(lines, cells, strict=True)
            if not self._is_missing(cell)
        }
        known |= {cell: line for line, cell in self._ends}
        labels = list(known)
        numbers = [known[label] for label in labels]
        try:
            found = self.column.timeline.order(
                numbers, labels, self.column.name, self._options.date_order
            )
        except BadCsv as error:
            if "option" in error.extra:
                raise
            self.told = {"order": "not known"}  # no year, for example
            return
        self.told = {"notation": found.notation, **self.told}
        ends = (found.ranks.index(min(found.ranks)), found.ranks.index(max(found.ranks)))
        self._ends = [(numbers[at], labels[at]) for at in ends]

    def _is_missing(self, cell: str) -> bool:
        return is_missing(cell) or cell in self._words

    def span(self, figures: NDArray[np.float64]) -> None:
        """Take in the column's figures of a batch, NaN where one is missing."""
        known = figures[~np.isnan(figures)]
        if not len(known):
            return
        self._low = min(self._low, float(known.min()))
        self._high = max(self._high, float(known.max()))
        self._is_whole = self._is_whole and bool((known == np.floor(known)).all())

    def result(self, figures: JsonMapping | None) -> JsonObject:
        """`figures` has mean and deviation of a column of figures."""
        kind = self._type()
        shown: JsonObject = {
            "name": self.column.name,
            "type": kind,
            "present": self.present,
            "missing": self._missing,
        }
        if kind in ("integer", "number"):
            shown |= {"min": self._low, "max": self._high, **(figures or {})}
        elif kind == "date":
            known = self._ends if "order" not in self.told else []
            shown |= {"first": known[0][1] if known else None}
            shown |= {"last": known[1][1] if known else None}
        elif kind == "text":
            shown["longest"] = self._longest
        values = self._values
        shown["distinct"] = None if values is None else len(values)
        if values is not None:
            top = values.most_common(5)
            shown["top"] = [{"value": value[:SHOWN], "count": count} for value, count in top]
        return shown

    def _type(self) -> str:
        if not self.present:
            return "empty"
        if self.column.kind == "figures":
            return "integer" if self._is_whole else "number"
        return "date" if self.column.kind == "dates" else "text"
