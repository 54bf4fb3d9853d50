"""What each column of a table is, by all of its cells: figures in one notation, dates, or text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from streaming.events.vocabulary import JsonObject
from streaming.tasks.tables.numbers import Notation, figure_of, is_missing
from streaming.tasks.tables.options import TableOptions
from streaming.tasks.tables.periods import Timeline, moments_of
from streaming.tasks.tables.refusal import BadCsv, shown
from streaming.tasks.tables.sheet import Batch, Sheet
from streaming.tasks.tables.totals import is_total, is_total_among_dates

#: Rows called totals that are remembered.
MAX_TOTALS = 1000

#: Rows of plain figures and blanks, joined: what most files have is looked at in one go.
_PLAIN = re.compile(r"(?:(?:-?[0-9]{1,64}(?:\.[0-9]{1,64})?)?\n)*")


class Column:
    """One column: what was found of it so far, and at the end how it is read."""

    def __init__(self, at: int, name: str) -> None:
        self.at, self.name = at, name
        self.notation = Notation()
        self.timeline = Timeline()
        self.missing = self.present = 0
        #: The line of the first row of the table.
        self.first_line = 0
        #: The lines of cells that are words for totals, and what they say.
        self.totals: dict[int, str] = {}
        #: The decimal mark, and what decided it: known after `decide`.
        self.mark = "."
        self.decided_by = ""

    def add(self, batch: Batch, *, is_period: bool) -> None:
        """Take in the column's cells of a batch."""
        cells = batch.column(self.at)
        self.first_line = self.first_line or batch.lines[0]
        if not is_period and _PLAIN.fullmatch("\n".join(cells) + "\n"):
            there = [cell for cell in cells if cell]
            self.missing += len(cells) - len(there)
            self.present += len(there)
            self.notation.add_plain(batch.lines, cells, len(there))
            return
        lines, there = self._present(batch.lines, cells)
        self.present += len(there)
        self.notation.add(lines, there)
        if is_period or self.notation.others:
            self.timeline.add(lines, there)

    def _present(self, lines: Sequence[int], cells: Sequence[str]) -> tuple[list[int], list[str]]:
        """What is neither missing nor a word for totals."""
        found = [
            (line, cell) for line, cell in zip(lines, cells, strict=True) if not is_missing(cell)
        ]
        self.missing += len(cells) - len(found)
        totals = {line: cell for line, cell in found if is_total(cell, means=self.at == 0)}
        if self.at == 0:
            totals = self._among_dates(found, totals)
        for line in list(totals)[: MAX_TOTALS - len(self.totals)]:
            self.totals[line] = totals[line]
        there = [each for each in found if each[0] not in totals]
        return [line for line, _ in there], [cell for _, cell in there]

    def _among_dates(
        self, found: Sequence[tuple[int, str]], totals: dict[int, str]
    ) -> dict[int, str]:
        """The totals with those that are certain where all else is a date or a number."""
        own = self.name.casefold()  # the header once more, of a second table
        wide = {
            line: cell
            for line, cell in found
            if is_total_among_dates(cell) and cell.casefold() != own
        }
        others = [cell for line, cell in found if line not in wide]
        is_certain = len(others) > 1 and (
            all(map(moments_of, others)) or all(map(figure_of, others))
        )
        return wide if len(wide) > len(totals) and is_certain else totals

    @property
    def kind(self) -> str:
        """`figures`, `dates`, `text`, `empty`, or `mixed`: more figures than anything else."""
        known = self.notation
        if not self.present:
            return "text" if self.totals else "empty"
        if not known.others and known.figures:
            return "figures"
        if self.are_dates:
            return "dates"
        return "mixed" if known.figures >= known.others else "text"

    @property
    def are_dates(self) -> bool:
        """Whether all cells are dates in one notation."""
        return self.timeline.dates == self.present > 0

    def mixed(self, first_line: int) -> BadCsv:
        """The refusal of a column in which most cells, but not all, are figures."""
        line, cell = self.notation.first_other or (1, "")
        problem = f"{shown(cell)} is not a number"
        if line != first_line:
            return BadCsv(problem, line, self.name)
        hint = "if this row names the columns, the option header_row says so"
        return BadCsv(f"{problem}; {hint}", line, self.name, option="header_row")

    def describe(self) -> JsonObject:
        """As `read_as` says it."""
        told: JsonObject = {"name": self.name, "kind": self.kind, "missing": self.missing}
        if self.kind == "figures":
            told["decimal"] = self.mark
            told["decided_by"] = self.decided_by
            if self.notation.currencies:
                told["currency"] = next(iter(self.notation.currencies))
            if self.notation.percents:
                told["percent"] = True
        elif self.kind in ("mixed", "text") and self.notation.figures:
            told["figures"] = self.notation.figures
        return told


def survey(columns: Sequence[Column], batch: Batch) -> None:
    """Take in a batch of rows."""
    for column in columns:
        column.add(batch, is_period=column.at == 0)


def columns_of(sheet: Sheet) -> list[Column]:
    return [Column(at, name) for at, name in enumerate(sheet.names)]


def decide(columns: Sequence[Column], options: TableOptions) -> None:
    """Settle the decimal mark of each column of figures; `BadCsv` where it stays open.

    A column's own cells decide. Where they do not, those of the table's other columns do, unless
    they disagree: who writes 0,5 beside it does not write 1.234 for a fraction.
    """
    figures = [column for column in columns if column.kind in ("figures", "mixed")]
    for column in figures:
        if column.kind == "figures":
            column.notation.check(column.name, options.decimal)
    shown_marks = {mark for column in figures if (mark := column.notation.decides) is not None}
    for column in figures:
        mark = column.notation.decides
        if not column.notation.is_open:
            column.mark = mark or options.decimal or "."
            column.decided_by = "its figures" if mark else "whole numbers alone"
        elif options.decimal is not None:
            column.mark, column.decided_by = options.decimal, "option"
        elif len(shown_marks) == 1:
            column.mark, column.decided_by = next(iter(shown_marks)), "the other columns"
        elif column.kind == "figures":
            raise column.notation.open_at(column.name)
