"""A table of figures over periods, and its reading from text."""

from __future__ import annotations

from streaming.tasks.tables.options import TableOptions
from streaming.tasks.tables.refusal import BadCsv
from streaming.tasks.tables.series import MAX_COLUMNS, MAX_FIGURES, MAX_ROWS, MAX_VALUE, read_series
from streaming.tasks.tables.table import Table

__all__ = ["MAX_COLUMNS", "MAX_FIGURES", "MAX_ROWS", "MAX_VALUE", "BadCsv", "Table", "parse"]


def parse(text: str) -> Table:
    """The table in `text`, as its values alone decide how it is read. Raises `BadCsv`."""
    return read_series(text, TableOptions()).table
