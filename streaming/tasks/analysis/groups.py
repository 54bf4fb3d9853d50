"""Sums and means of the columns of figures, by the values of another column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streaming.events.vocabulary import JsonObject
from streaming.tasks.tables.refusal import BadCsv

#: Maximum groups.
MAX_GROUPS = 1000


class Groups:
    """Figures added up by group, batch after batch."""

    def __init__(self, by: str, columns: Sequence[str], aggregate: str | None) -> None:
        self._by, self._columns, self._aggregate = by, columns, aggregate
        self._places: dict[str, int] = {}
        self._rows: list[int] = []
        self._sums: list[NDArray[np.float64]] = []
        self._counts: list[NDArray[np.float64]] = []

    def add(self, lines: Sequence[int], cells: Sequence[str], table: NDArray[np.float64]) -> None:
        """`table`: the figures of a batch, a column for each of ours, NaN where one is missing."""
        for line, cell in zip(lines, cells, strict=True):
            if cell not in self._places:
                if len(self._places) == MAX_GROUPS:
                    problem = f"more than {MAX_GROUPS} groups"
                    raise BadCsv(problem, line, self._by, option="group_by")
                self._places[cell] = len(self._places)
                self._rows.append(0)
                self._sums.append(np.zeros(len(self._columns)))
                self._counts.append(np.zeros(len(self._columns)))
        places = np.array([self._places[cell] for cell in cells])
        for place in np.unique(places):
            mine = table[places == place]
            there = ~np.isnan(mine)
            self._rows[place] += len(mine)
            self._sums[place] += np.where(there, mine, 0.0).sum(axis=0)
            self._counts[place] += there.sum(axis=0)

    def result(self) -> JsonObject:
        """The groups in the order of their values."""
        return {
            "by": self._by,
            "aggregate": self._aggregate,
            "groups": [
                {"value": value, "rows": self._rows[at], "figures": self._figures(at)}
                for value, at in sorted(self._places.items())
            ],
        }

    def _figures(self, at: int) -> JsonObject:
        wanted = [self._aggregate] if self._aggregate else ["sum", "mean"]
        found: JsonObject = {}
        for name, total, count in zip(
            self._columns, self._sums[at].tolist(), self._counts[at].tolist(), strict=True
        ):
            ways = {"sum": total, "mean": total / count} if count else {"sum": None, "mean": None}
            found[name] = {way: ways[way] for way in wanted}
        return found
