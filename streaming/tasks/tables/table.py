"""A table of figures over periods."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Table:
    """Figures by column and period; None where a figure is missing."""

    #: What the periods are called: the header of their column.
    period: str
    periods: list[str]
    columns: dict[str, list[float | None]]
