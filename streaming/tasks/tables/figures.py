"""Cells of a column as figures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streaming.tasks.tables.numbers import figure_of, is_missing, value_of


def figures_of(cells: Sequence[str], mark: str, *, words: bool = False) -> NDArray[np.float64]:
    """The figures with this decimal mark, NaN where one is missing, and with `words` for every cell
    that is none, as a total's name among years. `ValueError` without.
    """
    if mark == ".":
        try:
            return np.array([float(cell) if cell else np.nan for cell in cells]) + 0.0
        except ValueError:
            pass  # written in more than digits and a point
    return np.array(
        [
            np.nan
            if is_missing(cell) or (words and figure_of(cell) is None)
            else value_of(cell, mark)
            for cell in cells
        ],
        dtype=np.float64,
    )
